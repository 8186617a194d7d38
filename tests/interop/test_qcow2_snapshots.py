# SPDX-License-Identifier: MIT
# builds: plain asan
"""QEMU's internal snapshots as machines at rest: listed as its tools list them, read, sent on into the same version, written
so that it loads them, deleted."""
import filecmp
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ram_map  # noqa: E402
from harness import PEERS, Case, QmpClosed, built, fetched, pattern, write_file  # noqa: E402
from versions import VERSIONS  # noqa: E402

MEMORY = 16 << 20
DISK = 4 << 20


class Snapshots(Case):
    def tool(self, version, program, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), program, *args], cwd=self.folder,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run)
        return run.stdout

    def godwit(self, *argv, status=(0,)):
        run = subprocess.run([built("cli/godwit"), *argv], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             env=dict(os.environ, TMPDIR=self.folder))
        self.assertIn(run.returncode, status, run)
        return run.stdout + run.stderr

    def machine(self, version, role, image=None, **options):
        args = list(options.pop("args", []))
        if image:
            args += ["-blockdev", "driver=file,filename=%s,node-name=f" % self.path(image),
                     "-blockdev", "driver=qcow2,file=f,node-name=d"]
        return self.qemu(version, role, memory=MEMORY, machine="microvm,accel=tcg", paused=True, args=args, **options)

    def end(self, qemu):
        """Ended normally, since it must write cached data of its disk."""
        try:
            qemu.qmp.command("quit")
        except QmpClosed:
            pass
        qemu.wait_exit()
        qemu.close()
        self.processes.remove(qemu)

    def hmp(self, qemu, line):
        self.assertEqual(qemu.qmp.command("human-monitor-command", **{"command-line": line}), "")

    def saved(self, version, image, *names):
        """An image with a machine that QEMU saved there under these names; what its memory was."""
        write_file(self.path(version + ".ram"), pattern(MEMORY, seed=5))
        self.tool(version, "qemu-img", "create", "-f", "qcow2", image, str(DISK))
        self.tool(version, "qemu-io", "-f", "qcow2", "-c", "write -P 7 100k 300k", image)
        qemu = self.machine(version, "saves" + version, image, ram=self.path(version + ".ram"))
        for name in names:
            self.hmp(qemu, "savevm " + name)
        ram = qemu.saved_ram()
        self.end(qemu)
        self.assertGreater(len(set(ram[i] for i in range(0, MEMORY, 4097))), 200)  # it has the pattern
        return ram

    def sent(self, version, role, *argv):
        """What memory a waiting QEMU has once this was sent to it."""
        to = "unix:" + self.path(role + ".sock")
        qemu = self.machine(version, role, incoming=to)
        self.godwit("send", argv[0], to, "--quiet", *argv[1:])
        qemu.wait()
        ram = qemu.saved_ram()
        self.end(qemu)
        return ram

    def assert_listed(self, version, image, count):
        """As qemu-img says, as text and as JSON."""
        ours = json.loads(self.godwit("snapshot", "list", image, "--json"))["found"]
        theirs = json.loads(self.tool(version, "qemu-img", "info", "--output=json", image)).get("snapshots", [])
        for t in theirs:
            t["vm-clock-nsec"] += t.pop("vm-clock-sec") * 10**9
            t["disk-size"] = DISK
            t.pop("icount", None)
        self.assertEqual(ours, theirs)
        self.assertEqual(len(ours), count)
        table = self.tool(version, "qemu-img", "snapshot", "-l", image)
        text = self.godwit("snapshot", "list", image)
        for s in ours:
            line = re.search(r"^%s +%s .*$" % (s["id"], s["name"]), text, re.M).group()
            date, clock = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) +([\d:.]+)", line).groups()
            theirs = re.search(r"^%s +%s .*$" % (s["id"], s["name"]), table, re.M).group()
            self.assertIn(date, theirs)
            self.assertRegex(theirs, r"\b0*%s\b" % re.escape(clock.lstrip("0:") if clock.startswith("00:00:0") else clock))

    def assert_alike(self, a, b, *more):
        """Except for the host's clock, which goes on in one device."""
        *found, counts = self.godwit("diff", a, b, *more, status=(0, 3)).splitlines()
        self.assertTrue(all(line.startswith("mc146818rtc/") for line in found), found)
        self.assertTrue(counts.startswith(("0 pages, 0 RAM blocks, 0 devices, ", "no difference")), counts)

    def clean(self, version, image):
        self.tool(version, "qemu-img", "check", "-f", "qcow2", image)  # leaks are an error, too

    def test_both_ways(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                image = "image" + version
                ram = self.saved(version, image, "one", "other")
                with open(self.path(image), "rb") as f:
                    before = f.read()
                self.assert_listed(version, image, 2)
                self.godwit("convert", image, "parked" + version, "--format", "parked", "--snapshot", "one")
                self.assertIn(": whole:", self.godwit("verify", image, "--snapshot", "other"))
                told = json.loads(self.godwit("inspect", image, "--snapshot", "2", "--json"))
                self.assertIn("microvm", json.dumps(told))
                told = json.loads(self.godwit("map", image, "--snapshot", "one", "--json"))
                self.godwit("extract", "parked" + version, "--ram", "block" + version)
                with open(self.path("block" + version), "rb") as f:  # without the firmware that the machine sees over it
                    self.assertEqual(ram_map.check(self, [r for r in told if r["block"] == "r"], f.read()), 0)
                self.assert_same_ram(self.sent(version, "parked%s.to" % version, "parked" + version), ram)
                self.godwit("extract", image, "--snapshot", "one", "--ram", "same" + version)
                self.assertTrue(filecmp.cmp(self.path("same" + version), self.path("block" + version), shallow=False))
                self.godwit("diff", image, "parked" + version, "--snapshot", "one")
                self.assert_alike(image, image, "--snapshot", "one", "--snapshot-b", "other")
                for why in ("inspect", "--against", "parked" + version, image), ("schema", "explain", image, "parked" + version):
                    self.assertIn(" 0 reasons against it", self.godwit(*why, "--snapshot", "one", status=(0, 5)))
                self.assertIn("no snapshot", self.godwit("extract", image, "--snapshot", "none", "--ram", "no", status=(1,)))
                self.assert_same_ram(self.sent(version, "image%s.to" % version, image, "--snapshot", "one"), ram)
                with open(self.path(image), "rb") as f:
                    self.assertEqual(f.read(), before)  # nothing of all that has changed it
                self.assertIn("godwit snapshot list", self.godwit("verify", image, status=(3,)))
                self.written(version, image, ram)

    def test_compressed(self):
        """Compressed clusters stay, several of them in one cluster of the file, and are freed with the last that uses them."""
        self.saved("10.0", "image", "one")
        self.godwit("convert", "image", "parked", "--format", "parked", "--snapshot", "one")
        write_file(self.path("raw"), b"".join(bytes([i % 251]) * 4096 for i in range(DISK // 4096)))
        for version in VERSIONS:
            with self.subTest(version=version):
                self.tool(version, "qemu-img", "convert", "-c", "-O", "qcow2", "raw", "packed")
                self.tool(version, "qemu-img", "snapshot", "-c", "before", "packed")
                self.godwit("convert", "parked", "--into", "packed", "--snapshot", "ours")
                self.clean(version, "packed")
                self.tool(version, "qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "raw", "packed")
                self.tool(version, "qemu-io", "-f", "qcow2", "-c", "write -q -P 9 0 1M", "packed")
                self.godwit("snapshot", "delete", "packed", "before")
                self.clean(version, "packed")
                self.godwit("snapshot", "load", "packed", "ours")
                self.clean(version, "packed")
                self.tool(version, "qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", "raw", "packed")
                self.assertIn(": whole:", self.godwit("verify", "packed", "--snapshot", "ours"))

    def test_subclusters(self):
        """Nothing is written to an image with them: that is told by name, and it stays as it was."""
        self.saved("10.0", "image", "one")
        self.godwit("convert", "image", "parked", "--format", "parked", "--snapshot", "one")
        self.tool("10.0", "qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", "sub", str(DISK))
        self.tool("10.0", "qemu-io", "-f", "qcow2", "-c", "write -q -P 7 100k 3k", "sub")
        self.tool("10.0", "qemu-img", "snapshot", "-c", "s", "sub")
        with open(self.path("sub"), "rb") as f:
            before = f.read()
        for argv in (["convert", "parked", "--into", "sub", "--snapshot", "ours"], ["snapshot", "save", "sub", "ours"],
                     ["snapshot", "load", "sub", "s"], ["snapshot", "delete", "sub", "s"]):
            self.assertIn("the image has subclusters (extended L2 entries)", self.godwit(*argv, status=(1,)))
        self.assertRegex(self.godwit("snapshot", "list", "sub"), r"(?m)^1 +s ")
        with open(self.path("sub"), "rb") as f:
            self.assertEqual(f.read(), before)

    def written(self, version, image, ram):
        """Ours, which QEMU loads when it starts."""
        self.godwit("snapshot", "delete", image, "other")
        self.clean(version, image)
        self.godwit("convert", "parked" + version, "--into", image, "--snapshot", "ours")
        self.clean(version, image)
        self.assert_listed(version, image, 2)
        self.godwit("snapshot", "delete", image, "one")
        self.clean(version, image)
        self.assertIn("already", self.godwit("convert", "parked" + version, "--into", image, "--snapshot", "ours", status=(1,)))
        qemu = self.machine(version, "loads" + version, image, args=["-loadvm", "ours"])
        self.assert_same_ram(qemu.saved_ram(), ram)
        self.assertIn("end the other one first", self.godwit("snapshot", "delete", image, "ours", status=(1,)))  # it has the disk
        self.hmp(qemu, "savevm again")
        self.end(qemu)
        self.clean(version, image)
        self.assert_listed(version, image, 2)
        self.godwit("convert", image, "again" + version, "--format", "parked", "--snapshot", "again")
        self.assert_alike("parked" + version, "again" + version)
        self.tool(version, "qemu-io", "-f", "qcow2", "-c", "read -P 7 100k 300k", image)

    def test_bitmaps_stay(self):
        """Of incremental backups: they track what was written to the disk, which snapshots do not."""
        version = VERSIONS[-1]
        self.saved(version, "image", "one")
        self.tool(version, "qemu-img", "bitmap", "--add", "image", "b")
        self.tool(version, "qemu-io", "-f", "qcow2", "-c", "write 1M 64k", "image")
        self.godwit("convert", "image", "parked", "--format", "parked", "--snapshot", "one")
        self.godwit("snapshot", "delete", "image", "one")
        self.godwit("convert", "parked", "--into", "image", "--snapshot", "two")
        self.clean(version, "image")
        info = self.tool(version, "qemu-img", "info", "image")
        self.assertIn("name: b", info)
        self.assertNotIn("in-use", info)


if __name__ == "__main__":
    unittest.main()
