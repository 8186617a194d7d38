# SPDX-License-Identifier: MIT
"""Announcements on a tap and on a named interface, in a network namespace of this process, read by AF_PACKET and by tcpdump, beside
what QEMU sends in the same situation."""
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import unittest

from box import Box, wait_until
from harness import DEADLINE_S, SLOW, Case, Qemu, QmpError, built, with_machine

CLONE_NEWUSER, CLONE_NEWNET, RARP = 0x10000000, 0x40000000, 0x8035
MAC = "52:54:00:12:34:56"
ONCE = {"initial": 1, "max": 1, "rounds": 1, "step": 1}


def frame(mac):
    own = bytes.fromhex(mac.replace(":", ""))
    return (b"\xff" * 6 + own + b"\x80\x35" + b"\0\x01\x08\0\x06\x04\0\x03" + (own + bytes(4)) * 2).ljust(60, b"\0")


def ip(*argv):
    return subprocess.run(["ip", *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True)


def setUpModule():
    """A namespace with tap0, and va and vb as the two ends of a cable."""
    if not shutil.which("ip"):
        raise unittest.SkipTest("ip (iproute2) is not installed")
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET if uid == 0 else CLONE_NEWNET | CLONE_NEWUSER):
        raise unittest.SkipTest("no network namespace can be made here: %s" % os.strerror(ctypes.get_errno()))
    if uid:
        for name, text in ("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid):
            with open("/proc/self/" + name, "w") as f:
                f.write(text)
    for argv in (("link", "set", "lo", "up"), ("tuntap", "add", "dev", "tap0", "mode", "tap"), ("link", "set", "tap0", "up"),
                 ("link", "add", "va", "type", "veth", "peer", "name", "vb"), ("link", "set", "va", "up"), ("link", "set", "vb", "up")):
        r = ip(*argv)
        if r.returncode:
            raise unittest.SkipTest("ip %s: %s" % (" ".join(argv), r.stderr.strip()))


class Reader:
    """RARP frames that come in on an interface."""

    def __init__(self, case, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.bind((interface, RARP))
        self.socket.settimeout(DEADLINE_S * SLOW)
        case.addCleanup(self.socket.close)

    def take(self, count):
        return [self.socket.recv(2000) for _ in range(count)]


def announce(vm, reader, rounds, **more):
    """The frames of so many rounds. Others that follow would be among those of a second announcement."""
    vm.qmp.command("announce-self", **dict(ONCE, rounds=rounds, **more))
    frames = reader.take(rounds)
    vm.qmp.command("announce-self", **dict(ONCE, rounds=20, id="second"))
    frames += reader.take(20)
    return frames


class Announce(Case):
    def box(self, role, *nics, incoming=False, more=()):
        options = ["--memory", "8M", "--accel", "unicorn", *more]
        for n in nics:
            options += ["--nic", n]
        return Box(self, role, options, incoming=incoming)

    def qemu(self, role, tap, **more):
        card = "e1000,id=c0,mac=%s,romfile=%s" % (MAC, ",netdev=n0" if tap else "")
        args = ["-device", card]
        if tap:
            args = ["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no", *args]
        return Qemu(self, "10.0", role, machine="pc", args=args, **more)

    def qemu_frames(self, reader):
        qemu = self.qemu("qemu", True)
        frames = announce(qemu, reader, 5)
        qemu.close()
        return frames

    def test_command(self):
        """announce-self, on both kinds of devices: the number of frames and their bytes are QEMU's."""
        reader = Reader(self, "tap0")
        want = self.qemu_frames(reader)
        self.assertEqual(want, [frame(MAC)] * 25)
        for nic, at in ("tap=tap0", reader), ("interface=va", Reader(self, "vb")):
            box = self.box("box-" + nic[:3], nic + ",mac=" + MAC)
            self.assertEqual(announce(box, at, 5), want)
            self.assertEqual(announce(box, at, 2, interfaces=["net0"]), want[:22])
            with self.assertRaisesRegex(QmpError, "there is no network card net1"):
                box.qmp.command("announce-self", interfaces=["net1"], **ONCE)
            self.assertEqual(box.quit(), 0, box.text())

    def arrivals(self, there, reader, source, options, rounds):
        """The frames of an arrival, and those of one more announcement."""
        there.qmp.command("migrate-set-parameters", **dict({"announce-initial": 1, "announce-step": 1, "announce-max": 2}, **options))
        source.qmp.command("migrate", uri=there.address())
        frames = reader.take(rounds)
        there.qmp.command("announce-self", **dict(ONCE, rounds=20))
        return frames + reader.take(20)

    def test_arrival(self):
        """As many frames as QEMU sends, and those. One that is left paused is announced as well; QEMU's network takes what it sends
        then only once it runs, so that is not compared."""
        reader = Reader(self, "tap0")
        source = self.qemu("source", False)
        there = self.qemu("there", True, incoming="tcp:127.0.0.1:0")
        want = self.arrivals(there, reader, source, {"announce-rounds": 7}, 7)
        there.wait_state("running")
        there.close()
        self.assertEqual(want, [frame(MAC)] * 27)
        for paused in False, True:
            source = self.box("from-%d" % paused, "interface=va,mac=" + MAC)
            to = self.box("to-%d" % paused, "tap=tap0,mac=" + MAC, incoming=True, more=["--paused"] if paused else [])
            self.assertEqual(self.arrivals(to, reader, source, {"announce-rounds": 7}, 7), want)
            wait_until("its end", source.ended)
            self.assertEqual(to.status(), "paused" if paused else "running")
            # Who has given it away no longer leads others astray.
            with self.assertRaisesRegex(QmpError, "the machine does not run here"):
                source.qmp.command("announce-self", **ONCE)
            self.assertEqual(source.quit(), 0, source.text())
            self.assertEqual(to.quit(), 0, to.text())

    def test_ctl_and_tcpdump(self):
        """Several cards; `ctl announce` takes what is not said from the parameters."""
        box = self.box("box", "interface=va,mac=" + MAC, "interface=va,mac=52:54:00:ab:cd:ef,id=lan",
                       more=["--parameter", "announce-rounds=3", "--parameter", "announce-initial=0", "--parameter", "announce-max=0"])
        reader = Reader(self, "vb")
        dump = None
        if shutil.which("tcpdump"):
            dump = subprocess.Popen(["tcpdump", "-i", "vb", "-n", "-e", "-l", "-c", "6", "rarp"], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.addCleanup(dump.kill)
            said = ""
            while "listening on" not in said:
                line = dump.stderr.readline()
                self.assertTrue(line, said)
                said += line
        ctl = [built("cli/godwit"), "ctl", "unix:" + box.qmp_path]

        def run(*argv):
            return subprocess.run([*ctl, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=DEADLINE_S * SLOW)
        box.qmp.sock.close()
        self.assertEqual((run("announce").returncode), 0)
        self.assertEqual(reader.take(6), [frame(MAC), frame("52:54:00:ab:cd:ef")] * 3)
        if dump:
            lines = dump.communicate(timeout=DEADLINE_S * SLOW)[0].splitlines()
            self.assertEqual(len(lines), 6)
            for i, line in enumerate(lines):
                mac = [MAC, "52:54:00:ab:cd:ef"][i % 2]
                self.assertIn("%s > ff:ff:ff:ff:ff:ff" % mac, line)
                self.assertIn("Reverse Request who-is %s tell %s" % (mac, mac), line)
                self.assertIn("length 60", line)
        else:
            print("tcpdump is not installed: read by AF_PACKET only")
        r = run("--json", "announce", "interface=lan", "rounds=2", "id=mine")
        self.assertEqual((r.returncode, r.stdout), (0, "{}\n"))
        self.assertEqual(reader.take(2), [frame("52:54:00:ab:cd:ef")] * 2)
        for argv, why in ((["interface=x"], "there is no network card x"), (["rounds=1001"], "a number from 0 to 1000 is expected"),
                          (["often"], "is not rounds=N")):
            r = run("announce", *argv)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn(why, r.stderr)

    def test_descriptor(self):
        """Taps that a program holds already: with and without a header in front of frames."""
        reader = Reader(self, "tap0")
        for flags in 0x1002, 0x5002:  # TAP, NO_PI, VNET_HDR
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tap0", flags))  # TUNSETIFF
            os.set_inheritable(fd, True)
            argv = [with_machine(), "vm", "--quiet", "--memory", "8M", "--accel", "unicorn", "--serial", "null", "--qmp",
                    "unix:" + self.path("fd%x.qmp" % flags), "--nic", "fd=%d,mac=%s" % (fd, MAC)]
            vm = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[fd])
            self.addCleanup(vm.wait)
            self.addCleanup(vm.kill)
            os.close(fd)
            said = []

            def told():
                r = subprocess.run([built("cli/godwit"), "ctl", self.path("fd%x.qmp" % flags), "announce", "rounds=2", "initial=1"],
                                   capture_output=True, text=True)
                said.append(r.stderr)
                return r.returncode == 0 or vm.poll() is not None
            wait_until("the control socket", told)
            self.assertEqual(reader.take(2), [frame(MAC)] * 2, "%s %s" % (hex(flags), said))
            vm.kill()
            vm.wait()

    def test_refused(self):
        """What cannot be opened is told at the start, with the reason."""
        held = os.open("/dev/net/tun", os.O_RDWR)
        self.addCleanup(os.close, held)
        fcntl.ioctl(held, 0x400454ca, struct.pack("16sH22x", b"tap0", 0x1002))
        for nic, status, why in (
                ("tap=tap0,mac=" + MAC, 1, "tap tap0: another program has it open"),
                ("tap=va,mac=" + MAC, 1, "tap va: it is not a tap device"),
                ("tap=tap9,mac=" + MAC, 1, "tap tap9: this host has no such interface"),
                ("interface=lo,mac=" + MAC, 1, "interface lo is not Ethernet"),
                ("fd=0,mac=" + MAC, 1, "descriptor 0 is not a tap device"),
                ("interface=va,mac=53:54:00:12:34:56", 1, "is a group address or all zeros"),
                ("interface=va", 2, "mac= is needed"),
                ("mac=" + MAC, 2, "tap=, interface= or fd= is needed"),
                ("interface=va,mac=52:54:00:12:34:5g", 2, "an address is expected"),
                ("interface=va,tap=tap0,mac=" + MAC, 2, "only one of tap=, interface= and fd= can be given"),
                ("bridge=br0", 2, "unknown key")):
            r = subprocess.run([with_machine(), "vm", "--memory", "8M", "--accel", "unicorn", "--serial", "null", "--nic", nic],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
            self.assertEqual((r.returncode, why in r.stderr), (status, True), r.stderr)


if __name__ == "__main__":
    unittest.main()
