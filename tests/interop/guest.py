# SPDX-License-Identifier: MIT
"""Real Linux guests: Debian's cloud kernel in a QEMU, with guest_init.c as all of its user space.

    guest = Guest(self, "7.2", "a", "q35")      boots; Guest(..., incoming=URI) waits for one
    guest.wait_beats(3)                          waits for its heartbeats; all its checks were right
    guest.migrate(uri); guest.wait()

The guest checks its own memory continuously and stops at the first wrong word, so a few heartbeats after a migration,
and a whole pass of checks, prove more than a comparison of RAM. Its console goes to a file; a new QEMU has a new one.
"""
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import DEADLINE_S, Qemu, built, kernel, wait_until

# Machine types that all versions have; microvm has no versions.
MACHINES = {"pc": "pc-i440fx-5.2", "q35": "pc-q35-5.2", "microvm": "microvm,acpi=off"}
MEMORY = 128 << 20
AREA_MIB = 16
# pti=on: QEMU 7.2 and older under TCG loses writes to pages whose translation it has kept since before a pass began; on a slow link
# that kills every guest. With page table isolation each entry into the kernel and each return drops the translations.
# tsc_early_khz: Linux would compare the TSC with a timer of the machine, which comes to nothing on a busy host; without a TSC
# it counts interrupts, and loses those that come late.
COMMAND_LINE = ("console=ttyS0 quiet loglevel=3 panic=-1 tsc=reliable tsc_early_khz=%d nokaslr mitigations=off pti=on "
                "random.trust_cpu=on rcupdate.rcu_expedited=1 gw_mib=%d gw_rate=%d gw_seed=%d gw_beat_ms=%d")
BEAT = re.compile(r"^beat (\d+) mono_us (\d+) boot_us (\d+) written (\d+) passes (\d+)\r?$", re.M)
TROUBLE = re.compile(r"^.*(WRONG|Kernel panic|BUG:|Oops|general protection|segfault|rcu: INFO|soft lockup).*$", re.M)


class Beat:
    """One line of the guest. seen_s: when the file had it, on the clock of time.monotonic()."""

    def __init__(self, words, seen_s):
        self.number, self.mono_us, self.boot_us, self.written, self.passes = (int(w) for w in words)
        self.seen_s = seen_s


# ---- what is booted ------------------------------------------------------------------------------------------------

def cpio(entries):
    """An initramfs ("newc"). entries: (name, mode, contents, (major, minor) of a device)."""
    out = bytearray()

    def pad():
        out.extend(bytes(-len(out) % 4))
    for number, (name, mode, data, device) in enumerate(list(entries) + [("TRAILER!!!", 0, b"", (0, 0))], 1):
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name) + 1, 0]
        out.extend(b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0")
        pad()
        out.extend(data)
        pad()
    return bytes(out)


def initramfs():
    with open(built("tests/interop/guest_init"), "rb") as f:
        init = f.read()
    return cpio([("dev", 0o040755, b"", (0, 0)), ("dev/console", 0o020600, b"", (5, 1)), ("init", 0o100755, init, (0, 0))])


class Boot:
    """The initramfs as a file, made once for a process, and what the TSC is."""

    folder = khz = None

    @classmethod
    def tsc_khz(cls):
        if not cls.khz:
            cls.khz = int(subprocess.check_output([built("tests/interop/tsc_khz")]))
        return cls.khz

    @classmethod
    def initramfs(cls):
        if cls.folder is None:
            data = initramfs()
            cls.folder = tempfile.mkdtemp(prefix="godwit-boot-")
            unittest.addModuleCleanup(cls.remove)
            with open(os.path.join(cls.folder, "initramfs"), "wb") as f:
                f.write(data)
        return os.path.join(cls.folder, "initramfs")

    @classmethod
    def remove(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)
        cls.folder = None


# ---- the guest -----------------------------------------------------------------------------------------------------

class Guest(Qemu):
    """A QEMU with a Linux guest, or one that waits for it (incoming)."""

    def __init__(self, case, version, role, machine="q35", incoming=None, memory=MEMORY, area_mib=AREA_MIB, rate=8, seed=1,
                 beat_ms=100, accel="tcg", args=(), **options):
        self.machine = machine
        self.serial_path = os.path.join(case.folder, role + ".serial")
        with open(self.serial_path, "wb"):
            pass
        self.heard, self.heard_bytes, self.beats = "", 0, []
        argv = ["-accel", accel, "-cpu", "qemu64", "-smp", "1", "-no-reboot",
                "-chardev", "file,id=console,path=" + self.serial_path, "-serial", "chardev:console"]
        argv += ["-kernel", kernel(), "-initrd", Boot.initramfs(), "-append", COMMAND_LINE % (
            Boot.tsc_khz(), area_mib, rate, seed, beat_ms)]
        super().__init__(case, version, role, memory=memory, machine=MACHINES.get(machine, machine), block=None,
                         incoming=incoming, args=argv + list(args), **options)

    def hear(self):
        """Reads the guest's new output; an AssertionError if it reports an error."""
        with open(self.serial_path, "rb") as f:
            f.seek(self.heard_bytes)
            data = f.read()
        now = time.monotonic()
        self.heard_bytes += len(data)
        self.heard += data.decode("ascii", "replace")
        whole, _, rest = self.heard.rpartition("\n")
        trouble = TROUBLE.search(whole)
        if trouble:
            raise AssertionError("%s: the guest says: %s" % (self.role, trouble.group(0).strip()))
        self.beats += [Beat(m.groups(), now) for m in BEAT.finditer(whole + "\n")]
        self.heard = rest
        return self.beats

    def wait_beats(self, more=1, seconds=DEADLINE_S):
        """Waits for this many new beats; returns the last one."""
        enough = len(self.hear()) + more

        def done():
            if not self.alive():
                raise AssertionError("%s ended: %s" % (self.role, self.text()))
            return len(self.hear()) >= enough
        wait_until("%s: %d beats of the guest" % (self.role, more), done, seconds)
        return self.beats[-1]

    def wait_good(self, seconds=DEADLINE_S):
        """Waits until the guest has checked all of its work area since its arrival, and every page that it wrote
        meanwhile."""
        first = self.wait_beats(1, seconds)
        wait_until("%s: the guest checks all of its memory" % self.role,
                   lambda: self.hear() and self.beats[-1].passes >= first.passes + 2, seconds)
        return self.beats[-1]

    def text(self):
        with open(self.serial_path, errors="replace") as f:
            return super().text() + "console:\n" + f.read()[-3000:]
