# SPDX-License-Identifier: MIT
# builds: plain asan
"""`inspect` on one screen, and `map`, of every capture and of machines in each format. Of QEMUs' own files: test_offset.py, of
snapshots in disk images: test_qcow2_snapshots.py, of what was lost in postcopy: test_receive_postcopy.py."""
import json
import os
import re
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ram_map  # noqa: E402
from harness import DEADLINE_S, SLOW, TOP, Case, built, read_file, write_file  # noqa: E402

GOLDEN = os.path.join(TOP, "tests", "golden")
PAGE = 4096


class Map(Case):
    def godwit(self, *argv, status=(0,)):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertIn(r.returncode, status, r.stderr)
        return r.stdout

    def captures(self):
        folder = os.path.join(GOLDEN, "captures")
        return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if ".bin" in f or ".save" in f]

    def parked(self):
        folder = os.path.join(GOLDEN, "parked", "accept")
        return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.endswith(".park")]

    def test_one_screen(self):
        files = self.captures() + self.parked()
        self.assertGreater(len(files), 70)
        for file in files:
            with self.subTest(os.path.basename(file)):
                text = self.godwit("inspect", file, status=(0, 1))
                lines = text.splitlines()
                self.assertLessEqual(len(lines), 60)
                self.assertLessEqual(max(map(len, lines), default=0), 100)
                if "no migration stream" not in text and text:
                    self.assertIn("--all shows everything", lines[-1])

    def test_all_is_more(self):
        for file in self.parked()[:1] + [f for f in self.captures() if "precopy-pc" in f]:
            screen, everything = self.godwit("inspect", file), self.godwit("inspect", "--all", file)
            self.assertIn("\nelements\n", everything)
            self.assertNotIn("\nelements\n", screen)
            self.assertIn("\ndevices: ", screen)
        self.assertIn("env.eip = ", everything)
        self.assertEqual(json.loads(self.godwit("inspect", "--json", file)), json.loads(self.godwit("inspect", "--json", "--all", file)))
        self.assertIn("env.eip = ", self.godwit("inspect", "--device", "cpu", file))

    def test_each_format(self):
        """One machine, and one map of it; what is said to be in the file is there."""
        stream = os.path.join(GOLDEN, "parked", "accept", "arrived.park")
        self.godwit("extract", stream, "--ram", self.path("ram"))
        ram = read_file(self.path("ram"))
        filled = sum(k != "zero" for k in ram_map.kinds(ram))
        self.assertEqual(filled, 11)
        for name, placed, how in (("stream", filled, ["--format", "stream"]), ("gzip", 0, ["--format", "stream", "--compress", "gzip"]),
                                  ("mapped", filled, ["--format", "mapped-ram"]), ("none", filled, ["--format", "parked", "--compress", "none"]),
                                  ("libvirt", filled, ["--format", "libvirt", "--xml", write_file(self.path("xml"), b"<domain/>\n")])):
            with self.subTest(name):
                file = self.path(name)
                self.godwit("convert", "--quiet", stream, file, *how)
                self.assertEqual(ram_map.check(self, json.loads(self.godwit("map", "--json", file)), ram, read_file(file)), placed)
        self.assertEqual(ram_map.check(self, json.loads(self.godwit("map", "--json", stream)), ram, read_file(stream)), filled)
        packed = os.path.join(GOLDEN, "parked", "accept", "packed.park")
        ram_map.check(self, json.loads(self.godwit("map", "--json", packed)), ram, read_file(packed))

    def test_text(self):
        text = self.godwit("map", os.path.join(GOLDEN, "parked", "accept", "arrived.park"))
        self.assertRegex(text, r"\Ar: 4[.]00 MiB, zero 3[.]96 MiB \(98[.]9%\), data [0-9.]+ KiB \([0-9.]+%\), shared 20[.]0 KiB ")
        picture = re.search(r"^  \[([#=.?-]+)\]$", text, re.M).group(1)
        self.assertLessEqual(len(picture) + 4, 80)
        self.assertIn(".", picture)
        self.assertTrue(set(picture) & set("#=-"))
        runs = re.findall(r"^  0x([0-9a-f]+)-0x([0-9a-f]+) +[0-9.]+ \w+  (zero|data|shared)$", text, re.M)
        self.assertEqual([a[0] for a in runs[1:]], [a[1] for a in runs[:-1]])  # no gap: few runs are all listed
        self.assertNotIn("shorter runs", text)

    def test_many_runs(self):
        """Without --all the longest are listed."""
        ram = bytearray(400 * PAGE)
        for i in range(0, 400, 2):
            ram[i * PAGE:(i + 1) * PAGE] = struct.pack("<I", i + 1) * (PAGE // 4)
        ram[390 * PAGE:] = bytes(10 * PAGE)
        text = self.godwit("map", write_file(self.path("made"), ram_map.stream(bytes(ram))))
        self.assertEqual(len(re.findall(r"^  0x", text, re.M)), 20)
        self.assertIn("  0x000000185000-0x000000190000", text)  # the longest, which is the last
        self.assertIn("and 370 shorter runs (--all lists them)", text)
        everything = self.godwit("map", "--all", self.path("made"))
        self.assertEqual(len(re.findall(r"^  0x", everything, re.M)), 390)

    def test_refused(self):
        r = subprocess.run([built("cli/godwit"), "map", self.path("none")], capture_output=True, text=True)
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        self.assertRegex(r.stderr, r"\Agodwit map: .*No such file[^\n]*\n\Z")
        multifd = os.path.join(GOLDEN, "captures", "multifd-10.0.main.src2dst.bin")
        self.assertIn("multifd", subprocess.run([built("cli/godwit"), "map", multifd], capture_output=True, text=True).stderr)


if __name__ == "__main__":
    unittest.main()
