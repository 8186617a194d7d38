#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How soon does a parked guest run? A Linux guest is parked, and started in QEMU by `godwit send --postcopy` and `godwit serve`.

    bench/at_once.py [--build build/check/plain] [--qemu 10.0] [--runs 5] [--mib 256 8192] [--area 16] [--many 20] [--all-first]
    bench/at_once.py --working-set [--rate 8M]
    either with [--nbd MS] [--godwit PATH]

Counted from the start of the command to the moment at which QEMU says that the guest runs. Each is done with a file that is
compressed and one that is not, in the page cache and not (posix_fadvise). The guest has written some MiB of its memory (--area, and
what Linux uses); the rest of it are zeros. --many: so many at once from one `serve`, of the first size. --all-first: without
--postcopy, too. --working-set: how many pages the guest asks for in its first two seconds, with a record of the run before and
without. --nbd: the file is on an NBD server (nbdkit), each of whose reads takes so many milliseconds. --godwit: another command than that
of the build, to compare with. It needs what the tests need (scripts/setup check, scripts/peers).
"""
import argparse
import json
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


def words(runs):
    return "%.0f ms (%.0f to %.0f)" % (statistics.median(runs), min(runs), max(runs))


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--build", default=os.path.join(TOP, "build", "check", "plain"))
    p.add_argument("--qemu", default="10.0")
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--mib", type=int, nargs="*", default=[256, 8192])
    p.add_argument("--area", type=int, default=16)
    p.add_argument("--many", type=int, default=20)
    p.add_argument("--all-first", action="store_true")
    p.add_argument("--working-set", action="store_true")
    p.add_argument("--rate", default="8M")
    p.add_argument("--nbd", type=int)
    p.add_argument("--godwit")
    o = p.parse_args()
    os.environ["GODWIT_TOP"], os.environ["GODWIT_BUILD"] = TOP, os.path.abspath(o.build)
    from harness import Case, built, wait_until
    from journey import Journey

    godwit = o.godwit or built("cli/godwit")

    class Bench(Case):
        def place(self, path):
            """The command's arguments for this file."""
            at = path + ".nbd"
            if o.nbd is None:
                return path
            if not os.path.exists(at):
                server = subprocess.Popen(["nbdkit", "-f", "-U", at, "--filter=delay", "file", path, "delay-read=%dms" % o.nbd])
                self.addCleanup(server.wait)
                self.addCleanup(server.kill)
                wait_until("nbdkit listens", lambda: os.path.exists(at))
            return "nbd+unix:///?socket=" + at

        def target(self, journey, role):
            target = journey.qemu(o.qemu, role, incoming="", capabilities=["postcopy-ram"])
            uri = "unix:" + self.path(role)
            target.qmp.command("migrate-incoming", uri=uri)
            return target, uri

        def runs(self, target, began):
            at = wait_until("the guest runs", lambda: target.qmp.seen("RESUME"))["timestamp"]
            return 1000 * (at["seconds"] + at["microseconds"] / 1e6 - began)

        def once(self, journey, parked, role, options, cold):
            target, uri = self.target(journey, role)
            if cold:
                forget(parked)
            place = self.place(parked)
            began = time.time()
            send = subprocess.Popen([godwit, "send", place, uri, "--force", "--quiet", *options])
            runs = self.runs(target, began)
            self.assertEqual(send.wait(), 0)
            all_there = 1000 * (time.time() - began)
            target.wait()
            target.close()
            return runs, all_there

        def parked(self, mib):
            journey = Journey(self, "microvm", o.qemu, memory=mib << 20, area_mib=o.area)
            source, parked = journey.leave(), self.path("parked%d" % mib)
            journey.park(source, parked, "unix")
            source.close()
            plain = parked + "-plain"
            subprocess.check_call([built("cli/godwit"), "convert", parked, plain, "--format", "parked", "--compress", "none"])
            return journey, parked, plain

        @unittest.skipIf(o.working_set, "only the working set")
        def test_one(self):
            for mib in o.mib:
                journey, parked, plain = self.parked(mib)
                for name, options in (("at once", ["--postcopy"]), ("all first", []))[:1 + o.all_first]:
                    for kind, path in (("zstd", parked), ("uncompressed", plain)):
                        for cold in (False, True):
                            got = [self.once(journey, path, "%d%s%s%d%d" % (mib, name[:2], kind[0], cold, i), options, cold)
                                   for i in range(o.runs)]
                            print("%5d MiB, %-12s %4.0f MiB, %-8s %-9s runs after %s, all there after %.0f ms" % (
                                mib, kind, os.path.getsize(path) / 2**20, "cold," if cold else "cached,", name,
                                words([r for r, _ in got]), statistics.median(a for _, a in got)), flush=True)

        @unittest.skipIf(o.working_set or not o.many, "only one")
        def test_many(self):
            journey, parked, plain = self.parked(o.mib[0])
            for kind, path in (("zstd", parked), ("uncompressed", plain)):
                for cold in (False, True):
                    targets = [self.target(journey, "%s%d%d" % (kind[0], cold, i)) for i in range(o.many)]
                    if cold:
                        forget(path)
                    began = time.time()
                    serve = subprocess.Popen([godwit, "serve", path, "--force", "--json", *[uri for _, uri in targets]],
                                             stdout=subprocess.PIPE, text=True)
                    runs = [self.runs(target, began) for target, _ in targets]
                    end = json.loads(serve.communicate()[0].splitlines()[-1])
                    self.assertEqual(serve.returncode, 0)
                    print("%d at once, %d MiB, %-12s %-7s run after %s, all there after %.0f ms; %d pages read, %d sent" % (
                        o.many, o.mib[0], kind, "cold," if cold else "cached,", words(runs), 1000 * (time.time() - began),
                        end["cache"]["read-pages"], end["cache"]["given-pages"]), flush=True)
                    for target, _ in targets:
                        target.wait()
                        target.close()

        @unittest.skipUnless(o.working_set, "not asked for")
        def test_working_set(self):
            journey, parked, _ = self.parked(o.mib[0])
            record = self.path("record")

            def two_seconds(role, command, options, seconds=2):
                """Its measurement; then it is cancelled. Uses the output of `ctl destinations`."""
                target, uri = self.target(journey, role)
                send = subprocess.Popen([godwit, command, self.place(parked), uri, "--force", "--parameter", "max-postcopy-bandwidth=" + o.rate,
                                         *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                self.runs(target, 0)
                time.sleep(seconds)
                told = subprocess.run([built("cli/godwit"), "ctl", self.path("control"), "destinations", "--json"],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
                send.terminate()  # it reports that the guest runs there; the second signal ends it
                time.sleep(0.2)
                send.terminate()
                send.wait()
                target.close()
                return json.loads(told or "{}")
            for i in range(o.runs):
                two_seconds("r%d" % i, "send", ["--postcopy", "--record", record], 6)
                listen = ["--listen", "unix:" + self.path("control")]
                n = [two_seconds("%s%d" % (name, i), "serve", listen + more)["destinations"][0]["requests"]
                     for name, more in (("a", []), ("b", ["--working-set", record]))]
                print("%d MiB at %s/s: asked for in the first 2 s: %d without, %d with a record (%d bytes)" % (
                    o.mib[0], o.rate, n[0], n[1], os.path.getsize(record)), flush=True)
                os.unlink(record)

    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Bench))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
