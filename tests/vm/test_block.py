# SPDX-License-Identifier: MIT
"""A self-checking machine moves with its disk, which it writes and reads all the while. More moves: tests/soak/test_disks.py."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from disks import DiskJourney  # noqa: E402


class Disks(DiskJourney):
    def test_capability(self):
        self.journey("disk", 4, cancel_every=2)

    def test_arguments(self):
        """For one migration only; refused beside what says so for all."""
        self.arguments, self.capabilities = {"blk": True}, ()
        self.journey("disk", 2, cancel_every=0)

    def test_bitmap(self):
        self.bitmap = True
        self.journey("disk", 3, cancel_every=2)

    def test_qcow2(self):
        self.bitmap, self.format = True, "qcow2"
        self.journey("disk", 2, cancel_every=0)


if __name__ == "__main__":
    unittest.main()
