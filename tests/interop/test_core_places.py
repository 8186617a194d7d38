# SPDX-License-Identifier: MIT
"""Where `extract --elf` puts memory: every range of a core against the guest's physical memory as QEMU's monitor shows it."""
import os
import re
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, PAGE, SLOW, Case, Qemu, Qtest, built, read_file, wait_until  # noqa: E402

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
LINE = re.compile(r"^0x([0-9a-f]+) (.*), (\d+) bytes from 0x([0-9a-f]+) on$", re.M)
LEFT = re.compile(r"^godwit extract: left out: (.*), (\d+) bytes from 0x([0-9a-f]+) on: (.*); --place (.*) puts it in$", re.M)
FLAT = re.compile(r"^  ([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (ram|rom)\): (.+?)(?: @([0-9a-f]{16}))?(?: KVM)?$", re.M)
# A PC with 64 MiB, of which 32 MiB lie below the hole: as one with more than 3 GiB, for less.
SMALL = ",max-ram-below-4g=32M"
EPYC = ["-cpu", "EPYC,phys-bits=48"]
PLUGGABLE = ["-m", "64M,slots=4,maxmem=1G"]


def backend(name, mib):
    return ["-object", "memory-backend-ram,id=%s,size=%dM" % (name, mib)]


def nodes(*names):
    return [a for n in names for a in ("-numa", "node,memdev=" + n)]


class Places(Case):
    count = 0
    whole = False  # holes of the core are compared as well

    def start(self, version, machine, memory=64, args=(), dimms=(), run=True):
        """A machine that is stopped: before it ran, or when the firmware has left its tables."""
        self.count += 1
        vm = Qemu(self, version, "vm%d" % self.count, machine=machine, memory=memory * MIB, block=None, qtest=True,
                  paused=True, args=["-accel", "tcg"] + list(args))
        vm.qtest = Qtest(vm.qtest_path)
        self.addCleanup(vm.qtest.close)
        for name in dimms:
            vm.qmp.command("device_add", driver="pc-dimm", memdev=name, id="dimm-" + name)
        if run:
            vm.qmp.command("cont")
            if machine != "microvm":  # has a smaller firmware, which leaves none
                wait_until("tables of the firmware", vm.qtest.bios_tables)
            vm.qmp.command("stop")
        return vm

    def flat(self, vm):
        """What the guest sees: (first, end, block, offset)."""
        text = vm.qmp.command("human-monitor-command", command_line="info mtree -f").replace("\r", "")
        view = [v for v in text.split("FlatView #") if 'AS "memory"' in v][0]
        return [(int(f, 16), int(e, 16) + 1, name, int(at or "0", 16)) for f, e, _, name, at in FLAT.findall(view)]

    def stream(self, vm):
        path = self.path(vm.role + ".stream")
        vm.migrate_to(path)
        return path

    def extract(self, path, *args, status):
        self.core = self.path("core%d" % self.count)
        p = subprocess.run([built("cli/godwit"), "extract", path, "--elf", self.core, "--force"] + list(args),
                           capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p

    def segments(self):
        """(address, bytes, place in the file)."""
        with open(self.core, "rb") as f:
            head = f.read(64)
            headers = f.read(56 * int.from_bytes(head[56:58], "little"))
        found = [struct.unpack_from("<IIQQQQ", headers, i) for i in range(0, len(headers), 56)]
        return [(address, size, offset) for kind, _, offset, _, address, size in found if kind == 1]

    def check(self, version, machine, memory=64, args=(), dimms=(), run=True, left=(), places=(), ram=("pc.ram",),
              upper=None):
        """left: {block: (first byte, text of the reason)}; ram: blocks whose other bytes are all in the core; upper:
        where RAM above 4 GiB really begins, to check that the case is the intended one."""
        with self.failing_as("%s %s %s %s" % (version, machine, args, "ran" if run else "never ran")):
            vm = self.start(version, machine, memory, args, dimms, run)
            flat = self.flat(vm)
            seen = [f for f in flat if f[2] in ram or f[2] in dict(left)]
            self.assertTrue(seen, flat)
            for first, end, _, _ in seen:
                if end > MIB:
                    for address in (max(first, 2 * MIB) + 0x3000, end - 16):
                        vm.qtest.write(address, b"mark%012x" % address)
            if upper:
                self.assertIn(upper, [f[0] for f in flat if f[2] in ram], flat)
            path = self.stream(vm)
            p = self.extract(path, *[a for one in places for a in ("--place", one)], status=3 if left else 0)
            self.compare(vm, flat, p.stdout)
            self.complete(flat, ram, dict(left))
            told = {name: (int(at, 16), why) for name, _, at, why, _ in LEFT.findall(p.stderr)}
            self.assertEqual(sorted(told), sorted(dict(left)), p.stderr)
            for name, (at, words) in dict(left).items():
                self.assertEqual(told[name][0], at, p.stderr)
                self.assertIn(words, told[name][1])
            self.by_its_word(flat, path, p.stderr, vm)
            vm.close()

    def compare(self, vm, flat, told):
        """Each range of the core is what QEMU has at these addresses, byte by byte: all, or those that are no holes."""
        ranges = [(int(a, 16), int(n), name, int(at, 16)) for a, name, n, at in LINE.findall(told)]
        segments = self.segments()
        self.assertEqual([r[:2] for r in ranges], [s[:2] for s in segments])
        for address, size, name, offset in ranges:
            at = address
            while at < address + size:
                found = [f for f in flat if f[0] <= at < f[1]]
                self.assertTrue(found, "0x%x: %s in the core, nothing in QEMU\n%s" % (at, name, flat))
                first, end, block, block_offset = found[0]
                self.assertEqual((name.rsplit("/", 1)[-1], offset + at - address),
                                 (block.rsplit("/", 1)[-1], block_offset + at - first), "0x%x" % at)
                at = end
        with open(self.core, "rb") as f:
            for address, size, place in segments:
                parts = [(place, size)] if self.whole else self.data(f, place, size)
                for at, n in parts:
                    f.seek(at)
                    path = self.path("seen")
                    vm.qmp.command("pmemsave", val=address + at - place, size=n, filename=path)
                    self.assert_same_ram(f.read(n), read_file(path), "from 0x%x on" % (address + at - place))

    def data(self, f, place, size):
        """Parts of the file that are no holes, at most 1 MiB each."""
        at = place
        while at < place + size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:  # a hole up to the end
                return
            end = min(os.lseek(f.fileno(), at, os.SEEK_HOLE), place + size, at + MIB)
            if at < place + size:
                yield at, end - at
            at = end

    def complete(self, flat, ram, left, marks=True):
        """Everything that the guest sees of these blocks is in the core, except the reported gaps; so are the marks."""
        segments = self.segments()
        with open(self.core, "rb") as f:
            for first, end, block, offset in flat:
                if block not in ram:
                    continue
                if block in left:
                    end = min(end, first + max(0, left[block][0] - offset))
                at = first
                while at < end:
                    if 0xA0000 <= at < 0xC0000:  # no display adapter has it, but there might be one
                        at = 0xC0000
                        continue
                    found = [s for s in segments if s[0] <= at < s[0] + s[1]]
                    self.assertTrue(found, "0x%x of %s is not in the core: %s" % (at, block, segments))
                    at = found[0][0] + found[0][1]
                for address in (max(first, 2 * MIB) + 0x3000, end - 16):
                    if marks and end > max(first, MIB):
                        a, _, place = [s for s in segments if s[0] <= address < s[0] + s[1]][0]
                        f.seek(place + address - a)
                        self.assertEqual(f.read(16), b"mark%012x" % address)

    def by_its_word(self, flat, path, stderr, vm):
        """What was left out is put in by the options that are named, with the addresses that QEMU knows."""
        places = []
        for name, size, offset, _, option in LEFT.findall(stderr):
            wanted, size = int(offset, 16), int(size)
            for first, end, block, at in flat:
                if block.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1] and at <= wanted < at + end - first:
                    self.assertTrue(option.startswith(name + "=ADDRESS,offset="), option)
                    places += ["--place", option.replace("ADDRESS", "0x%x" % (first + wanted - at), 1)]
                    break
        if places and len(places) == 2 * len(LEFT.findall(stderr)):
            self.compare(vm, flat, self.extract(path, *places, status=0).stdout)

    # ---- one block ----

    def test_below_the_hole(self):
        for version, machine in (("7.2", "pc-i440fx-7.2"), ("10.0", "pc-q35-10.0"), ("5.2", "pc-q35-5.2"), ("11.1", "pc-i440fx-11.1")):
            self.check(version, machine)
            self.check(version, machine, run=False)
        self.check("10.0", "pc-i440fx-10.0", memory=8, run=False)

    def test_on_either_side(self):
        self.whole = True
        for version, machine in (("7.2", "pc-i440fx-7.2"), ("7.2", "pc-q35-7.2"), ("10.0", "pc-q35-10.0"), ("5.2", "pc-i440fx-5.2"),
                                 ("11.1", "pc-q35-11.1")):
            self.check(version, machine + SMALL, upper=4 * GIB)
            self.check(version, machine + SMALL, run=False, upper=4 * GIB)

    def test_usual_hole(self):
        self.check("10.0", "pc-q35-10.0", memory=3072, upper=4 * GIB)
        self.check("7.2", "pc-i440fx-7.2", memory=3584, upper=4 * GIB, run=False)

    def test_microvm(self):
        for version in ("7.2", "10.0"):
            self.check(version, "microvm", ram=("microvm.ram",))
        self.check("10.0", "microvm,rtc=off,acpi=off,memory-backend=mem", args=backend("mem", 64), ram=("mem",), run=False)

    def test_isapc(self):
        self.check("7.2", "isapc", args=["-cpu", "486", "-device", "isa-vga"], run=False)

    def test_display(self):
        """Blocks of display adapters; vmsvga.fifo has no path of a device in its name."""
        self.check("10.0", "pc-q35-10.0", args=["-device", "vmware-svga"])
        self.check("7.2", "pc-i440fx-7.2", args=["-device", "VGA", "-device", "e1000"])

    # ---- AMD ----

    def test_upper_ram_at_1_tib(self):
        """RAM that would come too close to 1 TiB, or what may be plugged in behind it."""
        big = ["-m", "64M,slots=2,maxmem=2T"]
        for version, machine in (("7.2", "pc-q35-7.2"), ("10.0", "pc-i440fx-10.0")):
            for run in (False, True):
                self.check(version, machine + SMALL, args=EPYC + big, upper=TIB, run=run)
        self.check("10.0", "pc-q35-10.0" + SMALL, args=["-cpu", "Skylake-Server,phys-bits=48"] + big, upper=4 * GIB)
        self.check("7.2", "pc-q35-7.0" + SMALL, args=EPYC + big, upper=4 * GIB)

    def test_upper_ram_at_1_tib_without_nodes(self):
        """Nothing but the memory of PCI devices reaches up there: no SRAT. With devices that have 64-bit memory the firmware
        moves the window, and only its SMBIOS tables tell."""
        hole = ["-global", "i440FX-pcihost.pci-hole64-size=1010G"]
        for cpu, upper in ((EPYC, TIB), (["-cpu", "Skylake-Server,phys-bits=48"], 4 * GIB)):
            self.check("10.0", "pc-i440fx-10.0" + SMALL, args=cpu + hole, upper=upper, run=False)
            self.check("10.0", "pc-i440fx-10.0" + SMALL, args=cpu + hole + ["-device", "virtio-rng-pci"], upper=upper)

    def test_nothing_tells(self):
        """No ACPI, and the firmware has not run: the upper RAM may be at 4 GiB or at 1 TiB."""
        for acpi, machine in (([], "pc-q35-10.0,acpi=off"), (["-no-acpi"], "pc-q35-7.2")):
            for cpu, upper in ((EPYC + ["-global", "q35-pcihost.pci-hole64-size=1010G"], TIB), ([], 4 * GIB)):
                self.check(machine.split(",")[0][-4:].lstrip("-"), machine + SMALL, args=cpu + acpi, run=False, upper=upper,
                           left={"pc.ram": (32 * MIB, "4 GiB or at 1 TiB")})

    # ---- NUMA ----

    def test_nodes(self):
        """Names and the order of blocks are no evidence; different sizes are, and with tables equal sizes can be
        resolved too."""
        for version, machine in (("7.2", "pc-i440fx-7.2"), ("10.0", "pc-q35-10.0")):
            for order in (("mem0", "mem1"), ("mem1", "mem0")):
                for objects in (("mem0", "mem1"), ("mem1", "mem0")):
                    made = [a for n in objects for a in backend(n, 24 if n == "mem0" else 40)]
                    self.check(version, machine + SMALL, args=made + nodes(*order), ram=("mem0", "mem1"), run=False)
                same = backend("mem0", 32) + backend("mem1", 32) + nodes(*order)
                self.check(version, machine, args=same, ram=("mem0", "mem1"))
                self.check(version, machine + SMALL, args=same, ram=("mem0", "mem1"), upper=4 * GIB)

    def test_three_nodes(self):
        """Of three of one size the first and the one with the tables can be told, and so the third."""
        three = [a for n in "abc" for a in backend(n, 32)]
        self.check("10.0", "pc-i440fx-10.0", memory=96, args=three + nodes("c", "a", "b"), ram=("a", "b", "c"))
        four = three + backend("d", 32)
        self.check("10.0", "pc-i440fx-10.0", memory=128, args=four + nodes("d", "c", "a", "b"), ram=("d", "b"),
                   left={"c": (0, "of this size"), "a": (0, "of this size")})

    def test_nodes_that_cannot_be_told(self):
        """Two of one size that never ran."""
        vm = self.start("10.0", "pc-q35-10.0", args=backend("a", 32) + backend("b", 32) + nodes("b", "a"), run=False)
        p = self.extract(self.stream(vm), status=1)
        self.assertIn("which of several blocks of this size", p.stderr)
        self.assertIn("NAME=ADDRESS", p.stderr)
        self.assertFalse(os.path.exists(self.core))

    # ---- DIMMs ----

    def test_dimms(self):
        """Called as if they were the second part of RAM. Plugged in before the start, and while the machine is there."""
        for version, machine in (("7.2", "pc-i440fx-7.2"), ("10.0", "pc-q35-10.0")):
            mem0 = ",memory-backend=mem0"
            for run in (False, True):
                for size in (32, 128):
                    both = PLUGGABLE + backend("mem0", 64) + backend("mem1", size)
                    left = {"mem1": (0, "plugged")}
                    self.check(version, machine + mem0, args=both + ["-device", "pc-dimm,memdev=mem1"], ram=("mem0",), left=left,
                               run=run)
                    self.check(version, machine + mem0 + SMALL, args=both, dimms=["mem1"], ram=("mem0",), left=left, run=run,
                               upper=4 * GIB)

    def test_dimm_of_the_same_size(self):
        """As large as the RAM: the tables show which one is the RAM. Without them it is unknown."""
        args = PLUGGABLE + backend("mem1", 64) + backend("mem0", 64)
        self.check("10.0", "pc-q35-10.0,memory-backend=mem1", args=args + ["-device", "pc-dimm,memdev=mem0"], ram=("mem1",),
                   left={"mem0": (0, "plugged")})
        vm = self.start("10.0", "pc-q35-10.0,memory-backend=mem1", args=args, dimms=["mem0"], run=False)
        flat, path = self.flat(vm), self.stream(vm)
        self.assertIn("NAME=ADDRESS", self.extract(path, status=1).stderr)
        # Where RAM begins is the RAM: the other one is then known not to be it.
        p = self.extract(path, "--place", "mem1=0,length=640K", status=3)
        self.compare(vm, flat, p.stdout)
        self.assertIn("left out: mem0, ", p.stderr)
        self.assertNotIn("left out: mem1", p.stderr)

    def test_virtio_mem(self):
        """No driver has plugged anything in: nothing is missing. 7.2 does not save where it is."""
        args = ["-m", "64M,slots=1,maxmem=1G"] + backend("vm0", 128)
        for run in (False, True):
            self.check("10.0", "pc-q35-10.0" + SMALL, args=args + ["-device", "virtio-mem-pci,memdev=vm0,addr=1"], run=run,
                       upper=4 * GIB)
        self.check("7.2", "pc-i440fx-7.2", args=args + ["-device", "virtio-mem-pci,memdev=vm0,addr=3"],
                   left={"0000:00:03.0/vm0": (0, "plugged")})

    def test_nvdimm(self):
        self.check("10.0", "pc-q35-10.0,nvdimm=on", args=PLUGGABLE + backend("nv", 64) + ["-device", "nvdimm,memdev=nv"],
                   left={"nv": (0, "plugged")})

    def test_node_of_the_size_of_a_dimm(self):
        """The firmware is in the first node; nothing shows which of the others is the second node."""
        args = ["-m", "64M,slots=2,maxmem=1G"] + [a for n in "abd" for a in backend(n, 32)]
        self.check("11.1", "pc-q35-11.1" + SMALL, args=args + nodes("b", "a") + ["-device", "pc-dimm,memdev=d"], ram=("b",),
                   left={"a": (0, "of this size"), "d": (0, "of this size")})

    # ---- what the caller tells ----

    def test_the_caller_knows_better(self):
        """Also below 1 MiB, where the guest sees ROMs."""
        vm = self.start("10.0", "pc-q35-10.0", run=False)
        told = self.extract(self.stream(vm), "--place", "pc.ram=0", status=0).stdout
        self.assertIn("0x000000000000 pc.ram, 67108864 bytes from 0x0 on", told)

    def test_parts(self):
        """The caller says where the upper part lies, and the machine the rest."""
        vm = self.start("10.0", "pc-q35-10.0,acpi=off" + SMALL, run=False)
        flat, path = self.flat(vm), self.stream(vm)
        p = self.extract(path, "--place", "pc.ram=4G,offset=0x2000000,length=16M", "--place", "pc.ram=0x101000000,offset=48M",
                         status=0)
        self.compare(vm, flat, p.stdout)
        self.complete(flat, ("pc.ram",), {}, marks=False)
        p = self.extract(path, "--place", "pc.ram=0x101000000,length=16M,offset=48M", status=3)
        self.assertIn("left out: pc.ram, 16777216 bytes from 0x2000000 on", p.stderr)
        self.compare(vm, flat, p.stdout)
        for wrong in ("pc.ram", "pc.ram=", "=1", "pc.ram=-1", "pc.ram=1X", "pc.ram=1,offset=", "pc.ram=1,length=0"):
            self.extract(path, "--place", wrong, status=2)
        for wrong in ("pc.ram=4G,offset=64M,length=4K", "pc.ram=4G,offset=1", "pc.ram=4G,length=65M", "no.ram=4G", "pc.rom=1M", "pc.ram=1,of=2"):
            self.assertIn("RAM block", self.extract(path, "--place", wrong, status=1).stderr)


if __name__ == "__main__":
    unittest.main()
