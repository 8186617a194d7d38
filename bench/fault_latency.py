#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long does who reads a page that has not come yet wait for it, while all others come at full rate?

    bench/fault_latency.py [--build build/check/plain] [--qemu 11.1] [--mib 256] [--runs 3] [--preempt]

A QEMU whose processor stands still is the destination of a postcopy migration. Its monitor for tests reads pages from the end of memory on,
backwards, towards the others that come from the beginning: each read is a page that was not there. Served by godwit out of a parked
file (compressed, and not), and by a QEMU of the same version out of its memory, in turn. The time includes that of the monitor
(below, "there already": the same reads when all has come). It needs what the tests need (scripts/peers).
"""
import argparse
import os
import sys
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
STRIDE = 37  # pages: beyond the background pages sent around a request


def words(times):
    times = sorted(times)
    at = [times[min(len(times) - 1, int(len(times) * q))] * 1000 for q in (0.5, 0.9, 0.99)]
    return "%4d reads, p50 %.2f ms, p90 %.2f ms, p99 %.2f ms" % (len(times), *at)


def faults(told):
    """The counts of a QEMU of 10.1 or later: how many waits were up to 1, 2, 4, ... us long."""
    if not told:
        return ""
    places = [1 << at for at, n in enumerate(told) for _ in range(n)]
    at = [places[min(len(places) - 1, int(len(places) * q))] / 1000 for q in (0.5, 0.9, 0.99)]
    return "%d faults, p50 up to %.3g ms, p90 %.3g ms, p99 %.3g ms; " % (len(places), *at)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(TOP, "build", "check", "plain"))
    p.add_argument("--qemu", default="11.1")
    p.add_argument("--mib", type=int, default=256)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--preempt", action="store_true", help="QEMU's postcopy-preempt, too")
    o = p.parse_args()
    os.environ["GODWIT_TOP"], os.environ["GODWIT_BUILD"] = TOP, os.path.abspath(o.build)
    from harness import Qtest, wait_until, write_file
    from test_park_live import Parking
    size = o.mib << 20

    class Bench(Parking):
        def target(self, role, capabilities):
            target = self.qemu(o.qemu, role, memory=size, machine="microvm,memory-backend=r", block=None, incoming="", qtest=True,
                               capabilities=capabilities, args=["-object", "memory-backend-ram,id=r,size=%d" % size])
            target.qmp.command("migrate-incoming", uri=self.unix(role))
            return target

        def reads(self, target):
            """Waits until all pages have arrived: (times before that, times after it)."""
            wait_until("its pages follow", lambda: target.qmp.seen("MIGRATION", status="postcopy-active"))
            guest, times, at = Qtest(target.qtest_path), [], time.perf_counter()
            for page in range((size >> 12) - 600, 600, -STRIDE):
                began = time.perf_counter()
                guest.read(page << 12, 1)
                times.append(time.perf_counter() - began)
                if len(times) % 8 == 0:
                    target.qmp.poll()
                    if target.qmp.seen("MIGRATION", status="completed"):
                        break
            target.wait()
            took = time.perf_counter() - at
            after = []
            for page in range(1000, 1300):
                began = time.perf_counter()
                guest.read(page << 12, 1)
                after.append(time.perf_counter() - began)
            guest.close()
            return times, after, target.migration().get("postcopy-latency-dist"), took

        def by_godwit(self, role, parked):
            target = self.target(role, ["postcopy-ram", "postcopy-blocktime"])
            send = self.command(role + "s", "send", parked, self.unix(role), "--postcopy", "--force")
            got = self.reads(target)
            self.exits(send)
            target.close()
            return got

        def by_qemu(self, role, source, capabilities):
            target = self.target(role, capabilities)
            source.qmp.command("migrate-set-capabilities", capabilities=[
                {"capability": c, "state": c in capabilities} for c in ("postcopy-ram", "postcopy-preempt")])
            source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 20})  # few pages are sent before the switch
            source.migrate(self.unix(role))
            wait_until("it may be told", lambda: source.migration().get("status") == "active")
            source.qmp.command("migrate-start-postcopy")
            got = self.reads(target)
            target.close()
            return got

        def test(self):
            ram = write_file(self.path("ram"), b"".join(os.urandom(2048) + bytes(2048) for _ in range(size >> 12)))
            source = self.qemu(o.qemu, "source", memory=size, ram=ram, machine="microvm", paused=True)
            parked = self.parked(source, self.unix(), "--compress", "none")
            packed = self.path("packed")
            self.exits(self.command("convert", "convert", parked, packed, "--format", "parked"))
            ways = [("godwit, uncompressed", lambda r: self.by_godwit(r, parked)), ("godwit, zstd", lambda r: self.by_godwit(r, packed))]

            def from_qemu(role, capabilities):
                again = self.qemu(o.qemu, role + "q", memory=size, ram=ram, machine="microvm", paused=True)
                got = self.by_qemu(role, again, capabilities)
                again.close()
                return got
            ways.append(("QEMU", lambda r: from_qemu(r, ["postcopy-ram", "postcopy-blocktime"])))
            if o.preempt:
                ways.append(("QEMU, preempt", lambda r: from_qemu(r, ["postcopy-ram", "postcopy-preempt"])))
            for i in range(o.runs):
                for name, way in ways:
                    times, after, told, took = way("%s%d" % ("".join(c for c in name if c.isalpha()), i))
                    print("%-21s %s%s (there already: p50 %.2f ms); all in %.1f s" % (
                        name + ":", faults(told), words(times), sorted(after)[len(after) // 2] * 1000, took), flush=True)

    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Bench))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
