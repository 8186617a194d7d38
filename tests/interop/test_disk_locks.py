# SPDX-License-Identifier: MIT
# builds: plain asan
"""One disk, two programs: QEMUs of all versions and godwit keep out of each other's images."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box  # noqa: E402
from harness import Case, QmpError, peer, wait_until, with_machine  # noqa: E402
from versions import VERSIONS  # noqa: E402


class Locks(Case):
    def setUp(self):
        self.disk = self.path("disk.raw")
        with open(self.disk, "wb") as f:
            f.truncate(8 << 20)

    def box(self, *options, role="vm"):
        return Box(self, role, ["--memory", "16M", "--accel", "unicorn", "--disk", ",".join((self.disk, *options))])

    def refused(self, *options):
        """The error of a machine that cannot lock the disk."""
        run = subprocess.run([with_machine(), "vm", "--memory", "16M", "--accel", "unicorn", "--paused", "--disk",
                              ",".join((self.disk, *options))], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(run.returncode, 1, run)
        self.assertIn(self.disk, run.stderr)
        self.assertIn("end the other one first", run.stderr)
        return run.stderr

    def drive(self, more="", device=""):
        return ["-drive", "if=none,id=d,format=raw,file=%s%s" % (self.disk, more), "-device", "virtio-blk-pci,drive=d" + device]

    def qemu_with_disk(self, version, **drive):
        return self.qemu(version, "qemu", machine="q35", block=None, paused=True, args=self.drive(**drive))

    def test_qemu_has_it(self):
        for version in VERSIONS:
            with self.subTest(qemu=version):
                qemu = self.qemu_with_disk(version)
                self.refused()
                self.refused("readonly")
                box = self.box("locking=off")
                box.close()
                self.processes.remove(box)
                qemu.close()
                self.processes.remove(qemu)
                box = self.box()  # it is free again
                box.close()
                self.processes.remove(box)

    def test_qemu_shares_it(self):
        """share-rw: others may write, so a godwit that excludes other writers is still refused, by its own lock."""
        self.qemu_with_disk(VERSIONS[-1], device=",share-rw=on")
        self.assertIn("writes to it", self.refused())

    def test_both_read(self):
        qemu = self.qemu_with_disk(VERSIONS[-1], more=",readonly=on")
        self.box("readonly")
        self.assertTrue(qemu.alive())
        self.refused()

    def test_godwit_has_it(self):
        self.box()
        for version in VERSIONS:
            run = subprocess.run([peer(version), "-M", "q35", "-nodefaults", "-display", "none", "-S", *self.drive()],
                                 stdin=subprocess.DEVNULL, capture_output=True, text=True)
            self.assertNotEqual(run.returncode, 0, version)
            self.assertIn("lock", run.stderr, version)

    def tool(self, *argv):
        return subprocess.run([*argv, self.disk], stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def test_tools(self):
        box = self.box()
        for argv in (("qemu-io", "-f", "raw", "-c", "write 0 512"), ("qemu-img", "resize", "-f", "raw", "--shrink")):
            run = self.tool(*argv) if argv[0] == "qemu-io" else subprocess.run([*argv, self.disk, "4M"], capture_output=True, text=True)
            self.assertNotEqual(run.returncode, 0, run)
            self.assertIn("lock", run.stderr)
        self.assertEqual(self.tool("qemu-img", "info", "-f", "raw", "-U").returncode, 0)
        box.qmp.command("stop")  # it is still its machine's
        self.assertNotEqual(self.tool("qemu-io", "-f", "raw", "-c", "write 0 512").returncode, 0)
        self.goes(box)
        self.assertEqual(self.tool("qemu-io", "-f", "raw", "-c", "write 0 512").returncode, 0)

    def goes(self, box):
        """Into a file: it may go on elsewhere with its disk."""
        box.qmp.command("migrate", uri="file:" + self.path("gone"))
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed")

    def test_start_finds_it_taken(self):
        box = self.box()
        self.goes(box)
        qemu = self.qemu_with_disk(VERSIONS[-1])
        with self.assertRaisesRegex(QmpError, "end the other one first"):
            box.qmp.command("cont", **{"x-godwit-force": True})
        self.assertEqual(box.status(), "postmigrate")
        qemu.close()
        self.processes.remove(qemu)
        box.qmp.command("cont", **{"x-godwit-force": True})
        wait_until("it runs", lambda: box.status() == "running")
        self.refused()


if __name__ == "__main__":
    unittest.main()
