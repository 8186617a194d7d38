# SPDX-License-Identifier: MIT
# builds: plain asan
"""Machines at rest on an NBD server: nbdkit with filters that change requests, and qemu-nbd. Tests the data read, the
number of requests, and the errors if a server lies, fails or disconnects."""
import os
import random
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, built, read_file, wait_until, write_file  # noqa: E402
from places import listens  # noqa: E402
from test_convert import capture  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_postcopy import Postcopy  # noqa: E402
from test_working_set import PAGE, encode  # noqa: E402

DELAY = ["--filter=delay", "delay-read=10ms"]


def setUpModule():
    said = subprocess.run([built("cli/godwit"), "inspect", "nbd+unix:///?socket=/nowhere"], capture_output=True, text=True).stderr
    if "this build of godwit has no NBD" in said:
        raise unittest.SkipTest(said.strip())
    if not shutil.which("nbdkit"):
        raise unittest.SkipTest("nbdkit is not installed")


class Server:
    """A server on a Unix socket, and what it was asked for."""

    def __init__(self, case, path, *filters, name="nbd", plugin="file"):
        self.case, self.socket, self.log = case, case.path(name), case.path(name + ".log")
        self.plugin, self.role, self.argv = plugin, name, []
        self.path, self.filters = path, filters
        self.uri = "nbd+unix:///?socket=" + self.socket
        self.process = None
        case.processes.append(self)
        self.start()

    def start(self):
        options = [f for f in self.filters if f.startswith("--")]
        values = [f for f in self.filters if not f.startswith("--")]
        self.argv = ["nbdkit", "-f", "-U", self.socket, "--filter=log", *options, self.plugin, self.path, "logfile=" + self.log, *values]
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until("nbdkit listens", lambda: listens("unix:" + self.socket) or self.process.poll() is not None)

    def reads(self):
        """(offset, bytes) of each."""
        text = read_file(self.log).decode()
        return [(int(a, 16), int(b, 16)) for a, b in re.findall(r" Read id=\d+ offset=0x([0-9a-f]+) count=0x([0-9a-f]+)", text)]

    def connections(self):
        return len(re.findall(r" Connect ", read_file(self.log).decode()))

    def stop(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        self.stop()
        self.process.stderr.close()

    def text(self):
        return self.log


class Nbd(Postcopy):
    def godwit(self, *argv, status=0):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, status, r.stderr.decode())
        return r.stderr.decode() if status else r.stdout

    def machine(self, *options):
        """A parked file with some MiB of contents."""
        path = self.path("machine.parked")
        if not os.path.exists(path):
            self.parked(self.none("10.0", "source", ram=RAM), self.unix(), output="machine.parked")
        return path

    def stream(self):
        return write_file(self.path("stream"), capture("precopy-microvm-10.0.bin.gz"))


class Reading(Nbd):
    def test_commands(self):
        """The same as of the file, of each format; by one connection."""
        stream = self.stream()
        self.godwit("convert", stream, self.path("mapped"), "--format", "mapped-ram", "--quiet")
        self.godwit("convert", stream, self.path("packed"), "--format", "parked", "--quiet")
        for i, path in enumerate((stream, self.path("mapped"), self.path("packed"), self.machine())):
            server = Server(self, path, name="n%d" % i)
            with self.subTest(path):
                want = self.godwit("inspect", "--json", path).decode().replace(path, "X")
                self.assertEqual(self.godwit("inspect", "--json", server.uri).decode().replace(server.uri, "X"), want)
                self.assertEqual(self.godwit("verify", "--json", server.uri).decode().replace(server.uri, "X"),
                                 self.godwit("verify", "--json", path).decode().replace(path, "X"))
                self.godwit("convert", path, self.path("a%d" % i), "--format", "stream", "--quiet")
                self.godwit("convert", server.uri, self.path("b%d" % i), "--format", "stream", "--quiet")
                self.assertEqual(read_file(self.path("a%d" % i)), read_file(self.path("b%d" % i)))
                self.godwit("diff", path, server.uri)
                self.assertEqual(server.connections(), 4)
            server.close()
            self.processes.remove(server)

    def test_whole_blocks(self):
        """qemu-nbd serves whole blocks of 512 bytes, to one client at a time, and wants no less."""
        if not shutil.which("qemu-nbd"):
            self.skipTest("qemu-nbd is not installed")
        path = self.path("odd")
        self.godwit("convert", self.stream(), path, "--format", "parked", "--quiet")
        self.assertTrue(os.path.getsize(path) % 512)
        socket = self.path("q")
        server = subprocess.Popen(["qemu-nbd", "-r", "-f", "raw", "-t", "-k", socket, path], stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until("qemu-nbd listens", lambda: listens("unix:" + socket))
        uri = "nbd+unix:///?socket=" + socket
        self.godwit("verify", uri, "--quiet")
        self.godwit("convert", uri, self.path("b"), "--format", "stream", "--quiet")
        self.godwit("convert", path, self.path("a"), "--format", "stream", "--quiet")
        self.assertEqual(read_file(self.path("a")), read_file(self.path("b")))

    def test_least_blocks(self):
        """A server that refuses what is not aligned."""
        path = self.machine()
        os.truncate(path, os.path.getsize(path) + -os.path.getsize(path) % 4096)
        server = Server(self, path, "--filter=blocksize-policy", "blocksize-minimum=4096", "blocksize-preferred=4096",
                        "blocksize-maximum=1M", "blocksize-error-policy=error")
        self.godwit("verify", server.uri, "--quiet")
        self.assertFalse([r for r in server.reads() if r[0] % 4096 or r[1] % 4096 or r[1] > 1 << 20])

    def test_round_trips(self):
        """Few requests, and large ones: at most one for each 128 KiB, for pages that are in the file once and for those that it refers to again
        and again; nothing is read three times."""
        path = self.machine()
        size = os.path.getsize(path)
        server = Server(self, path)
        for command in ["inspect", server.uri], ["convert", server.uri, self.path("out"), "--format", "stream", "--quiet"]:
            before = len(server.reads())
            self.godwit(*command)
            reads = server.reads()[before:]
            print("%s: %d requests for %d of %d bytes" % (command[0], len(reads), sum(r[1] for r in reads), size))
            self.assertLessEqual(len(reads), 4 + size // (128 << 10), reads)
            self.assertLessEqual(sum(r[1] for r in reads), 2 * size + (1 << 20), reads)


class Sending(Nbd):
    def test_postcopy(self):
        """The guest runs at once although each read takes 10 ms, and all of its memory follows."""
        server = Server(self, self.machine(), *DELAY)
        target = self.target("10.0")
        send = self.command("send", "send", server.uri, self.unix("n"), "--postcopy")
        self.exits(send)
        target.wait()
        self.assertTrue(target.qmp.seen("MIGRATION", status="postcopy-active"))
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_working_set(self):
        """Pages of a record come first, whatever they are and however far away."""
        pages = random.Random(5).sample(range(SIZE // PAGE), 200)
        record = write_file(self.path("record"), encode([("r", SIZE // PAGE)], [(0, i % 7 == 0, page, 1) for i, page in enumerate(pages)]))
        server = Server(self, self.machine(), *DELAY)
        target = self.target("10.0")
        self.exits(self.command("send", "send", server.uri, self.unix("n"), "--postcopy", "--working-set", record))
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_precopy(self):
        server = Server(self, self.machine())
        target = self.qemu("10.0", "target", incoming=self.unix("n"))
        send = self.command("send", "send", server.uri, self.unix("n"))
        self.exits(send)
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_not_removed(self):
        self.assertIn("where it cannot be removed", self.godwit("send", "nbd://h/x", "tcp:h:1", "--remove", status=2))


class Faults(Nbd):
    def test_nobody_there(self):
        self.assertRegex(self.godwit("verify", "nbd+unix:///?socket=" + self.path("x"), status=1), r"nbd\+unix:.*: connecting: ")

    def test_errors(self):
        """A read error of the server is reported with its name, the place and the reason."""
        trigger = self.path("trigger")
        server = Server(self, self.machine(), "--filter=error", "error-pread=EIO", "error-pread-rate=100%", "error-pread-file=" + trigger)
        self.godwit("verify", server.uri, "--quiet")
        write_file(trigger, b"")
        text = self.godwit("inspect", server.uri, status=1)
        self.assertIn(server.uri, text)
        self.assertRegex(text, r"the server cannot read \d+ bytes at byte \d+: Input/output error")

    def test_some_errors(self):
        """A tenth of all reads fail: no command says that all is well unless it is."""
        server = Server(self, self.machine(), "--filter=error", "error-pread=EIO", "error-pread-rate=10%")
        for i in range(5):
            r = subprocess.run([built("cli/godwit"), "convert", server.uri, self.path("c%d" % i), "--format", "stream", "--quiet"],
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S * SLOW)
            if r.returncode:
                self.assertIn(b"the server cannot read", r.stderr)
                self.assertFalse(os.path.exists(self.path("c%d" % i)))
            else:
                self.godwit("verify", self.path("c%d" % i), "--quiet")

    def test_lost(self):
        """The server goes away and comes back: reading goes on; one that does not come back is reported. In the
        sandbox."""
        server = Server(self, self.machine(), "--filter=delay", "delay-read=50ms")
        out = self.path("out")
        r = subprocess.Popen([built("cli/godwit"), "convert", server.uri, out, "--format", "stream", "--quiet"],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until("it reads", lambda: len(server.reads()) > 3 or r.poll() is not None)
        before = server.connections()
        server.stop()
        server.start()
        said = r.communicate(timeout=DEADLINE_S * SLOW)[1]
        self.assertEqual((r.returncode, said), (0, ""))
        self.godwit("convert", server.path, self.path("want"), "--format", "stream", "--quiet")
        self.assertEqual(read_file(out), read_file(self.path("want")))
        self.assertGreaterEqual(before, 1)

    def test_gone(self):
        server = Server(self, self.machine(), "--filter=delay", "delay-read=50ms")
        r = subprocess.Popen([built("cli/godwit"), "convert", server.uri, self.path("out"), "--format", "stream", "--quiet"],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until("it reads", lambda: len(server.reads()) > 3 or r.poll() is not None)
        server.stop()
        os.unlink(server.socket)
        said = r.communicate(timeout=DEADLINE_S * SLOW)[1]
        self.assertEqual(r.returncode, 1, said)
        self.assertIn(server.uri, said)
        self.assertIn("after 5 more attempts", said)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_other_size(self):
        """Another file is there when it comes back."""
        server = Server(self, self.machine(), "--filter=delay", "delay-read=50ms")
        r = subprocess.Popen([built("cli/godwit"), "convert", server.uri, self.path("out"), "--format", "stream", "--quiet"],
                             stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until("it reads", lambda: len(server.reads()) > 3 or r.poll() is not None)
        server.stop()
        server.path = self.stream()
        server.start()
        said = r.communicate(timeout=DEADLINE_S * SLOW)[1]
        self.assertEqual(r.returncode, 1, said)
        self.assertRegex(said, r"it had \d+ bytes before the connection was lost, and has \d+ now")

    def test_nothing(self):
        """Exports of no bytes, and of zeros."""
        for i, (size, why) in enumerate((("0", "the file is empty"), ("1M", "neither a parked machine nor"))):
            server = Server(self, "size=" + size, name="z%d" % i, plugin="memory")
            self.assertIn(why, self.godwit("convert", server.uri, self.path("out"), "--format", "stream", status=1))


if __name__ == "__main__":
    unittest.main()
