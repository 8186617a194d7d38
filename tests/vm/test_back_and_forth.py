# SPDX-License-Identifier: MIT
"""A self-checking machine moves between processes, under every workload. tests/soak has the long journeys."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import WORKLOADS, Journey  # noqa: E402


class BackAndForth(Journey):
    pass


def make(workload):
    def test(self):
        self.journey(workload, 4, cancel_every=2)
    return test


for w in WORKLOADS:
    setattr(BackAndForth, "test_" + w, make(w))


class Variants(Journey):
    def test_two_vcpus_two_blocks(self):
        self.journey("hotset", 3, more=["--cpus", "2", "--memory", "16M,name=more,backing=memfd"])

    def test_explicit_tracker(self):
        self.journey("uniform", 3, more=["--tracker", "explicit"])


if __name__ == "__main__":
    unittest.main()
