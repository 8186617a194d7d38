# SPDX-License-Identifier: MIT
# builds: plain asan
"""QEMU -> godwit receive --postcopy -> file: the source switches to postcopy while its machine is received."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import wait_until  # noqa: E402
from test_park_live import Parking, RAM, SIZE  # noqa: E402
from versions import VERSIONS  # noqa: E402

SLOW = 4 << 20  # bytes a second: the switch is asked for before it has ended


class Arriving(Parking):
    def source(self, version, role="source", **options):
        return self.none(version, role, ram=RAM, capabilities=["postcopy-ram"], **options)

    def switched(self, source, uri, ended=True):
        """Sends, and asks for the switch at once."""
        source.qmp.command("migrate-set-parameters", **{"max-bandwidth": SLOW})
        source.migrate(uri)
        wait_until("some of it went", lambda: source.migration().get("ram", {}).get("transferred", 0))
        source.qmp.command("migrate-start-postcopy")
        if ended:
            source.wait()
            self.assertTrue(source.qmp.seen("MIGRATION", status="postcopy-active"))


class Whole(Arriving):
    def test_each_version(self):
        for version in VERSIONS:
            with self.subTest(version):
                source = self.source(version, "source" + version)
                receive = self.receive(self.unix("m" + version), "--postcopy", output="parked" + version)
                self.switched(source, self.unix("m" + version))
                self.exits(receive)
                path = self.path("parked" + version)
                for other in VERSIONS:
                    name = "n%s-%s" % (version, other)
                    target = self.none(other, "t" + name, incoming=self.unix(name))
                    self.arrives(target, self.unix(name), path, "--force")
                    self.assert_same_ram(target.ram(), RAM)
                    self.assertEqual(target.status(), "running")


if __name__ == "__main__":
    unittest.main()
