# SPDX-License-Identifier: MIT
# builds: plain
"""A large dirty bitmap, half of whose bits are set, moves in bounded memory: between two godwits, to QEMU 7.2 and 10.0, and from the latter. Peaks are
those of the processes (VmHWM), compared with the same journey of a small bitmap.

GODWIT_BITMAP_BYTES=N changes the 16 MiB (128 MiB: a disk of 64 TiB); what is measured is printed.
"""
import hashlib
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, read_file  # noqa: E402

MIB = 1 << 20
BYTES = int(os.environ.get("GODWIT_BITMAP_BYTES", 16 * MIB))
SMALL = 4096
GRANULARITY = 65536
CAPABILITIES = ["dirty-bitmaps"]
# Other memory that the destination of a bitmap may use: one byte per 1024 bytes, buffers for chunks, and the like.
ROOM = 8 * MIB
# A QEMU with next to no memory to send learns nothing of its link, and goes on for ever unless it is told; one that can be told sends here. A godwit
# takes some seconds.
SOURCE = "10.0"


class Memory(Case):
    def setUp(self):
        self.hops = 0

    def our_disk(self, size, bits):
        words = [("disk", ":n0:%d" % size)]
        if bits:  # each second 32 of them
            words += [("bitmap", "n0:b:%d" % GRANULARITY),
                      ("wrote", "n0:0:%d:%d:%d" % (32 * GRANULARITY, 64 * GRANULARITY, size // (64 * GRANULARITY)))]
        return words

    def peak(self, vm):
        pid = vm.process.pid
        return int(re.search(r"VmHWM:\s+(\d+) kB", read_file("/proc/%d/status" % pid).decode()).group(1)) << 10

    def ours(self, role, size, bits=False, uri=None, peer="7.2"):
        vm = self.none_vm(role, "send" if bits else "recv", uri, capabilities=CAPABILITIES, memory=4 * MIB, peer=peer if bits else None,
                          disks=self.our_disk(size, bits), stay=True, parameters={"max-bandwidth": 0})
        if not bits:
            vm.address()
        return vm

    def theirs(self, version, role, size, uri):
        told = {"avail-switchover-bandwidth": 1 << 40} if version == SOURCE else {}
        return self.qemu(version, role, incoming=uri, capabilities=CAPABILITIES, memory=4 * MIB, parameters={"max-bandwidth": 1 << 40, **told},
                         args=["-blockdev", "driver=null-co,node-name=n0,size=%d" % size])

    def uri(self):
        self.hops += 1
        return "unix:" + self.path("m%d" % self.hops)

    def in_ours(self, vm):
        bitmap, = vm.ask("counts", "counts")["bitmaps"]
        return bitmap["count"], bitmap["ranges"]

    def in_theirs(self, vm):
        return vm.qmp.command("x-debug-block-dirty-bitmap-sha256", node="n0", name="b")["sha256"]

    def journey(self, length):
        """Each path; (peak of the source, of the destination) of each, in bytes."""
        size = length * 8 * GRANULARITY
        digest = hashlib.sha256(b"\xff\xff\xff\xff\0\0\0\0" * (length // 8)).hexdigest()
        peaks, text = {}, []

        def note(name, source, target, began):
            peaks[name] = self.peak(source), self.peak(target)
            text.append("%s %.2f s, peaks %.1f and %.1f MiB" % (name, time.monotonic() - began, *(p / MIB for p in peaks[name])))

        uri = self.uri()
        to, began = self.ours("ours-in", size, uri=uri), time.monotonic()
        source = self.ours("ours-out", size, True, uri)
        self.assert_ok(source.end())
        self.assert_ok(to.end())
        note("godwit to godwit", source, to, began)
        want = self.in_ours(source)
        self.assertEqual(want[0], size // 2)
        self.assertEqual(self.in_ours(to), want)
        source.close()
        to.close()

        for version in ("7.2", SOURCE):
            uri = self.uri()
            first, began = self.theirs(version, "first" + version, size, uri), time.monotonic()
            source = self.ours("ours-to" + version, size, True, uri, version)
            self.assert_ok(source.end())
            first.wait()
            note("godwit to QEMU " + version, source, first, began)
            source.close()
            self.assertEqual(self.in_theirs(first), digest)

        uri = self.uri()
        second, began = self.theirs(SOURCE, "second", size, uri), time.monotonic()
        first.qmp.command("migrate", uri=uri)
        first.wait()
        second.wait()
        note("QEMU to QEMU", first, second, began)
        self.assertEqual(self.in_theirs(second), digest)

        uri = self.uri()
        to, began = self.ours("ours-in2", size, uri=uri), time.monotonic()
        second.qmp.command("migrate", uri=uri)
        self.assert_ok(to.end())
        second.wait()
        note("QEMU to godwit", second, to, began)
        self.assertEqual(self.in_ours(to), want)
        self.close_all()
        self.processes.clear()
        print("bitmap of %.3f MiB: %s" % (length / MIB, "; ".join(text)))
        return peaks

    def test_bounded(self):
        small, large = self.journey(SMALL), self.journey(BYTES)
        for name in large:
            grew = [b - a for a, b in zip(small[name], large[name])]
            print("%s: grew by %.1f and %.1f MiB" % (name, *(g / MIB for g in grew)))
            for who, more in zip(name.split(" to "), grew):
                if who == "godwit":
                    self.assertLess(more, BYTES + BYTES // 8 + ROOM, name)


if __name__ == "__main__":
    unittest.main()
