# SPDX-License-Identifier: MIT
# builds: plain asan
"""Machines that are no PCs, from QEMU 7.2: park, look, convert to every format and back, send into the same QEMU, where
the guest goes on. What they have that a PC has not: pages of 1 KiB, live sections that are not known here, devices whose
description does not fit.

Each guest is a few instructions that count in memory."""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, Program, built, pattern, read_file, wait_until, write_file  # noqa: E402

SIZE, PSERIES = 64 << 20, 256 << 20  # the least that they take
XML = "<domain type='qemu'>\n  <name>guest</name>\n</domain>\n"
COUNTER, CODE, DATA = 0x100000, 0x180000, 0x200000  # in RAM
NOISE = pattern(1 << 20, seed=17)


def words(order, *values):
    return struct.pack(order + "%dI" % len(values), *values)


# r1 = the counter's place; r0 += 1; *r1 = r0; and again
ARM = words("<", 0xe3a01601, 0xe2800001, 0xe5810000, 0xeafffffc)          # RAM at 0
ARM_VIRT = words("<", 0xe3a01101, 0xe2811601, 0xe2800001, 0xe5810000, 0xeafffffc)  # RAM at 1 GiB
AARCH64 = words("<", 0xd2a80201, 0x91000400, 0xf9000020, 0x17fffffe)
RISCV64 = words("<", 0x80100 << 12 | 0x2b7, 0x02029293, 0x0202d293, 0x00130313, 0x0062b023, 0xff9ff06f)
# A PSW, then at 0x1000: r2 = the counter's place, r1 += 1, *r2 = r1.
S390X = words(">", 0x00080000, 0x80001000).ljust(0x1000, b"\0") + struct.pack(
    ">HHIIHHI", 0xa728, 0x0010, 0x89200010, 0x41101001, 0x5010, 0x2000, 0xa7f4fffc)
# At 0x100: 512 entries into the hashed page table (H_ENTER), then r9 = the counter's place, r11 += 1, *r9 = r11.
PPC64 = b"".ljust(0x100, b"\0") + words(
    ">", 0x39400000, 0x38600008, 0x38800000, 0x7d455378, 0x1cca1000, 0x60c60001, 0x38e00012, 0x44000022, 0x394a0008,
    0x280a1000, 0x4180ffdc, 0x3d200010, 0x396b0001, 0x91690000, 0x4bfffff8)


class Machines(Case):
    def cli(self, *args):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, "%s: %s" % (args[0], r.stderr + r.stdout))
        return r.stdout

    def memory(self, qemu, at, size):
        path = self.path(qemu.role + ".pmem")
        qemu.qmp.command("pmemsave", val=at, size=size, filename=path)
        return read_file(path)

    def counts(self, qemu, base):
        """Until its guest has counted on."""
        before = self.memory(qemu, base + COUNTER, 8)
        wait_until(qemu.role + " counts", lambda: self.memory(qemu, base + COUNTER, 8) != before)

    def inspect(self, path):
        return json.loads(self.cli("inspect", path, "--json"))

    def unknown(self, report):
        return [(e["element"], e["name"], e["bytes"]) for e in report["elements"] if e.get("known") is False]

    def receive(self, name, *options):
        rx = Program(self, "receive-" + name, [built("cli/godwit"), "receive", "unix:" + self.path("to-" + name),
                                               "--output", self.path(name), "--json", *options])
        return rx, rx.wait_event("listening")["uri"]

    def move(self, program, machine, base, block, page, *args, size=SIZE):
        """Returns what the stream had of live sections that are not known."""
        load = ["-device", "loader,file=%s,addr=%d,force-raw=on" % (write_file(self.path("noise"), NOISE), base + DATA)]

        def qemu(role, args=(), **options):
            return self.qemu("7.2-other", role, program=program, machine=machine, memory=size, block=None,
                             capabilities=["return-path"], args=args, **options)
        rx, address = self.receive("guest")
        src = qemu("source", [*args, *load])
        self.counts(src, base)
        src.qmp.command("stop")
        src.migrate(address)
        src.wait()
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        ram = self.memory(src, base, size)
        self.assertEqual(ram[DATA:DATA + len(NOISE)], NOISE)

        report = self.inspect(self.path("guest"))
        self.assertTrue(report["complete"])
        self.assertEqual((report["machine"].split("-")[0], report["page_bytes"]), (machine.split("-")[0], page))
        self.assertIn("whole", self.cli("verify", self.path("guest")))
        self.check_ram("guest", block, ram)
        last = self.path("guest")
        for name, extra in (("stream", ()), ("mapped-ram", ()), ("libvirt", ("--xml", write_file(self.path("xml"), XML.encode())))):
            there, back = self.path(name), self.path("back-" + name)
            self.cli("convert", last, there, "--format", name, *extra)
            self.assertEqual(self.unknown(self.inspect(there)), self.unknown(report), name)
            self.check_ram(name, block, ram)
            self.cli("convert", there, back, "--format", "parked")
            self.assertIn("no difference", self.cli("diff", last, back))
            last = back

        dst = qemu("target", [*args, *load], incoming="unix:" + self.path("out"))
        self.cli("send", last, "unix:" + self.path("out"))
        dst.wait()
        dst.wait_state("paused")
        self.assert_same_ram(self.memory(dst, base, size), ram)
        dst.qmp.command("cont")
        self.counts(dst, base)
        dst.qmp.command("stop")
        # What the guest has of it in its new place goes out again.
        rx, address = self.receive("again", "--compress", "none")
        dst.migrate(address)
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        again = self.inspect(self.path("again"))
        self.assertEqual(again["page_bytes"], page)
        self.assertEqual(sum(n for _, _, n in self.unknown(again)), sum(n for _, _, n in self.unknown(report)))
        return self.unknown(report)

    def check_ram(self, name, block, ram):
        out = self.path("ram")
        self.cli("extract", self.path(name), "--ram", out, "--block", block)
        self.assert_same_ram(read_file(out), ram, name)
        os.unlink(out)

    def code(self, code, at):
        return ["-device", "loader,file=%s,addr=%d,cpu-num=0,force-raw=on" % (write_file(self.path("code"), code), at)]

    def test_aarch64(self):
        self.assertEqual(self.move("qemu-system-aarch64", "virt", 1 << 30, "mach-virt.ram", 4096, "-cpu", "cortex-a57",
                                   *self.code(AARCH64, (1 << 30) + CODE)), [])

    def test_arm(self):
        self.assertEqual(self.move("qemu-system-arm", "virt", 1 << 30, "mach-virt.ram", 4096,
                                   *self.code(ARM_VIRT, (1 << 30) + CODE)), [])

    def test_arm_of_small_pages(self):
        self.assertEqual(self.move("qemu-system-arm", "versatilepb", 0, "versatile.ram", 1024,
                                   "-audiodev", "none,id=none", *self.code(ARM, 0)), [])

    def test_riscv64(self):
        self.assertEqual(self.move("qemu-system-riscv64", "virt", 1 << 31, "riscv_virt_board.ram", 4096, "-bios", "none",
                                   *self.code(RISCV64, 1 << 31)), [])

    def test_s390x(self):
        """Live storage attributes; and a description that gives s390_css another size than it has."""
        parts = self.move("qemu-system-s390x", "s390-ccw-virtio", 0, "s390.ram", 4096, "-kernel",
                          write_file(self.path("code"), S390X))
        self.assertEqual({name for _, name, _ in parts}, {"s390-storage_attributes"})
        self.assertEqual([parts[0][0], parts[-1][0]], ["START", "END"])

    def test_ppc64(self):
        """Its hashed page table is a live section."""
        parts = self.move("qemu-system-ppc64", "pseries", 0, "ppc_spapr.ram", 4096, "-bios",
                          write_file(self.path("code"), PPC64), size=PSERIES)
        self.assertEqual({name for _, name, _ in parts}, {"spapr/htab"})
        self.assertEqual([parts[0][0], parts[-1][0]], ["START", "END"])
        self.assertGreater(sum(n for _, _, n in parts), 512 * 16)


if __name__ == "__main__":
    unittest.main()
