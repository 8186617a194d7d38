# SPDX-License-Identifier: MIT
"""Linux guests on long journeys QEMU -> godwit receive -> file -> godwit send -> QEMU.

The whole matrix: machines pc, q35 and microvm, each version of QEMU after each, every transport into us and out of us.
And 20 moves of one guest in a row for each machine (GODWIT_MOVES=N changes that): its checks stay good, and its clock has
not gone on while it was parked.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from guest import MACHINES  # noqa: E402
from harness import Case  # noqa: E402
from journey import TRANSPORTS, Journey  # noqa: E402
from versions import VERSIONS, circuit  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "20"))


class Matrix(Case):
    def matrix(self, machine):
        ways = circuit(VERSIONS)
        journey = Journey(self, machine, ways[0])
        for n, to_us in enumerate(TRANSPORTS):
            for m, version in enumerate(ways[1:]):
                journey.park_and_move(version, to_us, TRANSPORTS[(n + m) % len(TRANSPORTS)])
        print(journey.end())

    def direct(self, machine):
        ways = circuit(VERSIONS)
        journey = Journey(self, machine, ways[0])
        for transport in TRANSPORTS:
            for version in ways[1:]:
                journey.move(version, transport)
        print(journey.end())


class TwentyMoves(Case):
    def twenty(self, machine):
        journey = Journey(self, machine, "10.0", rate=16)
        for i in range(MOVES):
            version = ("10.0", "7.2", "7.2", "10.0")[i % 4]
            journey.park_and_move(version, ("unix", "tcp")[i % 2], ("tcp", "unix")[i // 2 % 2])
        print("\n".join(journey.log + [journey.end()]))


for m in MACHINES:
    setattr(Matrix, "test_" + m, lambda self, m=m: self.matrix(m))
    setattr(Matrix, "test_without_us_" + m, lambda self, m=m: self.direct(m))
    setattr(TwentyMoves, "test_" + m, lambda self, m=m: self.twenty(m))


if __name__ == "__main__":
    unittest.main()
