# SPDX-License-Identifier: MIT
# builds: plain asan
"""`godwit snapshot save` and `load` of stopped disks, beside what qemu-img of all versions does: its snapshots that go back here are
byte for byte what it makes of them itself, and the other way round."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PEERS, Case, built, fetched  # noqa: E402
from versions import VERSIONS  # noqa: E402

# Bytes that are written before each snapshot, in turn: pattern, offset, length.
WRITES = ((1, "0", "300k"), (2, "100k", "70k"), (3, "1M", "513k"), (4, "5000", "2k"))


class Load(Case):
    def tool(self, version, program, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), program, *args], cwd=self.folder,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run)
        return run.stdout

    def godwit(self, *argv, status=0):
        run = subprocess.run([built("cli/godwit"), "snapshot", *argv], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, status, run)
        return run.stdout + run.stderr

    def image(self, version, name, *options):
        self.tool(version, "qemu-img", "create", "-q", "-f", "qcow2", *options, name, "4M")

    def write(self, version, name, byte, offset, count):
        self.tool(version, "qemu-io", "-f", "qcow2", "-c", "write -q -P %d %s %s" % (byte, offset, count), name)

    def same(self, version, a, b):
        self.tool(version, "qemu-img", "compare", "-q", a, b)
        for name in a, b:
            self.tool(version, "qemu-img", "check", "-q", name)

    def test_theirs(self):
        for version in VERSIONS:
            for options in ((), ("-o", "compat=0.10"), ("-o", "cluster_size=4k")):
                with self.subTest(version=version, options=options):
                    for name in "ours", "theirs":
                        if os.path.exists(self.path(name)):
                            os.unlink(self.path(name))
                    self.image(version, "theirs", *options)
                    for i, w in enumerate(WRITES):
                        self.write(version, "theirs", *w)
                        self.tool(version, "qemu-img", "snapshot", "-c", "s%d" % i, "theirs")
                    self.write(version, "theirs", 9, "0", "4M")
                    shutil.copy(self.path("theirs"), self.path("ours"))
                    for i in (0, 3, 1):
                        self.tool(version, "qemu-img", "snapshot", "-a", "s%d" % i, "theirs")
                        self.godwit("load", "ours", "s%d" % i)
                        self.same(version, "ours", "theirs")
                        self.write(version, "ours", 7, "64k", "64k")
                        self.write(version, "theirs", 7, "64k", "64k")

    def test_ours(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                names = [version + n for n in ("a", "b", "keep")]
                for name in names[:2]:
                    self.image(version, name)
                    self.write(version, name, *WRITES[0])
                shutil.copy(self.path(names[0]), self.path(names[2]))
                self.godwit("save", *names[:2], "both")
                self.assertIn("has a snapshot 'both' already", self.godwit("save", *names[:2], "both", status=1))
                for name in names[:2]:
                    listed = json.loads(self.tool(version, "qemu-img", "info", "--output=json", name))["snapshots"]
                    self.assertEqual([(s["name"], s["vm-state-size"]) for s in listed], [("both", 0)])
                    self.write(version, name, *WRITES[2])
                    self.tool(version, "qemu-img", "snapshot", "-a", "both", name)
                    self.same(version, name, names[2])
                    self.write(version, name, *WRITES[2])
                self.godwit("load", *names[:2], "both")
                for name in names[:2]:
                    self.same(version, name, names[2])
                self.assertIn("has no snapshot 'nope'", self.godwit("load", *names[:2], "nope", status=1))

    def test_all_or_nothing(self):
        version = VERSIONS[-1]
        self.image(version, "a")
        self.image(version, "b", "-o", "refcount_bits=1")
        self.write(version, "b", *WRITES[0])
        self.assertIn("too narrow", self.godwit("save", "a", "b", "s", status=1))
        self.assertEqual(json.loads(self.godwit("list", "a", "--json"))["found"], [])
        self.same(version, "a", "a")
        self.tool(version, "qemu-img", "create", "-q", "-f", "raw", "raw", "4M")
        self.assertIn("qcow2", self.godwit("save", "a", "raw", "s", status=1))
        self.godwit("save", "a", "one")
        self.tool(version, "qemu-img", "bitmap", "--add", "a", "b0")
        self.assertIn("has dirty bitmaps", self.godwit("load", "a", "one", status=1))
        self.tool(version, "qemu-img", "bitmap", "--remove", "a", "b0")
        self.godwit("load", "a", "one")


if __name__ == "__main__":
    unittest.main()
