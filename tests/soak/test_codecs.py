# SPDX-License-Identifier: MIT
"""200 consecutive migrations of the machine that checks itself with each codec and set of channels, and with random mixes of
them, with cancelled attempts in between.

GODWIT_MOVES=N changes the 200.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import WORKLOADS, Journey  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "200"))
NO_LIMIT = 0
LIMITED = 64 << 20  # bytes per second: several passes, where the guest could be moved in two
# capabilities, parameters
SETS = {
    "plain": ((), {}),
    "xbzrle": (("xbzrle",), {"max-bandwidth": LIMITED, "downtime-limit": 2}),
    "compress": (("compress",), {"compress-level": 1, "compress-threads": 2, "decompress-threads": 2}),
    "compress_xbzrle": (("compress", "xbzrle"), {"compress-level": 1, "max-bandwidth": LIMITED, "downtime-limit": 2}),
    "multifd": (("multifd",), {"multifd-channels": 2}),
    "multifd_many": (("multifd",), {"multifd-channels": 16}),
    "multifd_zlib": (("multifd",), {"multifd-channels": 2, "multifd-compression": "zlib"}),
    "multifd_zstd": (("multifd",), {"multifd-channels": 3, "multifd-compression": "zstd"}),
    "multifd_zero_copy": (("multifd", "zero-copy-send"), {"multifd-channels": 2}),
    "tended": (("x-godwit-tended-convergence",), {"max-bandwidth": LIMITED, "downtime-limit": 5}),
}
TCP = {"zero-copy-send"}  # what the kernel has for these sockets alone
ALL = sorted({name for capabilities, _ in SETS.values() for name in capabilities})
USUAL = {"max-bandwidth": NO_LIMIT, "downtime-limit": 300, "multifd-compression": "none", "multifd-channels": 2}


class Codecs(Journey):
    def setUp(self):
        self.used = {}

    def incoming(self, role):
        return "defer"

    def choose(self):
        return self.names[0] if len(self.names) == 1 else self.random.choice(self.names)

    def turn(self, side, on):
        side.qmp.command("migrate-set-capabilities", capabilities=[{"capability": c, "state": c in on} for c in ALL])

    def goal(self, box, to):
        name = self.choose()
        self.used[name] = self.used.get(name, 0) + 1
        capabilities, parameters = SETS[name]
        for side in (to, box):
            self.turn(side, ())  # some values rule some capabilities out
            side.qmp.command("migrate-set-parameters", **dict(USUAL, **parameters))
            self.turn(side, capabilities)
        address = "tcp:127.0.0.1:0" if TCP & set(capabilities) else "unix:" + self.path(to.role + ".in")
        to.qmp.command("migrate-incoming", uri=address)
        return address if address.startswith("unix") else to.address()

    def journeys(self, names, moves=MOVES, workload="sparse", accel="unicorn"):
        self.names = names
        self.journey(workload, moves, accel)
        print("    " + ", ".join("%s %d" % n for n in sorted(self.used.items())))


def make(names, **options):
    return lambda self: self.journeys(names, **options)


for each in SETS:
    setattr(Codecs, "test_" + each, make([each]))
for each in WORKLOADS:
    setattr(Codecs, "test_mixed_" + each, make(list(SETS), workload=each))


if __name__ == "__main__":
    unittest.main()
