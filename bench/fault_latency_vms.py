#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long does a machine wait for a page between two `godwit vm`, while all others come at full rate?

    bench/fault_latency_vms.py [--build build/check/plain] [--mib 256] [--runs 3] [--accel unicorn] [--tcp] [--preempt]
                               [--lanes 0,1,2,4]

The guest writes at random over all of its memory when it goes, so that it waits for nearly every page that it comes to. Counted by the
destination (`postcopy-latency-dist`, whose classes are powers of two of us; `postcopy-latency`, the mean). It needs what the
tests need (scripts/setup check).
"""
import argparse
import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))


def up_to(dist, q):
    """The class, in us, below which the part q of the waits is."""
    left = sum(dist) * q
    for at, n in enumerate(dist):
        left -= n
        if left <= 0:
            return 1 << at
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(TOP, "build", "check", "plain"))
    p.add_argument("--mib", type=int, default=256)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--accel", default="unicorn")
    p.add_argument("--tcp", action="store_true", help="TCP over the loopback device, and not a Unix socket")
    p.add_argument("--preempt", action="store_true", help="with postcopy-preempt as well")
    p.add_argument("--lanes", default="0", help="multifd channels, in turn; 0: all comes on the main one")
    o = p.parse_args()
    os.environ["GODWIT_TOP"], os.environ["GODWIT_BUILD"] = TOP, os.path.abspath(o.build)
    from box import Box, Journey, wait_until

    class Bench(Journey):
        MEMORY = "%dM" % o.mib
        seed = 5

        def run_once(self, role, more, lanes):
            names = ["postcopy-ram", "events", *more, *(["multifd"] if lanes else [])]
            box = self.start("uniform,rate=400M", accel=o.accel)
            wait_until("its memory is full", lambda: len(box.beats()) > 3)
            to = Box(self, role, self.options, incoming="defer")
            for b, extra in ((box, []), (to, ["postcopy-blocktime"])):
                b.qmp.command("migrate-set-capabilities", capabilities=[{"capability": n, "state": True} for n in names + extra])
                b.qmp.command("migrate-set-parameters", **({"multifd-channels": lanes} if lanes else {"downtime-limit": 300}))
            to.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0" if o.tcp else "unix:" + self.path(role + ".m"))
            box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 20})  # few pages are sent before the switch
            box.qmp.command("migrate", uri=to.address())
            box.qmp.command("migrate-start-postcopy")
            wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
            sent, waits = box.migration(), to.migration()
            for b in (box, to):
                b.quit()
                b.close()
                self.processes.remove(b)
            return sent, waits

        def test(self):
            kinds = [(more, int(n)) for n in o.lanes.split(",") for more in (([], ["postcopy-preempt"]) if o.preempt else ([],))]
            for i in range(o.runs):
                for more, lanes in kinds:
                    sent, waits = self.run_once("to%d%s-%d" % (i, len(more), lanes), more, lanes)
                    dist = waits["postcopy-latency-dist"]
                    print("%d lanes, %-9s %5d waits, p50 up to %d us, p90 %d us, p99 %d us; mean %d us; gap %d us; all in %d ms" % (
                        lanes, "preempt:" if more else "plain:", sum(dist), up_to(dist, .5), up_to(dist, .9), up_to(dist, .99),
                        waits["postcopy-latency"] // 1000, sent["x-godwit"]["downtime-us"], sent["total-time"]), flush=True)

    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Bench))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
