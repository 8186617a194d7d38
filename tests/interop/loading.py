# SPDX-License-Identifier: MIT
"""Machines, the streams they write in different states, and whether a QEMU loads them: the reference for `schema
explain`.

    Machine(name, machine type, arguments, state)     state: "fresh" (never ran) or "booted" (its firmware has read a disk)
    CASES                                             machines by name, each has a disk that boots
    Matrix(case).pair(machine, source, into)          compares one pair, asked in each way
    Streams(case).of(version, machine)                the file that it writes; made once
    Streams(case).loads(version, machine, path)       None: that QEMU took it; else what it said
    Streams(case).dump(version, machine)              what its -dump-vmstate writes
"""
import os
import subprocess

from harness import DEADLINE_S, SLOW, Qemu, built, peer, wait_until, write_file
from versions import at_least

# Says '@' to the port of the debug console and halts.
BOOT_SECTOR = bytes.fromhex("ba0204b040eefaf4ebfd").ljust(510, b"\0") + b"\x55\xaa"
DISK = ("-drive", "file=%(disk)s,format=raw,if=none,id=d,file.locking=off")
VERDICTS = {0: "loads", 3: "refused", 5: "unknown"}


class Machine:
    def __init__(self, name, machine, *args, state="fresh", memory=32, since=None):
        self.name, self.machine, self.args, self.state, self.memory = name, machine, args, state, memory
        self.since = since or (machine.split("-")[-1] if machine[-1].isdigit() else "5.2")  # exists from this QEMU on

    def booted(self):
        return Machine(self.name, self.machine, *self.args, state="booted", memory=self.memory, since=self.since)

    def exists_in(self, version):
        return at_least(version, self.since)

    def __str__(self):
        return "%s %s %s" % (self.name, self.machine, self.state)


def with_disk(name, machine, *args, **options):
    return Machine(name, machine, *DISK, *args, **options)


PC, Q35 = "pc-i440fx-5.2", "pc-q35-5.2"
IDE = ("-device", "ide-hd,drive=d")
NET = "romfile="
AUDIO = ("-audiodev", "none,id=n")


def devices(*names):
    return [word for name in names for word in ("-device", name)]


CASES = {c.name: c for c in (
    with_disk("ide", PC, *IDE),
    with_disk("ide-7.2", "pc-i440fx-7.2", *IDE),
    with_disk("ahci", Q35, *IDE),
    with_disk("ahci-card", PC, *devices("ich9-ahci,id=a", "ide-hd,drive=d,bus=a.0")),
    with_disk("virtio-blk", Q35, *devices("virtio-blk-pci,drive=d")),
    with_disk("virtio-scsi", PC, *devices("virtio-scsi-pci,id=s", "scsi-hd,drive=d,bus=s.0")),
    with_disk("nvme", PC, *devices("nvme,drive=d,serial=x"), since="11.1"),
    with_disk("usb", Q35, *devices("qemu-xhci,id=x", "usb-storage,drive=d,bus=x.0", "usb-tablet,bus=x.0", "usb-kbd,bus=x.0")),
    with_disk("uhci", PC, *devices("piix3-usb-uhci,id=x", "usb-storage,drive=d,bus=x.0", "usb-ehci,id=e")),
    with_disk("scsi", PC, *devices("lsi53c895a,id=s", "scsi-hd,drive=d,bus=s.0", "megasas", "pvscsi")),
    with_disk("net", PC, *IDE, *devices("e1000," + NET, "e1000e," + NET, "rtl8139," + NET, "virtio-net-pci," + NET,
                                        "vmxnet3," + NET, "pcnet," + NET, "ne2k_pci," + NET)),
    with_disk("roms", PC, *IDE, *devices("e1000", "virtio-net-pci")),
    with_disk("vga", PC, *IDE, *devices("VGA")),
    with_disk("virtio-vga", Q35, *IDE, *devices("virtio-vga", "secondary-vga", "bochs-display", "virtio-gpu-pci")),
    with_disk("cirrus", PC, *IDE, *devices("cirrus-vga")),
    with_disk("vmware-svga", PC, *IDE, *devices("vmware-svga")),
    with_disk("cpu-max", PC, *IDE, "-cpu", "max"),
    with_disk("cpus", Q35, *IDE, "-smp", "3", "-cpu", "Nehalem"),
    with_disk("pcie", Q35, *IDE, *AUDIO, "-chardev", "null,id=c", *devices(
        "virtio-rng-pci", "virtio-balloon-pci", "virtio-serial-pci", "pcie-root-port,id=p,chassis=1", "intel-hda",
        "hda-duplex,audiodev=n", "isa-serial", "isa-parallel,chardev=c", "i6300esb", "pvpanic", "edu")),
    with_disk("pci", PC, *IDE, *AUDIO, *devices(
        "pci-bridge,chassis_nr=1", "sdhci-pci", "AC97,audiodev=n", "es1370,audiodev=n", "sb16,audiodev=n", "pci-serial",
        "usb-ehci", "virtio-tablet-pci", "virtio-keyboard-pci", "vmcoreinfo", "vmgenid", "ipmi-bmc-sim,id=b",
        "isa-ipmi-kcs,bmc=b")),
    with_disk("microvm", "microvm", "-bios", "bios-microvm.bin", *devices("virtio-blk-device,drive=d"), since="10.0"),
    with_disk("isapc", "isapc", *IDE, *devices("ne2k_isa")),  # not isa-vga: QEMU 10.0 ends with SIGSEGV when it loads that
    with_disk("q35-10.0", "pc-q35-10.0", *IDE, *devices("virtio-net-pci," + NET)),
)}
NONE = Machine("none", "none")

# Accepted reasons for the verdict "unknown".
UNKNOWN = ("virtio features",  # the guest uses some that the destination's stream does not show
           "ps2kbd/command_reply_queue", "pckbd/extended_state",  # newer than 5.2, written in some states
           "device audio/0", "SWITCHOVER_START", "/nvme/0: ",
           # a dump alone
           "whether the destination's file for it is as long", "is not described in the dump",
           "the dump has another state of this name: field dma of sb16", "the dump has another state of this name: field latch")


class Matrix:
    """Compares pairs. What was found: (verdict, what QEMU did) -> how often, for each way to ask."""

    def __init__(self, case):
        self.case, self.streams, self.found = case, Streams(case), {}

    def pair(self, machine, source, into, other=None, dumps=True):
        """machine as the QEMU `source` writes it; `into` is the QEMU with the machine `other`, or the same one."""
        fresh = Machine(machine.name, (other or machine).machine, *(other or machine).args)
        path = self.streams.of(source, machine)
        said = self.streams.loads(into, fresh, path)
        did = "loads" if said is None else "refused"
        there, dump = self.streams.of(into, fresh), self.streams.dump(into, fresh)
        ways = {"stream": [path, there]}
        if dumps:
            ways["both"] = ["--dump", dump, path, there]
            if other is None:
                ways["dump"] = ["--dump", dump, path]
        verdicts = {}
        for way, args in ways.items():
            verdict, text = explain(*args)
            where = "%s: %s into %s, %s: it %s, explain says %s\n%s\n%s" % (machine, source, into, way, did, verdict, text,
                                                                            said)
            self.case.assertIn(verdict, (did, "unknown"), where)
            for line in text.splitlines():
                if verdict == "unknown" and line.startswith("unknown: "):
                    self.case.assertTrue(any(why in line for why in UNKNOWN), where)
            self.found.setdefault(way, {}).setdefault((verdict, did), []).append((machine.name, source, into))
            verdicts[way] = verdict
        return did, verdicts

    def summary(self):
        return "\n".join("%s: %d pairs, %d as QEMU did, %d unknown" % (
            way, sum(map(len, n.values())), sum(len(p) for (verdict, did), p in n.items() if verdict == did),
            sum(len(p) for (verdict, did), p in n.items() if verdict == "unknown")) for way, n in self.found.items())


class Streams:
    def __init__(self, case):
        self.case, self.count, self.made, self.dumps = case, 0, {}, {}
        self.disk = write_file(case.path("disk"), BOOT_SECTOR.ljust(1 << 20, b"\0"))

    def start(self, version, machine, incoming=None):
        self.count += 1
        said = self.case.path("said%d" % self.count)
        args = ["-accel", "tcg", "-chardev", "file,id=debug,path=" + said]
        if machine.machine.split(",")[0] != "none":
            args += ["-device", "isa-debugcon,iobase=0x402,chardev=debug"]
        args += [a % {"disk": self.disk} for a in machine.args]
        vm = Qemu(self.case, version, "vm%d" % self.count, machine=machine.machine, memory=machine.memory << 20, block=None,
                  paused=incoming is not None or machine.state == "fresh", incoming=incoming, args=args)
        vm.said_path = said
        return vm

    def end(self, vm):
        vm.close()
        self.case.processes.remove(vm)

    def of(self, version, machine):
        key = (version, str(machine), machine.args)
        if key not in self.made:
            vm = self.start(version, machine)
            if machine.state == "booted":
                def marked():
                    with open(vm.said_path, "rb") as f:
                        return b"@" in f.read()
                wait_until("%s %s: its firmware reads the disk" % (version, machine), marked)
                vm.qmp.command("stop")
            path = self.case.path("stream%d" % self.count)
            vm.migrate_to(path)
            self.end(vm)
            self.made[key] = path
        return self.made[key]

    def loads(self, version, machine, path):
        vm = self.start(version, machine, incoming="exec:cat " + path)
        try:
            return why_refused(vm)
        finally:
            self.end(vm)

    def dump(self, version, machine):
        kind = machine.machine
        if (version, kind) not in self.dumps:
            path = self.case.path("dump-%s-%s.json" % (version, kind))
            subprocess.run([peer(version), "-display", "none", "-M", kind, "-dump-vmstate", path], check=True,
                           capture_output=True, timeout=DEADLINE_S * SLOW)
            self.dumps[version, kind] = path
        return self.dumps[version, kind]


def why_refused(vm):
    """What a QEMU says of the machine that comes in; None: it takes it."""
    try:
        vm.wait()
        return None
    except AssertionError:
        vm.wait_exit()  # a failed incoming migration ends the process
        return vm.text() or "no reason"


def explain(*args):
    """(verdict, all that was printed)"""
    p = subprocess.run([built("cli/godwit"), "schema", "explain", *args], capture_output=True, text=True,
                       timeout=DEADLINE_S * SLOW)
    return VERDICTS.get(p.returncode, "failed"), p.stdout + p.stderr
