# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit send FILE --postcopy -> QEMU: it runs at once, and its memory follows."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import built, pattern, wait_until  # noqa: E402
from test_park_live import Parking, RAM, SIZE  # noqa: E402
from versions import VERSIONS  # noqa: E402


class Postcopy(Parking):
    """QEMU with memory of its own, so that it can wait for pages of it."""

    def target(self, version, role="target", name="n", capabilities=("postcopy-ram",)):
        return self.qemu(version, role, memory=SIZE, machine="none,memory-backend=r", block=None, incoming=self.unix(name),
                         capabilities=list(capabilities),
                         args=["-object", "memory-backend-ram,id=r,size=%d" % SIZE])


class Once(Postcopy):
    def test_each_version(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in VERSIONS:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version)
                send = self.command("send", "send", path, self.unix("n" + version), "--postcopy", "--force")
                self.exits(send)
                target.wait()
                self.assertTrue(target.qmp.seen("MIGRATION", status="postcopy-active"))
                self.assert_same_ram(target.saved_ram(), RAM)


if __name__ == "__main__":
    unittest.main()
