# SPDX-License-Identifier: MIT
"""The ground that the other tests stand on: the peers understand each other, the harness sees it, and the second decoder
reads what they write."""
import glob
import gzip
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import TOP, Case, Qtest, UUID, pattern, write_file  # noqa: E402

SIZE = 16 << 20


class Peers(Case):
    def pair(self, a, b, properties=()):
        ram = pattern(SIZE)
        source = self.qemu(a, "source", ram=write_file(self.path("source.ram"), ram), properties=properties)
        target = self.qemu(b, "target", incoming="unix:" + self.path("m"))
        source.migrate("unix:" + self.path("m"))
        source.wait()
        target.wait()
        self.assert_same_ram(target.ram(), ram)
        self.assert_same_ram(target.saved_ram(), ram, "pmemsave")

    def test_7_2_to_10_0(self):
        self.pair("7.2", "10.0")

    def test_10_0_to_7_2_without_switchover_start(self):
        self.pair("10.0", "7.2", [("send-switchover-start", "off")])

    def test_qtest_reads_and_writes_memory(self):
        vm = self.qemu("7.2", "vm", machine="pc", qtest=True, args=["-accel", "tcg"], paused=True)
        q = Qtest(vm.qtest_path)
        self.addCleanup(q.close)
        q.write(0x300000, b"godwit was here")
        self.assertEqual(q.read(0x300000, 15), b"godwit was here")
        self.assertEqual(vm.ram()[0x300000:0x30000F], b"godwit was here")


class SecondDecoder(Case):
    def written(self, version, **options):
        ram = pattern(SIZE, seed=3)
        source = self.qemu(version, "source", ram=write_file(self.path("source.ram"), ram), **options)
        path = self.path("out")
        source.migrate_to(path)
        with open(path, "rb") as f:
            return stream.decode(f.read()), ram

    def test_reads_what_7_2_writes(self):
        s, ram = self.written("7.2")
        self.assertEqual(s.machine, "none")
        self.assert_same_ram(s.ram(), ram)
        self.assertEqual(s.commands, [])
        self.assertTrue(s.devices["globalstate", 0])

    def test_reads_what_10_0_writes(self):
        s, ram = self.written("10.0", uuid=UUID, capabilities=["validate-uuid"])
        self.assert_same_ram(s.ram(), ram)
        self.assertEqual(s.uuid, UUID.replace("-", ""))
        self.assertEqual([name for _, name, _ in s.commands], ["switchover-start"])

    def test_reads_the_golden_captures(self):
        paths = glob.glob(os.path.join(TOP, "tests", "golden", "captures", "precopy-*.bin*"))
        paths = [p for p in paths if "dst2src" not in p]
        self.assertTrue(paths)
        for path in paths:
            with self.subTest(os.path.basename(path)), (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
                s = stream.decode(f.read())
                self.assertTrue(s.ended and s.vmdesc is not None)

    def test_refuses_a_cut_or_changed_stream(self):
        ram = pattern(1 << 20, seed=3)
        source = self.qemu("7.2", "source", ram=write_file(self.path("source.ram"), ram), memory=1 << 20)
        source.migrate_to(self.path("out"))
        with open(self.path("out"), "rb") as f:
            data = f.read()
        for cut in (0, 7, 20, 100, len(data) // 2, len(data) - 900):
            with self.subTest(cut=cut), self.assertRaises(stream.StreamError):
                stream.decode(data[:cut])
        wrong = bytearray(data)
        wrong[data.index(b"\x7e\x00\x00\x00")] = 0x7D
        with self.assertRaises(stream.StreamError):
            stream.decode(bytes(wrong))


if __name__ == "__main__":
    unittest.main()
