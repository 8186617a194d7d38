# SPDX-License-Identifier: MIT
"""verify, diff and extract of real guests: their output agrees with QEMU's monitor and gdb."""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import Guest  # noqa: E402
from journey import BOOT_S  # noqa: E402
from harness import (DEADLINE_S, PAGE, SLOW, Case, Program, Qemu, Qtest, TOP, built, differing_pages,  # noqa: E402
                     read_file, wait_until, write_file)

REGISTER = re.compile(r"\b([ER](?:[A-D]X|[SD]I|[BS]P|IP|FL)|R[89]|R1[0-5])\s?=\s*([0-9a-f]+)")
SEGMENT = re.compile(r"^([C-GS]S) =([0-9a-f]{4}) ([0-9a-f]+)", re.M)
XMM = re.compile(r"XMM(\d\d)=([0-9a-f]+) ([0-9a-f]+)")
# Runs a program that finds a signal waiting.
BLOCKED = """import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.kill(os.getpid(), signal.SIGINT)
os.execv(sys.argv[1], sys.argv[1:])"""
HIDDEN = range(0xA0000, 0x100000)  # from here the guest sees devices and ROMs


def run(*args, status=0):
    p = subprocess.run([built("cli/godwit")] + list(args), capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
    assert p.returncode == status, "%s: %d\n%s%s" % (args, p.returncode, p.stdout, p.stderr)
    return p.stdout


def notes(path):
    """The notes of an ELF file as (name, type, bytes)."""
    with open(path, "rb") as f:
        head = f.read(64)
        f.seek(int.from_bytes(head[32:40], "little"))
        for _ in range(int.from_bytes(head[56:58], "little")):
            kind, _, offset, _, _, size = struct.unpack("<IIQQQQ16x", f.read(56))
            if kind == 4:
                f.seek(offset)
                data = f.read(size)
                break
    found = []
    while data:
        n, size, kind = struct.unpack("<III", data[:12])
        at = 12 + (n + 3) // 4 * 4
        found.append((data[12:12 + n].rstrip(b"\0").decode(), kind, data[at:at + size]))
        data = data[at + (size + 3) // 4 * 4:]
    return found


class Examine(Case):
    def godwit(self, *args, status=0):
        return run(*args, status=status)

    def park(self, vm, name):
        """The machine, which is stopped and gone then, as a parked file."""
        path, uri = self.path(name), "unix:" + self.path(name + ".sock")
        receive = Program(self, name + ".receive", [built("cli/godwit"), "receive", uri, "--output", path, "--json"])
        receive.wait_event("listening")
        vm.migrate(uri)
        vm.wait()
        self.assertEqual(receive.wait_exit(), 0, receive.text())
        return path

    def gdb(self, core, *commands):
        argv = ["gdb", "-batch", "-nx", "--core", core]
        for c in commands:
            argv += ["-ex", c]
        p = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 0, p.stderr)
        return p.stdout

    def monitor(self, vm, line):
        return vm.qmp.command("human-monitor-command", command_line=line)

    def registers_of(self, vm):
        """For each processor its registers as the monitor shows them, under gdb's names."""
        found = []
        for text in re.split(r"^\s*CPU#\d+", self.monitor(vm, "info registers -a"), flags=re.M)[1:]:
            one = {}
            for name, value in REGISTER.findall(text):
                name = name.lower()
                name = {"efl": "eflags", "rfl": "eflags"}.get(name, "r" + name[1:])
                one[name] = int(value, 16)
            for name, selector, base in SEGMENT.findall(text):
                one[name.lower()] = int(selector, 16)
                if name in ("FS", "GS"):
                    one[name.lower() + "_base"] = int(base, 16)
            one["xmm"] = {int(n): (int(high, 16), int(low, 16)) for n, high, low in XMM.findall(text)}
            found.append(one)
        return found

    def compare_registers(self, core, expected):
        commands = []
        for cpu in range(len(expected)):
            commands += ["thread %d" % (cpu + 1), "info registers", "info registers fs_base gs_base", "p/x $xmm0.v2_int64",
                         "p/x $xmm1.v2_int64", "echo ----\\n"]
        parts = self.gdb(core, *commands).split("----\n")
        self.assertEqual(len(parts), len(expected) + 1, parts)
        for cpu, (text, want) in enumerate(zip(parts, expected)):
            have = {n: int(v, 16) for n, v in re.findall(r"^(\w+)\s+(0x[0-9a-f]+)", text, re.M)}
            want = dict(want)
            xmm = want.pop("xmm")
            self.assertGreaterEqual(len(want), 14)
            for name, value in want.items():
                self.assertIn(name, have, text)
                self.assertEqual(have[name], value, "cpu %d %s" % (cpu, name))
            shown = [tuple(int(v, 16) for v in m) for m in re.findall(r"= \{(0x[0-9a-f]+), (0x[0-9a-f]+)\}", text)]
            self.assertEqual(shown, [(xmm[n][1], xmm[n][0]) for n in (0, 1)], "cpu %d" % cpu)

    def memory_of(self, core, address, size):
        text = self.gdb(core, "x/%dxb 0x%x" % (size, address))
        return bytes(int(b, 16) for line in text.splitlines() if line.startswith("0x")
                     for b in re.findall(r"\t0x([0-9a-f]{2})\b", line))

    def seen_at(self, vm, address, size):
        text = self.monitor(vm, "xp /%dxb 0x%x" % (size, address))
        return bytes(int(b, 16) for line in text.splitlines() for b in re.findall(r" 0x([0-9a-f]{2})\b", line))


@unittest.skipUnless(shutil.which("gdb") or os.environ.get("CI") == "true", "no gdb (scripts/setup check installs it)")
class Core(Examine):
    count = 0

    def firmware(self, version, machine, memory, addresses, args=()):
        """A machine stopped in its firmware, in real mode; its memory has marks at these addresses."""
        self.count += 1
        vm = Qemu(self, version, "vm%d" % self.count, machine=machine, memory=memory << 20, block=None, qtest=True, paused=True,
                  args=["-accel", "tcg"] + list(args))
        qtest = Qtest(vm.qtest_path)
        self.addCleanup(qtest.close)
        vm.qmp.command("cont")
        vm.qmp.command("stop")
        for a in addresses:  # only now, since the firmware may still have run
            qtest.write(a, b"mark%012x" % a)
        registers = self.registers_of(vm)
        low = self.seen_at(vm, 0xFFFFFFF0, 16)
        core = self.path("core%d" % self.count)
        told = self.godwit("extract", self.park(vm, "park%d" % self.count), "--elf", core)
        self.compare_registers(core, registers)
        self.assertEqual(self.memory_of(core, 0xFFFFFFF0, 16), low)
        for a in addresses:
            self.assertEqual(self.memory_of(core, a, 16), b"mark%012x" % a)
        self.assertLess(os.stat(core).st_blocks * 512, 8 << 20)
        self.assertIn("left out: /rom@etc/acpi/tables" if "pc-" in machine else "pc.bios", told)
        return core

    def test_two_processors(self):
        self.firmware("10.0", "pc-q35-10.0", 64, [0x100000, 0x3FFFFF0], ["-smp", "2"])

    def test_7_2(self):
        self.firmware("7.2", "pc-i440fx-7.2", 64, [0x100000])

    def test_old_machine(self):
        """A type whose stream tells neither its name nor where sections end; RAM up to 3.5 GiB below the hole. As the type may
        be any, the firmware's tables have to confirm where the RAM above 4 GiB lies."""
        vm = Qemu(self, "7.2", "vm", machine="pc-i440fx-1.7", memory=4096 << 20, block=None, qtest=True, paused=True,
                  args=["-accel", "tcg"])
        qtest = Qtest(vm.qtest_path)
        self.addCleanup(qtest.close)
        vm.qmp.command("cont")
        wait_until("tables of the firmware", qtest.bios_tables)
        vm.qmp.command("stop")
        for address in (0x100000, 0xDFFFFFF0, 0x11FFFFFF0):
            qtest.write(address, b"mark%012x" % address)
        registers, path, core = self.registers_of(vm), self.path("stream"), self.path("core")
        vm.migrate_to(path)
        self.godwit("extract", path, "--elf", core, "--quiet")
        self.compare_registers(core, registers)
        for address in (0x100000, 0xDFFFFFF0, 0x11FFFFFF0):
            self.assertEqual(self.memory_of(core, address, 16), b"mark%012x" % address)

    def test_the_manual(self):
        """Its example, word for word."""
        vm = Qemu(self, "10.0", "vm", machine="pc-i440fx-7.2", memory=16 << 20, block=None, paused=True, args=["-accel", "tcg"])
        self.park(vm, "guest.parked")
        with open(os.path.join(TOP, "docs", "man", "godwit-extract.1")) as f:
            example = f.read().split(".SH EXAMPLE\n.nf\n")[1].split(".fi")[0].replace("\\-", "-")
        path = os.path.dirname(built("cli/godwit")) + ":" + os.environ["PATH"]
        commands = [line.strip() for line in example.splitlines() if line.strip() and not line.strip().startswith("#")]
        self.assertEqual([c.split()[0] for c in commands], ["godwit", "gdb"])
        for c in commands:
            p = subprocess.run(c, shell=True, cwd=self.folder, env=dict(os.environ, PATH=path), stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
            self.assertEqual(p.returncode, 0, c + p.stderr)
        self.assertRegex(p.stdout, r"rip +0xfff0 ")
        self.assertIn("0xfffffff0:\t0xea", p.stdout)

    def test_floating_point(self):
        """A boot sector: pi and 1 on the x87 stack, 0x12345678 in XMM0 and four times in XMM1, then it halts."""
        code = bytes.fromhex("dbe3 d9e8 d9eb 0f20e0 0d0006 0f22e0 66b878563412 660f6ec0 660f70c800 f4 ebfd")
        disk = write_file(self.path("floppy"), (code.ljust(510, b"\0") + b"\x55\xaa").ljust(1440 << 10, b"\0"))
        vm = Qemu(self, "10.0", "vm", machine="pc-i440fx-7.2", memory=16 << 20, block=None,
                  args=["-accel", "tcg", "-drive", "if=floppy,format=raw,readonly=on,file=" + disk])
        wait_until("the boot sector has run", lambda: "XMM00=0000000000000000 0000000012345678" in
                   self.monitor(vm, "info registers"))
        vm.qmp.command("stop")
        registers = self.registers_of(vm)
        core = self.path("core")
        self.godwit("extract", self.park(vm, "park"), "--elf", core, "--quiet")
        self.compare_registers(core, registers)
        text = self.gdb(core, "info registers st0 st1 fctrl mxcsr", "p/x $xmm1.v4_int32")
        self.assertIn("raw 0x4000c90fdaa22168c235", text.splitlines()[-5])
        self.assertIn("raw 0x3fff8000000000000000", text.splitlines()[-4])
        self.assertRegex(text, r"fctrl +0x37f ")
        self.assertRegex(text, r"mxcsr +0x1f80 ")
        self.assertIn("{" + ", ".join(["0x12345678"] * 4) + "}", text)

    def test_split_at_4_gib(self):
        """The RAM on either side of the hole, as three machine types place it, and as an option does."""
        for version, machine, memory, below in (("10.0", "pc-i440fx-7.2", 4096, 3072),
                                                ("10.0", "microvm,acpi=off", 3584, 3072),
                                                ("7.2", "pc-q35-7.2,max-ram-below-4g=1G", 2048, 1024)):
            with self.subTest(machine=machine):
                self.firmware(version, machine, memory, [(below << 20) - 16, 1 << 32, (4096 - below + memory << 20) - 16])

    def test_linux(self):
        """A guest in long mode: registers, VMCOREINFO, and RAM byte by byte."""
        guest = Guest(self, "10.0", "guest", "q35")
        guest.wait_beats(2, BOOT_S)
        guest.qmp.command("stop")
        registers, ram, dump = self.registers_of(guest), guest.saved_ram(), self.path("dump")
        guest.qmp.command("dump-guest-memory", paging=False, protocol="file:" + dump)
        park, core = self.park(guest, "park"), self.path("core")
        told = self.godwit("extract", park, "--elf", core)
        self.compare_registers(core, registers)
        found = re.search(r"VMCOREINFO found at (0x[0-9a-f]+): Linux (\S+)", told)
        self.assertTrue(found, told)
        self.assertIn(b"Linux version " + found.group(2).encode(), ram)
        self.assertTrue(ram[int(found.group(1), 16):].startswith(b"OSRELEASE=" + found.group(2).encode() + b"\n"))
        # It has run for a while, the one that it shall go to has not: nothing of that is a reason not to load.
        waiting = Guest(self, "7.2", "waiting", "q35", paused=True)
        loads = self.godwit("schema", "explain", park, self.park(waiting, "waiting.park"))
        self.assertIn("it loads", loads)
        # What QEMU itself writes of the same processor; but orig_rax, at 232, is 0 there.
        for name, kind, first, end in (("CORE", 1, 112, 232), ("CORE", 1, 240, 328), ("QEMU", 0, 0, 440)):
            ours, theirs = ([d for n, k, d in notes(path) if (n, k) == (name, kind)] for path in (core, dump))
            self.assertEqual([d[first:end].hex() for d in ours], [d[first:end].hex() for d in theirs], name)
        self.assertEqual([n for n in notes(core) if n[0] == "VMCOREINFO"][0][2][:10], b"OSRELEASE=")
        self.godwit("extract", park, "--ram", self.path("ram"))
        have = read_file(self.path("ram"))
        self.assertEqual([p for p in differing_pages(have, ram) if p * PAGE not in HIDDEN], [])
        self.assertEqual(self.memory_of(core, int(found.group(1), 16), 10), b"OSRELEASE=")


class Files(Examine):
    def vm(self, role):
        vm = Qemu(self, "10.0", role, machine="pc-i440fx-7.2", memory=32 << 20, block=None, qtest=True, paused=True,
                  args=["-accel", "tcg"])
        qtest = Qtest(vm.qtest_path)
        self.addCleanup(qtest.close)
        return vm, qtest

    def test_diff(self):
        a, _ = self.vm("a")
        b, qtest = self.vm("b")
        for address in (0x300005, 0x301000, 0x800000):
            qtest.write(address, b"\x01")
        one, two = self.park(a, "one"), self.park(b, "two")
        self.assertEqual(self.godwit("diff", one, one), "no difference\n")
        self.godwit("convert", one, self.path("stream"), "--format", "stream", "--compress", "gzip")
        self.assertEqual(self.godwit("diff", one, self.path("stream")), "no difference\n")
        doc = json.loads(self.godwit("diff", "--json", one, two, status=3))
        pages = [(d["where"], d["offset"], d["bytes"], d["first"]) for d in doc["found"] if d["kind"] == "pages"]
        self.assertEqual(pages, [("pc.ram", 0x300000, 0x2000, 0x300005), ("pc.ram", 0x800000, 0x1000, 0x800000)])
        self.assertEqual((doc["pages"], doc["ranges"], doc["blocks"], doc["devices"]), (3, 2, 0, 0))
        text = self.godwit("diff", "--hex", one, two, status=3)
        self.assertIn("RAM pc.ram 0x300000-0x302000: 2 pages, first at 0x300005: 00000000000000000000000000000000 != "
                      "01000000000000000000000000000000\n", text)
        self.assertEqual(self.godwit("diff", "--quiet", one, two, status=3), "")

    def test_verify(self):
        vm, qtest = self.vm("a")
        qtest.write(0x300000, bytes(range(256)) * 16)
        path = self.park(vm, "one")
        self.assertIn("one: whole: ", self.godwit("verify", path))
        self.assertTrue(json.loads(self.godwit("verify", "--json", path))["whole"])
        whole = read_file(path)
        for i in range(0, len(whole), max(1, len(whole) // 97)):
            broken = bytearray(whole)
            broken[i] ^= 1 << i % 8
            doc = json.loads(self.godwit("verify", "--json", write_file(self.path("broken"), broken), status=3))
            self.assertFalse(doc["whole"], i)
            self.assertTrue(doc["found"][0]["what"], i)
        for n in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            self.godwit("verify", "--quiet", write_file(self.path("broken"), whole[:n]), status=3)
        self.godwit("verify", self.path("none"), status=1)

    def test_extract_is_interrupted(self):
        """Interrupted by a signal that was pending at the start: no output remains."""
        vm, _ = self.vm("a")
        path = self.path("one")
        self.park(vm, "one")
        before = sorted(os.listdir(self.folder))
        for part in ("--ram", "--elf"):
            p = subprocess.run(["python3", "-c", BLOCKED, built("cli/godwit"), "extract", path, part, self.path("out")],
                               capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
            self.assertEqual(p.returncode, 1, p.stdout + p.stderr)
            self.assertIn("interrupted; no file was made", p.stderr)
            self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_verify_streams(self):
        """For a stream, verify knows that it is complete, but cannot check the pages' contents."""
        vm, _ = self.vm("a")
        path = self.path("stream")
        vm.migrate_to(path)
        self.assertIn("whole", self.godwit("verify", path))
        whole = read_file(path)
        for n in (0, 1, 100, len(whole) // 2, len(whole) - 1):
            out = self.godwit("verify", write_file(self.path("cut"), whole[:n]), status=3)
            self.assertTrue(out.startswith("file: ") and out.endswith(": not whole\n"), out)
        at = whole.rindex(b"globalstate") + 20
        doc = json.loads(self.godwit("verify", "--json", write_file(self.path("cut"), whole[:at - 10] + whole[at:]), status=3))
        self.assertEqual(len(doc["found"]), 1)
        self.godwit("verify", write_file(self.path("text"), b"no machine at all\n" * 100), status=3)
        subprocess.run(["gzip", path], check=True)
        self.assertIn("whole", self.godwit("verify", path + ".gz"))

    def test_extract(self):
        vm, qtest = self.vm("a")
        qtest.write(0x1FFFFFF, b"z")
        path = self.park(vm, "one")
        description = json.loads(self.godwit("extract", path, "--description", "-"))
        names = [(d["name"], d["instance_id"]) for d in description["devices"]]
        self.assertIn(("cpu", 0), names)
        self.godwit("extract", path, "--device", "cpu/0", self.path("cpu"))
        cpu = read_file(self.path("cpu"))
        self.assertEqual(cpu[16 * 8:17 * 8], (0xFFF0).to_bytes(8, "big"))
        self.godwit("extract", path, "--ram", self.path("ram"))
        self.assertEqual(os.path.getsize(self.path("ram")), 32 << 20)
        self.assertEqual(read_file(self.path("ram"))[-1:], b"z")
        self.assertLess(os.stat(self.path("ram")).st_blocks * 512, 4 << 20)
        self.godwit("extract", path, "--ram", self.path("ram"), status=1)
        self.godwit("extract", path, "--ram", self.path("ram"), "--block", "pc.bios", "--force")
        self.assertEqual(os.path.getsize(self.path("ram")), 256 << 10)
        for wrong in (["--ram", "x", "--elf", "y"], ["--elf", "x", "--block", "pc.ram"], ["--elf", "x", "--place", "a"], []):
            self.godwit("extract", path, *wrong, status=2)
        self.godwit("extract", path, "--xml", self.path("xml"), status=1)
        save = os.path.join(TOP, "tests", "golden", "captures", "libvirt-11.3-raw.save.gz")
        self.assertIn("<domain", self.godwit("extract", save, "--xml", "-"))


if __name__ == "__main__":
    unittest.main()
