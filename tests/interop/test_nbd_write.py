# SPDX-License-Identifier: MIT
# builds: plain asan
"""Machines are written to NBD servers: nbdkit with what its filters do to requests, and qemu-nbd with a qcow2 file.
Tests the export's contents afterwards, when the source is told, the requirements of an export, and that a source keeps
its machine if anything fails."""
import json
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import read_file, wait_until, write_file  # noqa: E402
from places import listens, wait_listening  # noqa: E402
from test_nbd import Nbd, Server, setUpModule  # noqa: E402,F401
from test_park_live import RAM, SIZE  # noqa: E402
from test_receive_postcopy import Arriving, switch  # noqa: E402

MIB = 1 << 20
HELD = 128 << 10  # what is written last


class Writing(Nbd):
    def export(self, *filters, size=40 * MIB, name="e"):
        """A server of zeros that can be written to."""
        path = write_file(self.path(name + ".raw"), b"")
        os.truncate(path, size)
        return Server(self, path, *filters, name=name)

    def requests(self, server):
        """(kind, offset, bytes) of all that change something."""
        text = read_file(server.log).decode()
        return [(kind, int(at or "0", 16), int(count or "0", 16)) for kind, at, count in
                re.findall(r" (Write|Flush|Zero|Trim) id=\d+(?: offset=0x([0-9a-f]+) count=0x([0-9a-f]+))?", text)]

    def receive_at(self, uri, to, *arguments):
        receive = self.command("receive", "receive", uri, "--output", to, *arguments)
        wait_listening(receive, uri)
        return receive

    def source(self, name="source", ram=RAM):
        return self.none("10.0", name, ram=ram, capabilities=["return-path"])

    def arrive(self, server, *arguments):
        """A machine goes to the server. What `receive` says."""
        receive = self.receive_at(self.unix(), server.uri, "--json", *arguments)
        source = self.source()
        source.migrate(self.unix())
        source.wait()
        self.exits(receive)
        return json.loads(receive.text().strip().splitlines()[-1])

    def stays(self, to, why, *arguments, during=None):
        """It does not go there: the source has it as before. What `receive` says."""
        receive = self.receive_at(self.unix(), to, *arguments)
        source = self.source()
        source.migrate(self.unix())
        if during:
            during()
        source.wait("failed")
        self.exits(receive, 1)
        self.assertRegex(receive.text(), why)
        wait_until("the source runs", lambda: source.status() == "running")
        self.assert_same_ram(source.ram(), RAM)
        return receive.text()

    def assert_nothing(self, server):
        """No command takes it for a machine, and it can be written to as before."""
        with open(server.path, "rb") as f:
            self.assertFalse(any(f.read(HELD)))
        self.assertIn("neither a parked machine nor", self.godwit("convert", server.uri, self.path("out"), "--format", "stream", status=1))

    def assert_there(self, uri, ram=RAM, name="t"):
        """A QEMU takes the machine from there, with the memory that it had."""
        target = self.none("10.0", name, incoming=self.unix(name))
        self.arrives(target, self.unix(name), uri)
        self.assert_same_ram(target.ram(), ram)


class There(Writing):
    def test_receive(self):
        """An export larger than the file; uncompressed, compressed, and by each command that reads."""
        server = self.export()
        for arguments in [], ["--compress", "zstd", "--force"]:
            told = self.arrive(server, *arguments)
            self.assertEqual((told["file"], told["packed"]), (server.uri, bool(arguments)))
            self.assertGreater(told["file-bytes"], SIZE // 4)
            self.assertLess(told["file-bytes"], 2 * SIZE)
            self.godwit("verify", server.uri, "--quiet")
            self.godwit("convert", server.uri, self.path("copy"), "--format", "parked", "--quiet", "--force")
            self.godwit("diff", self.path("copy"), server.uri)
            inspected = json.loads(self.godwit("inspect", "--json", server.uri))
            self.assertEqual(inspected["machine"], "none")
            self.assert_there(server.uri, name="t%d" % len(arguments))
        target = self.target("10.0")
        self.exits(self.command("send", "send", server.uri, self.unix("n"), "--postcopy"))
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_order(self):
        """The first block is written when all else is flushed, and the source told when that is flushed too."""
        server = self.export()
        self.arrive(server)
        did = self.requests(server)
        self.assertEqual(did[-5:], [("Flush", 0, 0), ("Write", 4096, HELD - 4096), ("Flush", 0, 0), ("Write", 0, 4096), ("Flush", 0, 0)])
        self.assertGreaterEqual(min(at for kind, at, count in did[:-5] if kind != "Flush"), HELD)

    def test_copied_back(self):
        """An export that was copied as a whole is a parked file, with anything behind its end."""
        server = self.export()
        self.arrive(server)
        with open(server.path, "r+b") as f:
            f.seek(-5000, os.SEEK_END)
            f.write(b"anything" * 600)
        self.godwit("verify", server.uri, "--quiet")
        self.godwit("verify", server.path, "--quiet")
        self.godwit("diff", server.path, server.uri)

    def test_convert(self):
        """Each format; over the one before, also where that was larger."""
        want = self.godwit("convert", self.machine(), "-", "--format", "stream")
        write_file(self.path("xml"), b"<domain/>")
        server = self.export()
        for how in (["parked", "--compress", "none"], ["stream"], ["parked"], ["mapped-ram"], ["libvirt", "--xml", self.path("xml")],
                    ["libvirt", "--xml", self.path("xml"), "--compress", "sparse"], ["stream", "--compress", "raw"]):
            with self.subTest(how):
                self.godwit("convert", self.machine(), server.uri, "--force", "--quiet", "--format", *how)
                self.godwit("verify", server.uri, "--quiet")
                self.assertEqual(self.godwit("convert", server.uri, "-", "--format", "stream"), want)

    def test_receive_other_formats(self):
        server = self.export()
        self.arrive(server, "--format", "stream")
        self.assert_there(server.uri)

    def test_filters(self):
        """Servers that are slow, have no zeros, want whole blocks, or take little at once."""
        for i, filters in enumerate((["--filter=delay", "delay-write=5ms"], ["--filter=nozero"], ["--filter=fua", "fuamode=emulate"],
                                     ["--filter=blocksize-policy", "blocksize-minimum=4096", "blocksize-preferred=4096",
                                      "blocksize-maximum=64K", "blocksize-error-policy=error"])):
            with self.subTest(filters):
                server = self.export(*filters, name="e%d" % i)
                self.godwit("convert", self.machine(), server.uri, "--format", "parked", "--quiet")
                self.godwit("diff", self.machine(), server.uri)
                self.godwit("convert", self.machine(), server.uri, "--format", "mapped-ram", "--quiet", "--force")
                self.godwit("diff", self.machine(), server.uri)
                server.close()
                self.processes.remove(server)

    def test_qcow2(self):
        """qemu-nbd, one client at a time, into a file that grows."""
        if not shutil.which("qemu-nbd") or not shutil.which("qemu-img"):
            self.skipTest("qemu-nbd is not installed")
        disk, path = self.path("disk.qcow2"), self.path("q")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "100M"], check=True, stdin=subprocess.DEVNULL)
        server = subprocess.Popen(["qemu-nbd", "-f", "qcow2", "-t", "-k", path, disk], stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until("qemu-nbd listens", lambda: listens("unix:" + path))
        uri = "nbd+unix:///?socket=" + path
        receive = self.receive_at(self.unix(), uri)
        source = self.source()
        source.migrate(self.unix())
        source.wait()
        self.exits(receive)
        self.godwit("verify", uri, "--quiet")
        self.assert_there(uri)


class Refused(Writing):
    def test_something_is_there(self):
        """A machine, a file system: refused, unchanged, before a source comes; --force writes over it."""
        server = self.export()
        for begin, why in ((b"\0" * 1080 + b"\x53\xef", "its first 128 KiB are not zeros"), (None, r"holds a machine already \(parked\)")):
            if begin:
                with open(server.path, "r+b") as f:
                    f.write(begin)
            before = read_file(server.path)
            for argv in (["convert", self.machine(), server.uri, "--format", "parked"], ["receive", self.unix("x"), "--output", server.uri]):
                self.assertRegex(self.godwit(*argv, status=1), why)
            self.assertEqual(read_file(server.path), before)
            self.arrive(server, "--force")
            self.assert_there(server.uri, name="t%d" % bool(begin))

    def test_what_it_is_read_from(self):
        server = self.export()
        self.arrive(server)
        self.assertIn("is read from", self.godwit("convert", server.uri, server.uri, "--format", "parked", "--force", status=1))
        self.godwit("verify", server.uri, "--quiet")

    def test_read_only(self):
        server = self.export("-r")
        for argv in (["convert", self.machine(), server.uri, "--format", "parked"], ["receive", self.unix("x"), "--output", server.uri]):
            self.assertIn("the server exports it read-only", self.godwit(*argv, status=1))

    def test_formats_without_an_end(self):
        server = self.export()
        for how in ["stream", "--compress", "gzip"], ["libvirt", "--xml", self.path("xml"), "--compress", "zstd"]:
            write_file(self.path("xml"), b"<domain/>")
            self.assertIn("does not tell where it ends", self.godwit("convert", self.machine(), server.uri, "--format", *how, status=1))
        self.assert_nothing(server)

    def test_too_small(self):
        """Reported before anything is written if it can be known, else at the end of the export; in the first case the
        old contents stay."""
        tiny = self.export(size=4096, name="tiny")
        self.assertIn("too few for any machine", self.godwit("receive", self.unix("x"), "--output", tiny.uri, status=1))
        server = self.export(size=MIB)
        self.godwit("convert", write_file(self.path("s"), self.stream_of_nothing()), server.uri, "--format", "parked", "--quiet")
        for how, why in (["mapped-ram"], "would have 16777216 of RAM alone"), (["stream"], "too few for a file of"):
            self.assertIn(why, self.godwit("convert", self.machine(), server.uri, "--force", "--format", *how, status=1))
            self.godwit("verify", server.uri, "--quiet")
        self.assertRegex(self.godwit("convert", self.machine(), server.uri, "--force", "--format", "parked", "--compress", "none", status=1),
                         r"it has 1048576 bytes, too few for this machine, which goes on at byte 1048576")
        self.assert_nothing(server)
        self.stays(server.uri, "it has 1048576 bytes, too few for this machine")
        self.assert_nothing(server)

    def stream_of_nothing(self):
        return self.godwit("convert", self.parked(self.none("10.0", "empty"), self.unix("z"), output="nothing"), "-", "--format", "stream")

    def test_packed_where_it_has_room(self):
        """Uncompressed it has no room there: it is compressed before the source is told."""
        packed = self.path("packed")
        self.godwit("convert", self.machine(), packed, "--format", "parked", "--quiet")
        size, plain = os.path.getsize(packed), os.path.getsize(self.machine())
        half = write_file(self.path("half.ram"), (b"a few words again and again " * (SIZE // 28 + 1))[:SIZE])
        self.assertLessEqual(size, plain)
        server = self.export(size=8 * MIB)
        receive = self.receive_at(self.unix("h"), server.uri)
        source = self.source("half", ram=read_file(half))
        source.migrate(self.unix("h"))
        source.wait()
        self.exits(receive)
        self.assert_there(server.uri, read_file(half), name="h2")


class Failing(Writing):
    def test_errors(self):
        """ENOSPC, EIO, at an offset that is told."""
        for i, error in enumerate(("ENOSPC", "EIO")):
            with self.subTest(error):
                server = self.export("--filter=error", "error-pwrite=" + error, "error-pwrite-rate=100%", name="e%d" % i)
                self.stays(server.uri, r"the server cannot write \d+ bytes at byte \d+: " + os.strerror(28 if i == 0 else 5))
                self.assert_nothing(server)
                self.assertRegex(self.godwit("convert", self.machine(), server.uri, "--format", "mapped-ram", status=1),
                                 r"the server cannot write \d+ bytes at byte \d+: ")

    def test_flush(self):
        """The source is not told that its machine is safe if the flush failed."""
        server = Server(self, "get_size=echo %d" % (40 * MIB), "can_write=exit 0", "pread=head -c $3 /dev/zero", "pwrite=cat >/dev/null",
                        "can_flush=exit 0", "flush=echo EIO no >&2; exit 1", plugin="eval")
        self.stays(server.uri, "the server cannot flush what was written: Input/output error")
        self.assertTrue([r for r in self.requests(server) if r[0] == "Write"])
        self.assertFalse([r for r in self.requests(server) if r[0] == "Write" and r[1] < HELD])

    def test_server_dies(self):
        """While the machine comes."""
        server = self.export("--filter=delay", "delay-write=20ms")

        def die():
            wait_until("it writes", lambda: self.requests(server))
            server.stop()

        text = self.stays(server.uri, r"the connection was lost while \d+ bytes at byte \d+ were written|connecting", during=die)
        self.assertIn(server.uri, text)
        server.start()
        self.assert_nothing(server)
        self.arrive(server)
        self.assert_there(server.uri)

    def test_source_is_lost_in_postcopy(self):
        """The received part is in the export itself; no command accepts it as a machine, and salvage completes it."""
        for arguments in [], ["--format", "stream", "--force"]:
            name = "l%d" % len(arguments)
            server, uri = self.export(name=name), self.unix(name + "m")
            source = Arriving.source(self, "10.0", name + "source")
            receive = self.receive_at(uri, server.uri, "--postcopy", "--recovery-wait", "0", "--json", *arguments)
            source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 1 << 20})
            switch(source, uri)
            wait_until("it is switched", lambda: '"postcopy-active"' in receive.text())
            source.close()
            self.exits(receive, 1)
            self.assertRegex(receive.text(), r"the part of the machine that arrived is in nbd\+unix:.*: \d+ bytes of its memory are missing")
            self.assertTrue(json.loads(self.godwit("inspect", "--json", server.uri))["lacking_bytes"])
            self.assertIn("bytes of its memory were not received", self.godwit("send", server.uri, self.unix("nobody"), status=1))

    def test_nobody_there(self):
        uri = "nbd+unix:///?socket=" + self.path("nobody")
        self.assertRegex(self.godwit("receive", self.unix("x"), "--output", uri, status=1), "connecting: ")

    def test_two_at_once(self):
        server = self.export()
        self.receive_at(self.unix("a"), server.uri)
        self.assertIn("another receive is waiting", self.godwit("receive", self.unix("b"), "--output", server.uri, status=1))


if __name__ == "__main__":
    unittest.main()
