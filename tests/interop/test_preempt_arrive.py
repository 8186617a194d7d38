# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""QEMU -> godwit with a separate channel for requested pages (postcopy-preempt), in the old form (7.2, or asked for)
and the new one: all that is true of postcopy without it."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_arrive_postcopy  # noqa: E402
import test_receive_postcopy  # noqa: E402
from test_park_live import RAM  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

HAVE_IT = tuple(v for v in VERSIONS if at_least(v, "7.2"))
BOTH = ("postcopy-ram", "postcopy-preempt")


class Preempt(test_arrive_postcopy.Arriving):
    CAPABILITIES, VERSIONS = BOTH, HAVE_IT


class Old(Preempt):
    """Newer ones in the form of 7.2."""
    VERSIONS = tuple(v for v in HAVE_IT if at_least(v, "8.0"))

    def source(self, version, **options):
        return super().source(version, properties=[("x-preempt-pre-7-2", "on")], **options)


class Receive(test_receive_postcopy.Arriving):
    """Nothing is asked for, and an old source ends the second connection with a mark."""

    def test_each_version(self):
        for version in HAVE_IT:
            for old in ("on", "off") if at_least(version, "8.0") else ("on",):
                with self.subTest(version, old=old):
                    name = version + old
                    properties = [("x-preempt-pre-7-2", old)] if at_least(version, "8.0") else []
                    source = self.none(version, "source" + name, ram=RAM, capabilities=BOTH, properties=properties)
                    receive = self.receive(self.unix("m" + name), "--postcopy", "--capability", "postcopy-preempt", "--json",
                                           output="parked" + name)
                    test_receive_postcopy.switch(source, self.unix("m" + name))
                    source.wait()
                    self.exits(receive)
                    self.assertIn('"postcopy-active"', receive.text())
                    target = self.none(version, "target" + name, incoming=self.unix("n" + name))
                    self.arrives(target, self.unix("n" + name), self.path("parked" + name), "--force")
                    self.assert_same_ram(target.ram(), RAM)


if __name__ == "__main__":
    unittest.main()
