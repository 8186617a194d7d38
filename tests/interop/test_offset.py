# SPDX-License-Identifier: MIT
# builds: plain asan
"""QEMU 10.0 writes behind what a file has already (file:F,offset=N), streams and mapped-ram files; all commands read that."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ram_map  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, Program, built, pattern, read_file, write_file  # noqa: E402

SIZE, AT = 16 << 20, 0x1800
RAM = pattern(SIZE, seed=23)
BEFORE = bytes(range(256)) * 40


class Offset(Case):
    def cli(self, *args, code=0):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, code, "%s: %s" % (args[0], r.stderr + r.stdout))
        return r.stdout + r.stderr

    def written(self, *capabilities):
        """FILE,offset=N of a guest that QEMU has written there."""
        path = write_file(self.path("file"), BEFORE)
        src = self.qemu("10.0", "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM), capabilities=capabilities)
        src.migrate("file:%s,offset=0x%x" % (path, AT))
        src.wait()
        self.assertEqual(read_file(path)[:AT], BEFORE[:AT])
        return "%s,offset=%d" % (path, AT)

    def arrives(self, file):
        dst = self.qemu("10.0", "target", memory=SIZE, incoming="unix:" + self.path("in"))
        self.cli("send", file, "unix:" + self.path("in"))
        dst.wait()
        self.assert_same_ram(dst.ram(), RAM)
        dst.close()

    def looked_at(self, file):
        self.assertIn("%d bytes)" % os.path.getsize(self.path("file")), self.cli("inspect", file))
        self.assertIn("whole", self.cli("verify", file))
        placed = ram_map.check(self, json.loads(self.cli("map", "--json", file)), RAM, read_file(self.path("file")))
        self.assertEqual(placed, sum(k != "zero" for k in ram_map.kinds(RAM)))
        self.cli("extract", file, "--ram", self.path("ram"))
        self.assert_same_ram(read_file(self.path("ram")), RAM)
        self.cli("convert", file, self.path("parked"), "--format", "parked")
        self.assertIn("no difference", self.cli("diff", file, self.path("parked")))
        self.arrives(file)
        self.assertIn("this is the file", self.cli("send", file, "file:" + self.path("file"), "--force", code=1))

    def test_stream(self):
        file = self.written()
        self.looked_at(file)
        rx = Program(self, "receive", [built("cli/godwit"), "receive", "file:" + file, "--output", self.path("received")])
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        self.assertIn("no difference", self.cli("diff", file, self.path("received")))
        # What we write behind something is read by QEMU and by us.
        ours = "%s,offset=%d" % (write_file(self.path("ours"), BEFORE), AT)
        self.cli("send", file, "file:" + ours, "--force")
        self.assertEqual(read_file(self.path("ours"))[:AT], BEFORE[:AT])
        self.assertIn("no difference", self.cli("diff", file, ours))
        dst = self.qemu("10.0", "again", memory=SIZE, incoming="file:" + ours)
        dst.wait()
        self.assert_same_ram(dst.ram(), RAM)

    def test_mapped(self):
        """Places in it are those of the whole file."""
        self.looked_at(self.written("mapped-ram"))


if __name__ == "__main__":
    unittest.main()
