# SPDX-License-Identifier: MIT
"""Snapshots of a running machine `none`, which QEMU loads, and of a QEMU, which godwit parks and sends on: RAM byte for byte
what it was at one moment."""
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import (DEADLINE_S, PAGE, SLOW, Case, Program, QmpError, Qtest, built, pattern, read_file)  # noqa: E402
from places import file_uri, wait_listening  # noqa: E402
from versions import VERSIONS, has_mapped_ram, profile  # noqa: E402

SIZE = 16 << 20
ITS_OWN = slice(1 << 20, SIZE - (1 << 20))  # below and above it firmware works
RAM = pattern(SIZE, seed=61)
SET = 8 << 20
SNAPSHOT = ["background-snapshot"]


def at_write(ram):
    """The RAM of the machine when its writer had made the last write that is in `ram` (see none_vm.c)."""
    pages = SET // PAGE
    first = [struct.unpack_from("<Q", ram, i * PAGE)[0] for i in range(pages)]
    last = max([k for i, k in enumerate(first) if k and (k - 1) % pages == i], default=0)
    want = bytearray(RAM)
    for k in range(max(1, last - pages + 1), last + 1):
        page = (k - 1) % pages * PAGE
        struct.pack_into("<Q", want, page, k)
        struct.pack_into("<Q", want, page + 256 * 8, k * 0x9E3779B97F4A7C15 & (1 << 64) - 1)
    return last, bytes(want)


class Snapshot(Case):
    def godwit(self, *args):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, "%s: %s" % (args[0], r.stderr + r.stdout))
        return r.stdout + r.stderr

    def snapshot(self, role, uri, writes=True, **options):
        """The source, which has been saved and runs on."""
        if writes:
            options = dict({"rate": 20000, "working_set": "8M"}, **options)
        source = self.none_vm(role, "send", uri, ram=RAM, **dict({"capabilities": SNAPSHOT}, **options))
        end = source.end()
        self.assert_ok(end)
        self.assertEqual((end["owner"], end["running"]), ("source", True))
        self.assertTrue(source.seen("stop") and source.seen("resume"))
        return source

    def qemu_loads(self, version, uri, **options):
        target = self.qemu(version, "target-" + version, incoming=uri, **options)
        target.wait()
        target.wait_state("running")
        last, want = at_write(target.ram())
        self.assert_same_ram(target.ram(), want, version)
        target.close()
        return last

    def test_a_file(self):
        for version in VERSIONS:
            with self.subTest(version):
                path = self.path("file" + version)
                self.snapshot("source" + version, "file:" + path, peer=profile(version))
                s = stream.decode(read_file(path))
                last, want = at_write(s.ram())
                self.assert_same_ram(s.ram(), want, "second decoder")
                self.assertEqual(s.devices["globalstate", 0]["runstate"].split(b"\0")[0], b"running")
                self.assertEqual(self.qemu_loads(version, file_uri(version, path, True)), last)

    def test_a_socket(self):
        for version in VERSIONS:
            with self.subTest(version):
                uri = "unix:" + self.path("in" + version)
                target = self.qemu(version, "target" + version, incoming=uri)
                source = self.snapshot("source" + version, uri, peer=profile(version))
                target.wait()
                last, want = at_write(target.ram())
                self.assert_same_ram(target.ram(), want)
                self.assertGreaterEqual(source.end()["written"], last)

    def test_mapped_ram(self):
        path = self.path("file")
        self.snapshot("source", "file:" + path, capabilities=SNAPSHOT + ["mapped-ram"], peer="10.0")
        self.godwit("verify", path)
        for version in filter(has_mapped_ram, VERSIONS):
            self.qemu_loads(version, "file:" + path, capabilities=["mapped-ram"])

    def test_parked(self):
        """Parked here, verified, and then sent to each."""
        path = self.path("parked")
        rx = Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("in"), "-o", path, "--json"])
        wait_listening(rx, "unix:" + self.path("in"))
        self.snapshot("source", "unix:" + self.path("in"))
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        self.assertTrue(rx.seen("snapshot"))
        self.assertIsNone(rx.seen("parked"))
        self.assertNotIn("parked", self.godwit("verify", path).split(":", 1)[1])
        for version in VERSIONS:
            uri = "unix:" + self.path("to" + version)
            target = self.qemu(version, "target" + version, incoming=uri)
            self.godwit("send", path, uri, "--force")
            target.wait()
            last, want = at_write(target.ram())
            self.assert_same_ram(target.ram(), want, version)
            target.close()

    def test_of_a_qemu(self):
        """QEMU makes it, godwit parks it, each QEMU gets it."""
        for version in ("7.2", "10.0", "11.1"):
            with self.subTest(version):
                path, uri = self.path("parked" + version), "unix:" + self.path("in" + version)
                rx = Program(self, "receive" + version, [built("cli/godwit"), "receive", uri, "-o", path, "--json"])
                wait_listening(rx, uri)
                # Memory of a shared file is not for its snapshots.
                source = self.qemu(version, "source" + version, machine="microvm", block=None, qtest=True)
                writer = Qtest(source.qtest_path)
                for page in range(256, SIZE // PAGE - 256, 7):
                    writer.write(page * PAGE, RAM[page * PAGE:page * PAGE + 64])
                ram = source.saved_ram()[ITS_OWN]
                self.assertNotEqual(ram, bytes(len(ram)))
                try:
                    source.set_capabilities("background-snapshot")
                except QmpError as e:
                    self.assertIn("not supported by host kernel", str(e))
                    rx.process.terminate()
                    self.skipTest("no userfaultfd with write protection for QEMU here")
                source.migrate(uri)
                self.assertEqual(rx.wait_exit(), 0, rx.text())
                self.assertTrue(rx.seen("snapshot"))
                source.wait_state("running")
                source.close()
                self.godwit("verify", path)
                to = "unix:" + self.path("to" + version)
                target = self.qemu(version, "target" + version, incoming=to, machine="microvm", block=None)
                self.godwit("send", path, to)
                target.wait()
                self.assert_same_ram(target.saved_ram()[ITS_OWN], ram, version)
                target.close()

    def test_lost(self):
        """The reader disconnects: the machine runs on, and can be saved once more."""
        source = self.none_vm("source", "send", "exec:head -c 100000 >/dev/null; exit 1", ram=RAM, capabilities=SNAPSHOT,
                              rate=20000, working_set="8M")
        end = source.end()
        self.assertEqual((end["status"], end["owner"], end["running"]), ("failed", "source", True))


if __name__ == "__main__":
    unittest.main()
