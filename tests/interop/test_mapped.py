# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""Live machines go into mapped-ram files and come out of them: ours into QEMU's, QEMU's into ours, ours into ours."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import (DEADLINE_S, PAGE, SLOW, Case, Program, Qtest, built, pattern, read_file, wait_until,  # noqa: E402
                     with_machine, write_file)
from places import wait_listening  # noqa: E402
from versions import VERSIONS, has_mapped_ram, profile  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=31)
PEERS = [v for v in VERSIONS if has_mapped_ram(v)]
MAPPED = ["mapped-ram"]
ROOM = SIZE + (3 << 20)  # the list, the map, the devices, and what is left free so that pages begin at a MiB


class Mapped(Case):
    def sent(self, name="file", uri="file:%s", **options):
        """(path, source): written while the guest runs."""
        path = self.path(name)
        source = self.none_vm("source", "send", uri % path, **dict({"ram": RAM, "capabilities": MAPPED}, **options))
        if "rate" in options:
            source.settle()
        self.assert_ok(source.end())
        self.assertEqual(source.end()["owner"], "destination")
        return path, source

    def godwit(self, *args):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, "%s: %s" % (args[0], r.stderr + r.stdout))
        return r.stdout + r.stderr

    def qemu_loads(self, version, uri, ram, **options):
        target = self.qemu(version, "target-" + version, incoming=uri, **dict({"capabilities": MAPPED}, **options))
        target.wait()
        self.assert_same_ram(target.ram(), ram, version)
        target.close()

    def godwit_loads(self, uri, ram, **options):
        target = self.none_vm("target", "recv", uri, **dict({"capabilities": MAPPED}, **options))
        self.assert_ok(target.end())
        self.assert_same_ram(target.ram(), ram)

    def test_a_file_of_ours(self):
        """All programs load it, and the second decoder finds each nonzero page and no others."""
        path, source = self.sent(peer="10.0")
        s = stream.decode(read_file(path))
        self.assertEqual(s.capabilities, MAPPED)
        self.assert_same_ram(s.ram(), RAM, "second decoder")
        self.assertLess(os.path.getsize(path), ROOM)
        for version in PEERS:
            self.qemu_loads(version, "file:" + path, RAM)
            self.qemu_loads(version, "file:" + path, RAM, capabilities=MAPPED + ["multifd"])
        self.godwit_loads("file:" + path, RAM)

    def test_with_multifd(self):
        """Multifd here means several writers of one file, not channels."""
        more = MAPPED + ["multifd"]
        path, _ = self.sent(capabilities=more, parameters={"multifd-channels": 3})
        for version in PEERS:
            self.qemu_loads(version, "file:" + path, RAM, capabilities=more)
        self.godwit_loads("file:" + path, RAM, capabilities=more)
        self.godwit_loads("file:" + path, RAM)

    def test_while_memory_is_written(self):
        """However often pages come again, the file does not grow; what is there is their last contents."""
        path, source = self.sent(rate=30000, working_set="6M", parameters={"max-bandwidth": 64 << 20, "downtime-limit": 1})
        ram = source.ram()
        self.assertGreater(source.end()["written"], 0)
        self.assertNotEqual(ram, RAM)
        self.assertLess(os.path.getsize(path), ROOM)
        for version in PEERS:
            self.qemu_loads(version, "file:" + path, ram)
        self.godwit_loads("file:" + path, ram)

    def test_offset(self):
        before = bytes(range(256)) * 40
        path = write_file(self.path("file"), before)
        self.sent(uri="file:%s,offset=0x1800")
        self.assertEqual(read_file(path)[:0x1800], before[:0x1800])
        for version in PEERS:
            self.qemu_loads(version, "file:%s,offset=0x1800" % path, RAM)
        self.godwit_loads("file:%s,offset=0x1800" % path, RAM)

    def test_direct_io(self):
        path, _ = self.sent(parameters={"direct-io": "on"})
        for version in PEERS:
            self.qemu_loads(version, "file:" + path, RAM)
        self.godwit_loads("file:" + path, RAM, parameters={"direct-io": "on"})

    def test_a_file_of_qemu(self):
        for version in PEERS:
            for more in ([], ["multifd"]):
                path = self.path("qemu")
                source = self.qemu(version, "source", ram=write_file(self.path("source.ram"), RAM), capabilities=MAPPED + more)
                source.migrate("file:" + path)
                source.wait()
                source.close()
                self.godwit_loads("file:" + path, RAM)

    def test_a_file_of_a_qemu_that_is_written(self):
        """Something writes the guest's memory until the file is whole: the last writes are in it. Nothing writes into a machine
        `none`, so it is parked: the pages come the same way."""
        for version in PEERS:
            path = self.path("qemu" + version)
            source = self.qemu(version, "source", machine="microvm", memory=SIZE, capabilities=MAPPED, qtest=True,
                               parameters={"max-bandwidth": 2 << 20, "downtime-limit": 1})  # some seconds
            writer = Qtest(source.qtest_path)
            for page in range(256, 4096, 2):
                writer.write(page * PAGE, bytes([page & 255, page >> 8, 1]))
            source.migrate("file:" + path)
            turn = last = 0
            while not source.qmp.seen("MIGRATION", status="completed"):
                turn += 1
                if turn == 3000:
                    source.qmp.command("migrate-set-parameters", max_bandwidth=1 << 40, downtime_limit=2000)
                if source.status() == "running":
                    last = (256 + turn * 37 % 3800) * PAGE
                    writer.write(last, bytes(PAGE) if turn % 5 == 0 else turn.to_bytes(8, "big"))
            writer.close()
            source.wait()
            source.close()
            self.godwit("receive", "file:" + path, "--output", self.path("parked"), "--force", "--capability", "mapped-ram")
            self.godwit("extract", self.path("parked"), "--ram", self.path("ram"), "--force")
            ram, was = bytearray(read_file(self.path("ram"))), source.ram()
            ram[last:last + PAGE] = was[last:last + PAGE]  # it may have stopped between the question and that write
            self.assert_same_ram(bytes(ram), was, version)
            self.assertGreater(turn, 3)

    def test_machines_at_rest(self):
        """A machine in a file goes into a mapped-ram file by the same way, and comes out of it."""
        for more in ([], ["--parameter", "direct-io=on"]):
            path, _ = self.sent("stream", capabilities=[])
            out = self.path("mapped")
            self.godwit("send", path, "file:" + out, "--force", "--capability", "mapped-ram", *more)
            self.assertEqual(stream.decode(read_file(out)).capabilities, MAPPED)
            for version in PEERS:
                self.qemu_loads(version, "file:" + out, RAM)
            self.godwit("receive", "file:" + out, "--output", self.path("back"), "--force", "--capability", "mapped-ram", *more)
            self.assertIn("no difference", self.godwit("diff", path, self.path("back")))

    def box(self, role, *args):
        path = self.path(role + ".qmp")
        p = Program(self, role, [with_machine(), "vm", "--memory", "16M", "--accel", "unicorn", "--serial", "null", "--workload",
                                 "uniform,rate=8M,set=8M", "--capability", "mapped-ram", "--qmp", "unix:" + path, *args])
        wait_listening(p, "unix:" + path)
        return p, path

    def test_the_machine_in_the_box(self):
        """It goes into a file and on from there, told by QMP; its guest looks at every byte that it wrote."""
        file = "file:" + self.path("file")
        source, a = self.box("anna")
        self.godwit("ctl", a, "migrate", file, "--parameter", "direct-io=on", "--parameter", "max-bandwidth=0")
        for how in ([file], ["defer"]):
            target, b = self.box("berta", "--incoming", *how)
            if how == ["defer"]:
                self.godwit("ctl", b, "qmp", "migrate-incoming", '{"uri": "%s"}' % file)
            wait_until("it runs", lambda b=b: "machine     running" in self.godwit("ctl", b, "status"))
            self.godwit("ctl", b, "qmp", "quit")
            self.assertEqual(target.wait_exit(), 0, target.text())
        self.godwit("ctl", a, "qmp", "quit")
        self.assertEqual(source.wait_exit(), 0, source.text())

    def test_refusals(self):
        """Invalid combinations are refused before anything is sent, as QEMU does."""
        source = self.none_vm("source", "send", "unix:" + self.path("m"), ram=RAM, capabilities=MAPPED)
        self.assertIn("puts pages at fixed places of a file", source.wait_event("refused")["text"])
        qemu = self.qemu(PEERS[0], "qemu", capabilities=MAPPED)
        with self.assertRaisesRegex(Exception, "seekable"):
            qemu.migrate("unix:" + self.path("m"))
        path, _ = self.sent("plain", capabilities=[])
        target = self.none_vm("target", "recv", "file:" + path, capabilities=MAPPED)
        self.assertIn("mapped-ram is off at the source and on here", target.end()["error"])
        path, _ = self.sent("mapped")
        target = self.none_vm("target", "recv", "file:" + path)
        self.assertIn("mapped-ram is on at the source and off here", target.end()["error"])

    def test_cut_anywhere(self):
        """A file that is not whole is an error that says where; nothing is run."""
        path, _ = self.sent(memory=4 << 20, ram=RAM[:4 << 20])
        whole = read_file(path)
        s = stream.decode(whole)
        places = [n for n in range(0, len(whole), len(whole) // 9)] + [len(whole) - 700, 0x70, 0x90, (1 << 20) + 5]
        for n in places:
            with self.failing_as("cut at byte %d" % n):
                target = self.none_vm("target", "recv", "file:" + write_file(self.path("cut"), whole[:n]), memory=4 << 20,
                                      capabilities=MAPPED)
                end = target.end()
                self.assertFalse(end["ok"])
                self.assertEqual(end["owner"], "source")
                self.assertRegex(end["error"], re.compile("byte|ended"))
        self.assertIsNotNone(s.vmdesc)


if __name__ == "__main__":
    unittest.main()
