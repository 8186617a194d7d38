#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How soon does a parked guest run? A Linux guest is parked, and started in QEMU by `godwit send --postcopy` and without.

    bench/at_once.py [--build build/check/plain] [--qemu 10.0] [--runs 5] [--mib 256 ...]

Counted from the start of the command to the moment at which QEMU says that the guest runs. It needs what the tests need
(scripts/setup check, scripts/peers). --cold: the file is not in the page cache.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))


def forget(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(TOP, "build", "check", "plain"))
    p.add_argument("--qemu", default="10.0")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--mib", type=int, nargs="*", default=[128, 1024])
    p.add_argument("--cold", action="store_true")
    o = p.parse_args()
    os.environ["GODWIT_TOP"], os.environ["GODWIT_BUILD"] = TOP, os.path.abspath(o.build)
    from harness import Case, built, wait_until
    from journey import Journey

    class Bench(Case):
        def once(self, journey, parked, role, options):
            target = journey.qemu(o.qemu, role, incoming="", capabilities=["postcopy-ram"])
            uri = "unix:" + self.path(role)
            target.qmp.command("migrate-incoming", uri=uri)
            if o.cold:
                forget(parked)
            began = time.time()
            send = subprocess.Popen([built("cli/godwit"), "send", parked, uri, "--force", "--quiet", *options])
            at = wait_until("the guest runs", lambda: target.qmp.seen("RESUME"))["timestamp"]
            runs = at["seconds"] + at["microseconds"] / 1e6 - began
            self.assertEqual(send.wait(), 0)
            all_there = time.time() - began
            target.wait()
            target.close()
            return 1000 * runs, 1000 * all_there

        def test(self):
            for mib in o.mib:
                journey = Journey(self, "microvm", o.qemu, memory=mib << 20)
                source, parked = journey.leave(), self.path("parked%d" % mib)
                journey.park(source, parked, "unix")
                for name, options in (("at once", ["--postcopy"]), ("all first", [])):
                    got = [self.once(journey, parked, "%d-%s-%d" % (mib, name[:2], i), options) for i in range(o.runs)]
                    print("%5d MiB, %-9s  runs after %s ms, all there after %.0f ms" % (
                        mib, name, " ".join("%.1f" % r for r, _ in got), statistics.median(a for _, a in got)), flush=True)
                source.close()

    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Bench))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
