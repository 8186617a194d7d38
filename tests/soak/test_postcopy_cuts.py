# SPDX-License-Identifier: MIT
"""Postcopy to QEMUs whose connection is cut 1000 times, at places that are drawn anew for each migration (20 cuts in each).
GODWIT_CUTS=N changes the 1000."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
import test_recovery  # noqa: E402
from test_park_live import RAM  # noqa: E402
from versions import VERSIONS  # noqa: E402

RUNS = int(os.environ.get("GODWIT_CUTS", "1000")) // test_recovery.CUTS // 2


def versions(case):
    """(version, a target that waits) for each run; what an earlier run left is closed."""
    for n in range(RUNS):
        version = VERSIONS[n % len(VERSIONS)]
        case.seed = "-%d" % n
        kept = len(case.processes)
        yield version, case.target(version, "target%d" % n, "n" + version)
        for program in case.processes[kept:]:
            program.close()
        del case.processes[kept:]
    print("%d cuts" % (RUNS * test_recovery.CUTS), flush=True)


class Live(test_recovery.Live):
    def test_each_version(self):
        for version, target in versions(self):
            self.one(version, target)


class File(test_recovery.File):
    def test_each_version(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version, target in versions(self):
            self.one(version, path, target)


del test_recovery.Live.test_nobody_listens

if __name__ == "__main__":
    unittest.main()
