# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit send FILE --postcopy -> QEMU: it runs at once, and its memory follows."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Qtest, wait_until  # noqa: E402
from test_park_live import Parking, RAM, SIZE  # noqa: E402
from versions import VERSIONS  # noqa: E402


CHUNK = 64 << 10  # bytes that are read at a time
# Below is the firmware. The last pages of a microvm's RAM lose their contents in postcopy, also between two QEMUs of 10.0.
FROM, UNTIL = 1 << 20, SIZE - (1 << 20)


class Postcopy(Parking):
    """QEMU with memory of its own, so that it can wait for pages of it."""

    def target(self, version, role="target", name="n", capabilities=("postcopy-ram",), **options):
        return self.qemu(version, role, memory=SIZE, **options, machine="none,memory-backend=r", block=None, incoming=self.unix(name),
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

    def test_what_is_asked_for_comes_first(self):
        """At a byte a second nobody would live to see it all, were it not for the requests."""
        for version in VERSIONS:
            with self.subTest(version):
                vm = {"memory": SIZE, "machine": "microvm", "block": None, "qtest": True}
                source = self.qemu(version, "source" + version, paused=True, **vm)
                guest = Qtest(source.qtest_path)
                for at in range(FROM, UNTIL, CHUNK):
                    guest.write(at, RAM[at:at + CHUNK])
                wanted = {at: guest.read(at, CHUNK) for at in range(FROM, UNTIL, CHUNK)}
                guest.close()
                path = self.parked(source, self.unix("m" + version), output="parked" + version)
                target = self.qemu(version, "target" + version, incoming=self.unix("n" + version),
                                   capabilities=["postcopy-ram"], **vm)
                send = self.command("send", "send", path, self.unix("n" + version), "--postcopy", "--json",
                                    "--parameter", "max-postcopy-bandwidth=1")
                wait_until("its pages follow", lambda: target.qmp.seen("MIGRATION", status="postcopy-active"))
                guest = Qtest(target.qtest_path)
                for at in random.Random(1).sample(sorted(wanted), len(wanted)):
                    self.assert_same_ram(guest.read(at, CHUNK), wanted[at], "0x%x: " % at)
                guest.close()
                self.assertFalse(target.qmp.seen("MIGRATION", status="completed"))  # there is more than was read
                send.close()


if __name__ == "__main__":
    unittest.main()
