# SPDX-License-Identifier: MIT
"""How many programs run at a time: as many as there are processors, and more while processors are idle.

Many tests wait most of the time, for a QEMU that starts or for a peer that is to give up. With as many programs as
processors, two of five processor seconds were idle; with many more, those that compute would get in each other's way."""
import concurrent.futures
import os
import time

LOOK_S = 1.0  # how long the machine is observed before one more program is started
IDLE = 0.25  # idle share of all processors above which one more is started
MOST = 3  # limit per processor, even if they are idle
LOOK_TICKS = 100  # of all processors together; fewer are too few for a measurement
FREE_BYTES = 3 << 30  # free memory below which no additional program is started


def idle_ticks():
    """(idle, all) ticks of all processors so far; None: not available here."""
    try:
        with open("/proc/stat") as f:
            ticks = [int(x) for x in f.readline().split()[1:9]]
    except (OSError, ValueError):
        return None
    return (ticks[3] + ticks[4], sum(ticks)) if len(ticks) == 8 else None


def free_bytes():
    try:
        with open("/proc/meminfo") as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 0


class Crowd:
    """jobs: always exactly so many; None: as the processors are busy. look: idle_ticks or what stands for it."""

    def __init__(self, jobs=None, processors=None, look=idle_ticks, free=free_bytes):
        self.usual = jobs or processors or len(os.sched_getaffinity(0))
        self.most = jobs or MOST * self.usual
        self.look, self.free = look, free
        self.then = look()

    def room(self, running):
        """Whether one more may start. Starting one above the usual number begins a new measurement."""
        if running < self.usual:
            return True
        if running >= self.most:
            return False
        now = self.look()
        if not now or not self.then or now[1] - self.then[1] < LOOK_TICKS:
            return False
        idle = (now[0] - self.then[0]) / (now[1] - self.then[1])
        self.then = now
        return idle >= IDLE and self.free() >= FREE_BYTES

    def run(self, work, items):
        """The results of work(item), in the order in which they end."""
        items, futures = list(items), set()
        with concurrent.futures.ThreadPoolExecutor(max_workers=self.most) as pool:
            while items or futures:
                while items and self.room(len(futures)):
                    futures.add(pool.submit(work, items.pop(0)))
                done, futures = concurrent.futures.wait(futures, LOOK_S if items and len(futures) < self.most else None,
                                                        concurrent.futures.FIRST_COMPLETED)
                for f in done:
                    yield f.result()
