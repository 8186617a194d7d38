# SPDX-License-Identifier: MIT
# builds: plain asan
"""`receive --ram-folder` on a small file system: a machine that fits is accepted, and one that does not is refused
before anything is lost."""
import gzip
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import TOP, built, read_file, write_file  # noqa: E402
from test_park import Parks  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "sparse-64M-7.2.bin.gz")


class Small(Parks):
    def small(self, megabytes):
        """A file system of this size of its own."""
        folder = self.path("small%d" % megabytes)
        os.mkdir(folder)
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dM" % megabytes, "tmpfs", folder], capture_output=True, text=True)
        if r.returncode:
            self.skipTest("no file system can be mounted here: " + r.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", folder], capture_output=True)
        return folder

    def test_holes_cost_nothing(self):
        """64 MiB of which one page is something, in 4 MB: also when it is packed, which reads all of it."""
        with gzip.open(CAPTURE) as f:
            stream = write_file(self.path("stream"), f.read())
        folder = self.small(4)
        for more in (), ("--format", "stream"):
            rx = self.receive("file:" + stream, "--ram-folder", folder, "--force", *more)
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            self.assertEqual(self.diff(stream, self.out("guest")), "no difference\n")

    def diff(self, a, b):
        return subprocess.run([built("cli/godwit"), "diff", a, b], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout

    def test_no_space(self):
        ram = write_file(self.path("source.ram"), os.urandom(16 << 20))
        src = self.qemu("10.0", "source", memory=16 << 20, ram=ram, capabilities=["return-path"])
        before = read_file(ram)
        rx = self.receive(None, "--ram-folder", self.small(8))
        src.migrate(rx.wait_event("listening")["uri"])
        src.wait("failed")
        src.wait_state("running")
        self.assertEqual(rx.wait_exit(), 1)
        self.assertIn("room for the guest's RAM (block r, offset 0x", rx.text())
        self.assertIn("No space left on device", rx.text())
        self.assert_same_ram(src.ram(), before)
        # The same source once more, where there is room.
        src.qmp.events.clear()
        rx = self.receive("unix:" + self.path("again"), "--ram-folder", self.small(32))
        src.migrate(rx.wait_event("listening")["uri"])
        src.wait()
        self.assertEqual(rx.wait_exit(), 0, rx.text())


if __name__ == "__main__":
    unittest.main()
