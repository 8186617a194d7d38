# SPDX-License-Identifier: MIT
# builds: plain asan
"""The disk of a machine is on an NBD server: the guest checks what it wrote there."""
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box  # noqa: E402
from harness import Case, read_file, wait_until, with_machine  # noqa: E402
from places import listens  # noqa: E402
from test_nbd import setUpModule  # noqa: E402, F401  skips where there is no libnbd


class Disk(Case):
    def serve(self, *argv):
        self.image, self.socket = self.path("disk.raw"), self.path("nbd")
        with open(self.image, "wb") as f:
            f.truncate(16 << 20)
        log = open(self.path("server.log"), "wb")
        self.addCleanup(log.close)
        self.server = subprocess.Popen([a % {"image": self.image, "socket": self.socket} for a in argv], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        self.addCleanup(self.server.wait)
        self.addCleanup(self.server.kill)
        wait_until("the server listens", lambda: listens("unix:" + self.socket) or self.server.poll() is not None)
        self.uri = "nbd+unix:///?socket=" + self.socket

    def box(self, role="vm", incoming=False, **how):
        return Box(self, role, ["--memory", "16M", "--accel", "unicorn", "--workload", "disk,rate=20M,seed=3", "--disk", self.uri],
                   incoming=incoming, **how)

    def written(self):
        """4 KiB blocks of the file that hold something."""
        data = read_file(self.image)
        return sum(1 for o in range(0, len(data), 4096) if data[o:o + 4096].strip(b"\0"))

    def guest_checks_itself(self):
        box = self.box()
        wait_until("it has written to the server", lambda: self.written() > 64 or not box.alive())
        wait_until("beats", lambda: len(box.beats()) > 2 or not box.alive())
        to = self.box("to", incoming=True)
        box.qmp.command("migrate", uri=to.address())
        wait_until("the machine runs there", lambda: to.status() == "running")
        beats = len(to.beats())
        wait_until("beats there", lambda: len(to.beats()) > beats + 2 or not to.alive())
        self.assertEqual(to.quit(), 0, to.text())
        self.assertEqual([b for b in to.beats() if b[3]], [])

    def test_nbdkit(self):
        self.serve("nbdkit", "-f", "-U", "%(socket)s", "file", "%(image)s")
        self.guest_checks_itself()

    @unittest.skipUnless(shutil.which("qemu-nbd"), "qemu-nbd is not installed")
    def test_qemu_nbd(self):
        self.serve("qemu-nbd", "-k", "%(socket)s", "-f", "raw", "-t", "-e", "4", "%(image)s")
        self.guest_checks_itself()

    def test_read_only_export(self):
        self.serve("nbdkit", "-f", "-r", "-U", "%(socket)s", "file", "%(image)s")
        run = subprocess.run([with_machine(), "vm", "--memory", "16M", "--paused", "--disk", self.uri], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 1, run)
        self.assertIn("read-only", run.stderr)


if __name__ == "__main__":
    unittest.main()
