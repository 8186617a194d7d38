# SPDX-License-Identifier: MIT
"""`godwit ctl SOCKET snapshot` of the machine in the box, whose guest checks all that it wrote: both it and the one that is
loaded go on without a wrong byte."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import DEADLINE_S, SLOW, built  # noqa: E402


class Snapshot(Journey):
    def godwit(self, *argv, status=0):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        if "userfaultfd" in r.stderr and "background-snapshot" in r.stderr:
            self.skipTest(r.stderr)
        self.assertEqual(r.returncode, status, "%s\n%s%s" % (argv, r.stdout, r.stderr))
        return r

    def box(self, workload):
        self.seed, self.cancelled, self.downtimes = 815, 0, []
        return self.start(workload)

    def goes_on(self, box):
        seen = len(box.beats())
        wait_until("two heartbeats", lambda: len(box.beats()) > seen + 1)
        self.assertEqual(box.beats()[-1][3], 0, box.text())

    def loads(self, name, send=None, incoming=True):
        """The machine of a file runs, and finds nothing wrong."""
        box = Box(self, name, self.options, incoming=incoming)
        if send:
            self.godwit("send", send, box.address())
        wait_until("the machine runs there", lambda: box.status() == "running")
        self.goes_on(box)
        self.assertEqual(box.quit(), 0, box.text())
        box.close()

    def test_parked(self):
        for workload in ("uniform", "sequential"):
            with self.subTest(workload):
                file = self.path("guest-" + workload)
                box = self.box(workload)
                out = self.godwit("ctl", box.qmp_path, "snapshot", file).stdout
                self.assertRegex(out, "a snapshot of the machine is in .*; it was stopped for .* and is now running")
                self.goes_on(box)
                self.assertIn("--force replaces it", self.godwit("ctl", box.qmp_path, "snapshot", file, status=1).stderr)
                told = json.loads(self.godwit("ctl", box.qmp_path, "snapshot", file, "--force", "--json").stdout)
                self.assertEqual((told["status"], told["run-state"], told["snapshot"]), ("completed", "running", file))
                self.assertGreater(told["x-godwit"]["downtime-us"], 0)
                self.assertIn("off", self.godwit("ctl", box.qmp_path, "caps", "background-snapshot").stdout)
                self.assertIn(": whole: ", self.godwit("verify", file).stdout)
                self.goes_on(box)
                self.loads("loaded-" + workload, send=file)
                self.assertEqual(box.quit(), 0, box.text())
                box.close()

    def test_addresses(self):
        box = self.box("uniform")
        stream, mapped, command = self.path("stream"), self.path("mapped"), self.path("command")
        self.godwit("ctl", box.qmp_path, "snapshot", "file:" + stream)
        self.godwit("ctl", box.qmp_path, "snapshot", "exec:cat >" + command)
        self.godwit("ctl", box.qmp_path, "snapshot", "file:" + mapped, "--capability", "mapped-ram")
        self.assertIn("status 3", self.godwit("ctl", box.qmp_path, "snapshot", "exec:exit 3", "--capability", "mapped-ram=off",
                                              status=1).stderr)
        self.goes_on(box)
        for file in stream, mapped, command:
            self.godwit("verify", file)
        self.loads("from-stream", incoming="file:" + stream)
        self.loads("from-mapped", send=mapped)
        self.loads("from-command", incoming="exec:cat " + command)
        self.assertEqual(box.quit(), 0, box.text())

    def test_refused(self):
        box = self.box("idle")
        self.godwit("ctl", box.qmp_path, "caps", "return-path=on")
        r = self.godwit("ctl", box.qmp_path, "snapshot", self.path("file"), status=1)
        self.assertIn("background-snapshot cannot be on together with return-path", r.stderr)
        self.assertFalse(os.path.exists(self.path("file")))
        self.godwit("ctl", box.qmp_path, "snapshot", "save", status=2)
        self.godwit("ctl", box.qmp_path, "snapshot", self.path("file"), "--detach", status=2)
        self.assertEqual(box.quit(), 0, box.text())


if __name__ == "__main__":
    unittest.main()
