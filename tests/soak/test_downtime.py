# SPDX-License-Identifier: MIT
"""The downtime that was promised, measured by the engine and inside the guest, at the default limit of 300 ms.

The guest measures gaps in a clock that goes on while it is away; the largest one between the last heartbeat here and the
first one there is taken, so what a busy host steals from it in that second counts against us. At most limit + 20 ms in 95 of
100 runs. GODWIT_MOVES=N changes the 100.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box, Journey, wait_until  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "100"))
LIMIT_MS, SLACK_MS = 300, 20


class Downtime(Journey):
    MEMORY = "128M"

    def measure(self, workload, bandwidth):
        self.seed = 1
        self.downtimes, gaps = [], []
        box = self.start(workload)
        for i in range(MOVES):
            box.qmp.command("migrate-set-parameters", **{"max-bandwidth": bandwidth})
            to = Box(self, "vm%d" % (i + 1), self.options, incoming=True)
            box.qmp.command("migrate", uri=to.address())
            info = wait_until("an end", box.ended, 120)
            self.assertEqual(info["status"], "completed", info)
            self.downtimes.append(info["x-godwit"]["downtime-us"] / 1e3)
            box = self.arrived(box, to)
            gaps.append(wait_until("a heartbeat there", box.beats)[0][2] / 1e3)
        self.assertEqual(box.quit(), 0, box.text())
        within = sum(g <= LIMIT_MS + SLACK_MS for g in gaps)
        engine, guest = sorted(self.downtimes), sorted(gaps)

        def line(name, v):
            return "%s %.1f / %.1f / %.1f ms" % (name, v[len(v) // 2], v[int(len(v) * 0.95)], v[-1])
        print("%s at %d MiB/s: %s; %s (median / 95%% / max); %d of %d within %d ms" % (
            workload, bandwidth >> 20, line("engine", engine), line("guest", guest), within, MOVES, LIMIT_MS + SLACK_MS))
        self.assertGreaterEqual(within, MOVES * 95 // 100)

    def test_tight_link(self):
        """The guest dirties three quarters of what the link carries: the rest never gets small by itself."""
        self.measure("uniform,rate=30M,set=64M", 40 << 20)

    def test_wide_link(self):
        self.measure("hotset,rate=30M,set=64M", 0)


if __name__ == "__main__":
    unittest.main()
