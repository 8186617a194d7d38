# SPDX-License-Identifier: MIT
"""A self-checking machine moves between processes, under every workload. tests/soak has the long journeys."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import WORKLOADS, Box, Journey, wait_until  # noqa: E402


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

    def test_another_number_of_vcpus(self):
        """A machine with more vCPUs would begin with one that was never set up, and one with fewer has no place for a state: both refuse,
        and the machine stays."""
        for cpus, more, said in ((1, 2, "section cpu/1 is missing"), (2, 1, "section cpu/1 at byte")):
            self.seed = 1
            box = self.start("idle", more=["--cpus", str(cpus)])
            to = Box(self, "to%d" % more, ["--memory", self.MEMORY, "--accel", "unicorn", "--cpus", str(more)], incoming=True)
            box.qmp.command("migrate", uri=to.address())
            info = wait_until("an end", box.ended)
            self.assertEqual(info["status"], "failed", info)
            self.assertIn(said, info["error-desc"] + to.text())
            self.assertEqual(box.status(), "running")
            n = len(box.beats())
            wait_until("it goes on", lambda b=box, k=n: len(b.beats()) > k + 1)
            self.assertEqual(box.quit(), 0, box.text())


if __name__ == "__main__":
    unittest.main()
