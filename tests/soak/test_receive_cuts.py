# SPDX-License-Identifier: MIT
"""QEMUs whose machines go to `godwit receive --postcopy` over connections that are cut 20 times within one migration, at places that are
drawn anew for each. GODWIT_CUTS=N changes how many there are in all."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
import test_receive_postcopy  # noqa: E402
from versions import VERSIONS  # noqa: E402

CUTS = 20
RUNS = int(os.environ.get("GODWIT_CUTS", "400")) // CUTS // len(VERSIONS)


def runs(version):
    def test(self):
        for n in range(RUNS):
            kept = len(self.processes)
            self.one(version, random.Random("%s-%d" % (version, n)), CUTS)
            for program in self.processes[kept:]:
                program.close()
            del self.processes[kept:]
            for name in os.listdir(self.folder):
                os.unlink(self.path(name))
        print("QEMU %s: %d cuts" % (version, RUNS * CUTS), flush=True)
    return test


class Again(test_receive_postcopy.Arriving):
    lost, begin, whole, one = (vars(test_receive_postcopy.Again)[name] for name in ("lost", "begin", "whole", "one"))


for each in VERSIONS:
    setattr(Again, "test_" + each.replace(".", "_"), runs(each))

if __name__ == "__main__":
    unittest.main()
