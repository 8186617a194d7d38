# SPDX-License-Identifier: MIT
"""A machine moves 100 times with its disk while it writes to it, with cancelled attempts in between: raw and qcow2, by precopy, with and
without a dirty bitmap that goes along.

GODWIT_MOVES=N changes the 100.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from disks import DiskJourney  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "100"))


class Disks(DiskJourney):
    def test_raw(self):
        self.journey("disk", MOVES)

    def test_raw_bitmap(self):
        self.bitmap = True
        self.journey("disk", MOVES)

    def test_qcow2_bitmap(self):
        self.bitmap, self.format = True, "qcow2"
        self.journey("disk", MOVES)


if __name__ == "__main__":
    unittest.main()
