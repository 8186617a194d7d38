# SPDX-License-Identifier: MIT
"""The precondition of the other tests: the peers understand each other, the harness sees it, and the second decoder
reads what they write."""
import glob
import gzip
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import TOP, Case, Qtest, UUID, pattern, write_file  # noqa: E402
from versions import VERSIONS, circuit, says_switchover  # noqa: E402

SIZE = 16 << 20


class Peers(Case):
    def test_each_version_to_each(self):
        """One machine goes all ways; an old QEMU does not know SWITCHOVER_START, which a new one can leave out."""
        ways, ram = circuit(VERSIONS), pattern(SIZE)
        self.assertFalse(says_switchover(ways[0]))
        source = self.qemu(ways[0], "0", ram=write_file(self.path("0.ram"), ram))
        for n, version in enumerate(ways[1:], 1):
            uri = "unix:" + self.path("m%d" % n)
            with self.failing_as("%s to %s" % (source.version, version)):
                properties = [("send-switchover-start", "off")] if says_switchover(version) else []
                target = self.qemu(version, str(n), incoming=uri, properties=properties)
                source.migrate(uri)
                source.wait()
                target.wait()
                self.assert_same_ram(target.ram(), ram)
                self.assert_same_ram(target.saved_ram(), ram, "pmemsave")
            source.close()
            source = target

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
        source = self.qemu(version, version, ram=write_file(self.path(version + ".ram"), ram), **options)
        path = self.path("out" + version)
        source.migrate_to(path)
        with open(path, "rb") as f:
            return stream.decode(f.read()), ram

    def test_reads_what_old_ones_write(self):
        for version in VERSIONS:
            if not says_switchover(version):
                with self.subTest(version):
                    s, ram = self.written(version)
                    self.assertEqual(s.machine, "none")
                    self.assert_same_ram(s.ram(), ram)
                    self.assertEqual(s.commands, [])
                    self.assertTrue(s.devices["globalstate", 0])

    def test_reads_what_new_ones_write(self):
        for version in VERSIONS:
            if says_switchover(version):
                with self.subTest(version):
                    self.new(version)

    def new(self, version):
        s, ram = self.written(version, uuid=UUID, capabilities=["validate-uuid"])
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
