# SPDX-License-Identifier: MIT
"""Connections between godwit and QEMU that are cut (tests/interop/cuts.py): at 300 offsets of each direction and version, and
at each byte of the answers. GODWIT_OFFSETS=N changes the 300.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from cuts import Receive, Send  # noqa: E402
from harness import Case  # noqa: E402

OFFSETS = int(os.environ.get("GODWIT_OFFSETS", "300"))


class Cuts(Case):
    def all(self, direction):
        for version in ("7.2", "10.0"):
            print(direction(self, version).all(OFFSETS), flush=True)

    def test_send(self):
        self.all(Send)

    def test_receive(self):
        self.all(Receive)


if __name__ == "__main__":
    unittest.main()
