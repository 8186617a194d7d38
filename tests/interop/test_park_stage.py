# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""`godwit receive` writes a parked file while the machine comes and packs it after the source was told: whatever ends the packing,
the file is whole. test_park.py has the rest."""
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PAGE, Case, Program, built, pattern, peer, wait_until, write_file  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=9)
SLOWLY = ["--level", "22"]


def prose(size, seed):
    """Memory without zeros or copies that packs well, and at the highest level slowly."""
    rnd = random.Random(seed)
    words = [bytes(rnd.choices(b"abcdefghijklmnop", k=rnd.randint(2, 9))) for _ in range(4000)]
    text = b" ".join(rnd.choices(words, k=size // 5))
    return text[:size]


PROSE = prose(SIZE, 3)


class Staged(Case):
    def receive(self, folder, *options):
        return Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output",
                                         os.path.join(folder, "guest"), "--json", *options])

    def place(self):
        folder = self.path("out")
        os.mkdir(folder)
        return folder

    def small(self, size):
        folder = self.place()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", folder], capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", folder], check=True)
        return folder

    def start(self, folder, *options, version="10.0", ram=RAM):
        rx = self.receive(folder, *options)
        address = rx.wait_event("listening")["uri"]
        src = self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), ram),
                        capabilities=["return-path"])
        src.migrate(address)
        return rx, src

    def durable(self, folder, *options, **source):
        """The source has been told, and packing begins."""
        rx, src = self.start(folder, *options, **source)
        rx.wait_event("durable")
        src.wait()
        return rx

    def parked(self, rx, packed):
        event = rx.wait_event("parked")
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        self.assertNotIn("Sanitizer", rx.text())
        self.assertEqual(event["packed"], packed, rx.text())

    def assert_whole(self, folder, ram=RAM, version="10.0"):
        path = os.path.join(folder, "guest")
        r = subprocess.run([built("cli/godwit"), "verify", path], capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        dst = self.qemu(version, "target", memory=SIZE, incoming="unix:" + self.path("b"))
        r = subprocess.run([built("cli/godwit"), "send", path, "unix:" + self.path("b"), "--peer", version],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(r.returncode, 0, r.stderr)
        dst.wait()
        self.assert_same_ram(dst.ram(), ram)

    def test_packed(self):
        folder = self.place()
        rx = self.durable(folder)
        self.parked(rx, True)
        self.assertEqual(os.listdir(folder), ["guest"])
        self.assertLess(os.stat(os.path.join(folder, "guest")).st_size, SIZE)
        self.assert_whole(folder)

    def test_not_compressed(self):
        folder = self.place()
        rx = self.durable(folder, "--compress", "none", version="7.2")
        self.parked(rx, True)
        self.assertEqual(os.listdir(folder), ["guest"])
        self.assert_whole(folder, version="7.2")

    def test_interrupted_while_packing(self):
        folder = self.place()
        rx = self.durable(folder, *SLOWLY, ram=PROSE)
        os.kill(rx.process.pid, signal.SIGTERM)
        self.parked(rx, False)
        self.assertIn("interrupted while packing; the machine is whole in", rx.text())
        self.assertEqual(os.listdir(folder), ["guest"])
        self.assertGreater(os.stat(os.path.join(folder, "guest")).st_size, SIZE)
        self.assert_whole(folder, PROSE)

    def test_killed_while_packing(self):
        folder = self.place()
        rx = self.durable(folder, *SLOWLY, ram=PROSE)
        wait_until("two files", lambda: len(os.listdir(folder)) == 2)
        os.kill(rx.process.pid, signal.SIGKILL)
        rx.process.wait()
        self.assertIn("guest", os.listdir(folder))
        self.assert_whole(folder, PROSE)

    def test_full_disk_while_packing(self):
        """There is room for the first file, and not for another one."""
        used = sum(RAM[o:o + PAGE].count(0) != PAGE for o in range(0, SIZE, PAGE)) * PAGE
        folder = self.small("%dk" % ((used >> 10) + 2500))
        rx = self.durable(folder)
        self.parked(rx, False)
        self.assertIn("No space left", rx.text())
        self.assertIn("the machine is whole in", rx.text())
        self.assertEqual(os.listdir(folder), ["guest"])
        self.assert_whole(folder)

    def test_only_packed_it_fits(self):
        """No room for the first file: it is packed before the source is told."""
        folder = self.small("12m")
        rx, src = self.start(folder, ram=PROSE)
        self.parked(rx, True)
        self.assertIn("No space left", rx.text())
        self.assertNotIn('"durable"', rx.text())
        src.wait()
        self.assertEqual(os.listdir(folder), ["guest"])
        self.assert_whole(folder, PROSE)

    def test_removed_while_packing(self):
        """Its guest may run elsewhere by now: it does not come back."""
        folder = self.place()
        rx = self.durable(folder, "--level", "15", ram=PROSE)
        os.unlink(os.path.join(folder, "guest"))
        self.parked(rx, False)
        self.assertIn("it was moved, removed or replaced", rx.text())
        self.assertEqual(os.listdir(folder), [])

    def test_source_dies_while_it_is_written(self):
        folder = self.place()
        rx = self.receive(folder)
        address = rx.wait_event("listening")["uri"]
        src = self.qemu("10.0", "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM),
                        capabilities=["return-path"], parameters={"max-bandwidth": 1 << 18})
        src.migrate(address)
        wait_until("the temporary file", lambda: os.listdir(folder))
        src.wait_sent()
        os.kill(src.process.pid, signal.SIGKILL)
        self.assertEqual(rx.wait_exit(), 1, rx.text())
        self.assertNotIn("Sanitizer", rx.text())
        self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    peer("7.2"), peer("10.0")
    unittest.main()
