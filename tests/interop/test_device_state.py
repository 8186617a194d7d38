# SPDX-License-Identifier: MIT
# builds: plain asan
"""Device state alone: files of QEMU's xen-save-devices-state and ours are the same, and each side takes the other's.

From 7.2 on QEMU's xen-load-devices-state loads such a file and then ends in an assertion, also with its own, so only 5.2 is
asked for that; all take one as an incoming stream. They insist on a configuration unless told otherwise."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, built, read_file  # noqa: E402
from places import exec_uri  # noqa: E402
from versions import VERSIONS  # noqa: E402

BARE = [("send-configuration", "off")]


class DeviceState(Case):
    def alone(self, what, file):
        r = subprocess.run([built("tests/interop/none_vm"), what, file], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=DEADLINE_S * SLOW)
        self.assertNotIn("Sanitizer", r.stderr)
        told = json.loads(r.stdout)
        self.assertTrue(told["ok"], told["error"])
        return told

    def test_from_qemu(self):
        for version in VERSIONS:
            with self.failing_as(version):
                file = self.path(version)
                q = self.qemu(version, "source")
                q.qmp.command("xen-save-devices-state", filename=file)
                self.assertEqual(q.status(), "running")
                q.close()
                told = self.alone("load", file)
                self.assertFalse(told["running"])
                self.assertEqual(told["clock"].to_bytes(8, "big"), read_file(file)[43:51])

    def test_to_qemu(self):
        file = self.path("ours")
        self.assertTrue(self.alone("save", file)["running"])
        ours = read_file(file)
        for version in VERSIONS:
            with self.failing_as(version):
                q = self.qemu(version, "target-" + version, incoming=exec_uri(file, True), properties=BARE)
                q.wait()
                q.wait_state("running")
                theirs = self.path(version)
                q.qmp.command("stop")
                q.qmp.command("xen-save-devices-state", filename=theirs)
                q.close()
                self.assertEqual(self.shape(read_file(theirs)), self.shape(ours))

    def shape(self, data):
        """All but the sections' numbers, what the machine's clock says, which went on, and the bytes behind the run state."""
        at = data.index(b"\x05timer")
        run = data.index(b"\x0bglobalstate")
        return data[:9], data[13:at + 14], data[run:run + 32], data[-1], len(data)

    def test_load_command(self):
        file = self.path("ours")
        self.alone("save", file)
        q = self.qemu("5.2", "target", paused=True, properties=BARE)
        q.qmp.command("xen-load-devices-state", filename=file)
        q.qmp.command("xen-save-devices-state", filename=self.path("theirs"))
        self.assertEqual(self.shape(read_file(self.path("theirs"))), self.shape(read_file(file)))


if __name__ == "__main__":
    unittest.main()
