# SPDX-License-Identifier: MIT
"""The self-checking machine goes by postcopy, and switches at random moments: with pages of 4 KiB and of 2 MiB, with one vCPU and four, and
over the main stream alone and over multifd channels. GODWIT_MOVES=N: how many moves in four of these (200)."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box, Journey, QmpError, wait_until  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "200")) // 4
HUGE = "/proc/sys/vm/nr_hugepages"


class Postcopy(Journey):
    def setUp(self):
        super().setUp()
        self.reserved = None
        self.lanes = 0

    def reserve(self, pages):
        """Huge pages for two machines."""
        with open(HUGE) as f:
            self.reserved = f.read()
        try:
            with open(HUGE, "w") as f:
                f.write("%d\n" % (int(self.reserved) + pages))
        except PermissionError as e:
            self.reserved = None
            self.skipTest("huge pages cannot be reserved: %s" % e)
        with open(HUGE) as f:
            if int(f.read()) < int(self.reserved) + pages:
                self.skipTest("this host has not so many huge pages free")

    def tearDown(self):
        super().tearDown()
        if self.reserved is not None:
            with open(HUGE, "w") as f:
                f.write(self.reserved)

    def move(self, box, i):
        to = Box(self, "to%d" % i, self.options, incoming="defer")
        for b in (box, to):
            on = ["postcopy-ram", "events", *(["multifd"] if self.lanes else [])]
            b.qmp.command("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in on])
            if self.lanes:
                b.qmp.command("migrate-set-parameters", **{"multifd-channels": self.lanes})
        to.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": self.random.choice((2, 8, 64)) << 20, "downtime-limit": 1,
                                                     "max-postcopy-bandwidth": self.random.choice((0, 0, 16 << 20))})
        box.qmp.command("migrate", uri=to.address())
        enough = self.random.choice((0, 1, 1 << 16, 1 << 20, 3 << 20, 8 << 20))
        wait_until("so much of it went", lambda: box.migration().get("ram", {}).get("transferred", 0) >= enough or box.ended())
        try:
            box.qmp.command("migrate-start-postcopy")
        except QmpError:
            pass  # it has gone by itself
        info = wait_until("an end", box.ended)
        self.assertEqual(info["status"], "completed", "%s\n%s\n%s" % (info, box.text(), to.text()))
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.switched += bool(to.qmp.seen("MIGRATION", status="postcopy-active"))
        return self.arrived(box, to)

    def moves(self, cpus, memory, workload="hotset,rate=20M,set=16M"):
        self.seed, self.switched = 7 * cpus, 0
        self.random = random.Random(self.seed)
        self.MEMORY = memory
        box = self.start(workload, more=["--cpus", str(cpus)])
        for i in range(MOVES):
            box = self.move(box, i)
        n = len(box.beats())
        wait_until("it goes on", lambda: len(box.beats()) > n + 1)
        self.assertEqual([b for b in box.beats() if b[3]], [])
        self.assertEqual(box.quit(), 0, box.text())
        print("%d moves, %d of them by postcopy" % (MOVES, self.switched), flush=True)
        self.assertGreater(self.switched, MOVES // 2)

    def test_small_pages(self):
        self.moves(1, "64M")

    def test_small_pages_four_vcpus(self):
        self.moves(4, "64M")

    def test_huge_pages(self):
        self.reserve(64)
        self.moves(1, "64M,page-size=2M")

    def test_huge_pages_four_vcpus(self):
        self.reserve(64)
        self.moves(4, "64M,page-size=2M")

    def test_small_pages_over_channels(self):
        self.lanes = 4
        self.moves(4, "64M")

    def test_huge_pages_over_channels(self):
        self.reserve(64)
        self.lanes = 3
        self.moves(4, "64M,page-size=2M")


if __name__ == "__main__":
    unittest.main()
