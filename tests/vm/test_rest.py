# SPDX-License-Identifier: MIT
"""The machine in the box rests in files of every format, and its guest, which checks all that it wrote, goes on."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import DEADLINE_S, SLOW, Program, built  # noqa: E402


class Rest(Journey):
    def godwit(self, *argv):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, "%s\n%s%s" % (argv, r.stdout, r.stderr))
        return r.stdout

    def test_every_format(self):
        self.seed, self.cancelled, self.downtimes = 4711, 0, []
        box = self.start("uniform")
        xml = self.path("xml")
        with open(xml, "w") as f:
            f.write("<domain type='kvm'><name>box</name></domain>")
        for n, format_ in enumerate(("parked", "stream", "mapped-ram", "libvirt", "parked")):
            file = self.path("rest%d" % n)
            rx = Program(self, "receive%d" % n, [built("cli/godwit"), "receive", "unix:" + self.path("in%d" % n), "-o", file,
                                                 "--format", format_, "--json", "--xml", xml])
            box.qmp.command("migrate", uri=rx.wait_event("listening")["uri"])
            info = wait_until("an end", box.ended)
            self.assertEqual(info["status"], "completed", "%s\n%s" % (info, rx.text()))
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            self.assertEqual(box.quit(), 0, box.text())
            box.close()
            self.godwit("verify", file)
            self.assertIn("cpu/0", self.godwit("inspect", "--all", file))
            box = Box(self, "vm%d" % (n + 1), self.options, incoming=True)
            self.godwit("send", file, box.address())
            wait_until("the machine runs there", lambda: box.status() == "running")
            wait_until("two heartbeats", lambda: len(box.beats()) > 1)
            self.assertEqual(box.beats()[-1][3], 0, box.text())
            box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        self.assertEqual(box.quit(), 0, box.text())

    def test_differences_are_the_guest_s_work(self):
        """Two rests of one guest: its devices are the same but for the clock, pages differ."""
        self.seed, self.cancelled, self.downtimes = 4712, 0, []
        box = self.start("uniform")
        for n in range(2):
            rx = Program(self, "receive%d" % n, [built("cli/godwit"), "receive", "unix:" + self.path("in%d" % n), "-o",
                                                 self.path("rest%d" % n), "--json"])
            box.qmp.command("migrate", uri=rx.wait_event("listening")["uri"])
            wait_until("an end", box.ended)
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            self.assertEqual(box.quit(), 0, box.text())
            box.close()
            if n:
                break
            box = Box(self, "vm%d" % (n + 1), self.options, incoming=True)
            self.godwit("send", self.path("rest%d" % n), box.address())
            wait_until("two heartbeats", lambda: len(box.beats()) > 1)
        r = subprocess.run([built("cli/godwit"), "diff", self.path("rest0"), self.path("rest1")], capture_output=True, text=True)
        self.assertEqual(r.returncode, 3, r.stderr)
        self.assertIn("clock", r.stdout)
        r = subprocess.run([built("cli/godwit"), "diff", self.path("rest1"), self.path("rest1")], capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)



if __name__ == "__main__":
    unittest.main()
