# SPDX-License-Identifier: MIT
"""200 consecutive migrations under every workload, with cancelled ones in between (Unicorn; 20 on KVM).

GODWIT_MOVES=N changes the 200.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import WORKLOADS, Journey  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "200"))


class Unicorn(Journey):
    pass


class Kvm(Journey):
    pass


def make(workload, accel, moves):
    def test(self):
        if accel == "kvm" and not os.path.exists("/dev/kvm"):
            self.skipTest("no /dev/kvm on this machine")
        self.journey(workload, moves, accel)
    return test


for w in WORKLOADS:
    setattr(Unicorn, "test_" + w, make(w, "unicorn", MOVES))
    setattr(Kvm, "test_" + w, make(w, "kvm", MOVES // 10))


class KvmTrackers(Journey):
    """R2: the dirty trackers that KVM has."""

    def test_log(self):
        self.journey("hotset", MOVES // 10, "kvm", ["--tracker", "kvm-log"])

    def test_ring(self):
        self.journey("hotset", MOVES // 10, "kvm", ["--tracker", "kvm-ring"])


if __name__ == "__main__":
    unittest.main()
