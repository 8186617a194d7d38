# SPDX-License-Identifier: MIT
# builds: plain asan
"""Guests with a virtio-mem device, whose QEMU 10.0 sends it in the set-up, behind the START of the RAM: as files of every
kind, there and back."""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, PAGE, SLOW, Case, Program, Qtest, built, pattern, read_file, wait_until, write_file  # noqa: E402

SIZE = 16 << 20
BLOCK = 2 << 20
DEVICE = 32 << 20
PLUGGED = (1, 2, 9)  # of its 16 blocks
BAR = 0xE0000000
QUEUE = 0x200000     # of the guest's RAM: descriptors, rings, request, answer
RAM = bytearray(pattern(SIZE, seed=31))
RAM[QUEUE:QUEUE + PAGE] = bytes(PAGE)


class VirtioMem:
    """A driver that can plug blocks, by qtest: there is no guest."""

    def __init__(self, qtest, slot=1):
        self.qtest, self.slot = qtest, slot
        self.config(0x10 + 4 * 4, BAR)
        self.config(0x10 + 4 * 5, 0)
        self.config(0x04, self.config(0x04) & 0xFFFF | 6)
        self.areas = {}
        at = self.config(0x34) & 0xFF
        while at:
            head = self.config(at)
            if head & 0xFF == 9:
                self.areas.setdefault(head >> 24, BAR + self.config(at + 8))
            at = head >> 8 & 0xFF
        self.common, self.notify, self.own = self.areas[1], self.areas[2], self.areas[4]

    def config(self, register, value=None):
        self.qtest.command("outl 0xcf8 0x%x" % (1 << 31 | self.slot << 11 | register))
        if value is None:
            return int(self.qtest.command("inl 0xcfc")[0], 16)
        return self.qtest.command("outl 0xcfc 0x%x" % value)

    def put(self, at, size, value):
        self.qtest.write(at, value.to_bytes(size, "little"))

    def get(self, at, size):
        return int.from_bytes(self.qtest.read(at, size), "little")

    def start(self):
        for status in (0, 1, 3):
            self.put(self.common + 20, 1, status)
        for half, accepted in ((0, 2), (1, 1)):  # blocks that are not plugged are not accessed; version 1
            self.put(self.common, 4, half)
            offered = self.get(self.common + 4, 4)
            self.put(self.common + 8, 4, half)
            self.put(self.common + 12, 4, offered & accepted)
        self.put(self.common + 20, 1, 11)
        self.put(self.common + 22, 2, 0)
        self.put(self.common + 24, 2, 8)
        for register, at in ((32, 0), (40, 0x200), (48, 0x400)):
            self.put(self.common + register, 8, QUEUE + at)
        self.put(self.common + 28, 2, 1)
        self.put(self.common + 20, 1, 15)
        self.asked = 0

    def plug(self, block):
        address = self.get(self.own + 16, 8) + block * self.get(self.own, 8)
        self.qtest.write(QUEUE + 0x600, struct.pack("<H6xQH6x", 0, address, 1) + bytes(16))
        self.qtest.write(QUEUE, struct.pack("<QIHHQIHH", QUEUE + 0x600, 24, 1, 1, QUEUE + 0x700, 10, 2, 0))
        self.asked += 1
        self.qtest.write(QUEUE + 0x200 + 4 + 2 * ((self.asked - 1) % 8), struct.pack("<H", 0))
        self.qtest.write(QUEUE + 0x202, struct.pack("<H", self.asked))
        self.put(self.notify, 2, 0)
        wait_until("answer", lambda: self.get(QUEUE + 0x402, 2) == self.asked)
        kind = self.get(QUEUE + 0x700, 2)
        if kind:
            raise AssertionError("virtio-mem answered %u" % kind)
        return address


class Early(Case):
    def machine(self, role, **options):
        extra = write_file(self.path(role + ".vm0"), bytes(DEVICE))
        q = self.qemu("10.0", role, memory=SIZE, machine="q35", qtest=True, paused=True, args=[
            "-m", "maxmem=1G,slots=2",
            "-object", "memory-backend-file,id=vm0,size=%d,mem-path=%s,share=on,reserve=off" % (DEVICE, extra),
            "-device", "virtio-mem-pci,id=vmem,addr=1,memdev=vm0,requested-size=%d" % (len(PLUGGED) * BLOCK)], **options)
        q.extra = extra
        q.test = Qtest(q.qtest_path)
        self.addCleanup(q.test.close)
        return q

    def source(self, **options):
        """Blocks are plugged, the others not. No CPU ever runs."""
        q = self.machine("source", ram=write_file(self.path("source.ram"), bytes(RAM)), **options)
        driver = VirtioMem(q.test)
        driver.start()
        for n, block in enumerate(PLUGGED):
            q.test.write(driver.plug(block) + n * PAGE, b"block %u" % block)
        self.assertEqual(self.plugged(q)["size"], len(PLUGGED) * BLOCK)
        return q

    def plugged(self, q):
        data = q.qmp.command("query-memory-devices")[0]["data"]
        return {k: data[k] for k in ("size", "requested-size", "memaddr")}

    def godwit(self, *argv):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def assert_early(self, file, behind):
        """As inspect sees a stream: the device stands in the set-up."""
        names = [(e["element"], e.get("name", "")) for e in json.loads(self.godwit("inspect", file, "--json"))["elements"]]
        early = next(i for i, (what, name) in enumerate(names) if name.endswith("-early"))
        start = names.index(("START", "ram"))
        self.assertEqual(early - start, 1 if behind else -1, names)

    def assert_arrives(self, role, source, feed, uri=None):
        """The machine is the same in another QEMU."""
        target = self.machine(role, incoming=uri)
        feed(target)
        target.wait()
        self.assertEqual(self.plugged(target), self.plugged(source))
        self.assert_same_ram(target.ram(), source.ram())
        self.assert_same_ram(read_file(target.extra), read_file(source.extra), "virtio-mem")
        driver = VirtioMem(target.test)
        self.assertEqual(driver.get(driver.common + 20, 1), 15)
        target.close()

    def send(self, file, *options):
        def feed(target):
            self.godwit("send", file, "unix:" + self.path(target.role + ".in"), *options)
        return feed

    def sent(self, role, source, file):
        self.assert_arrives(role, source, self.send(file), "unix:" + self.path(role + ".in"))

    def test_received(self):
        """QEMU -> receive -> file -> send -> QEMU, with every kind of file between."""
        rx = Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output",
                                       self.path("guest"), "--json"])
        address = rx.wait_event("listening")["uri"]
        src = self.source(capabilities=["return-path"])
        src.migrate(address)
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        src.wait()
        self.godwit("verify", self.path("guest"))
        self.sent("target", src, self.path("guest"))
        for kind in ("stream", "mapped-ram"):
            file = self.path(kind)
            self.godwit("convert", self.path("guest"), file, "--format", kind)
            self.assert_early(file, True)
            self.assertEqual(self.godwit("diff", self.path("guest"), file), "no difference\n")
            self.sent("target-" + kind, src, file)
        self.godwit("send", self.path("guest"), "file:" + self.path("sent"), "--peer", "10.0")
        self.assert_early(self.path("sent"), True)

    def test_files_of_qemu(self):
        """Files that QEMU wrote are taken, and files of ours are taken by QEMU."""
        for kind, capabilities in (("stream", []), ("mapped-ram", ["mapped-ram"])):
            src = self.source(capabilities=capabilities)
            file = self.path(kind)
            src.migrate("file:" + file)
            src.wait()
            self.assert_early(file, True)
            self.godwit("verify", file)
            self.godwit("convert", file, file + ".parked", "--format", "parked")
            self.godwit("convert", file + ".parked", file + ".again", "--format", kind)
            self.sent("target-" + kind, src, file)

            def load(target):
                target.set_capabilities(*capabilities)
                target.qmp.command("migrate-incoming", uri="file:" + file + ".again")
            self.assert_arrives("loads-" + kind, src, load, "")
            src.close()


if __name__ == "__main__":
    unittest.main()
