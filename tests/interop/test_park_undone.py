# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""`godwit receive` has given the file its name, and then the hand-over fails: the source's machine stays where it is,
the replaced file is restored, and if the owner is undecided the machine is kept under another name. A relay between the
two sides causes the fault: it reads the message LOADED and does not pass it on.
"""
import gzip
import os
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, Program, built, read_file, write_file  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-microvm-10.0.bin.gz")
LOADED = b"\x67\x78\0\0"
ABORT = b"\x08\x67\x02\0\0"


class Between(threading.Thread):
    """Passes on the source's data, up to the end, and the answers, up to LOADED."""

    def __init__(self, path, to):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.to, self.loaded, self.said = to, threading.Event(), b""

    def run(self):
        self.source, _ = self.listener.accept()
        self.there = socket.socket(socket.AF_UNIX)
        self.there.connect(self.to)
        back = threading.Thread(target=self.answers, daemon=True)
        back.start()
        try:
            while data := self.source.recv(1 << 20):
                self.said += data
                self.there.sendall(data)
        except OSError:
            pass

    def answers(self):
        heard = b""
        try:
            while data := self.there.recv(1 << 16):
                heard += data
                if heard.endswith(LOADED):
                    self.loaded.set()
                    return
                self.source.sendall(data)
        except OSError:
            pass

    @staticmethod
    def cut(s):
        try:
            s.shutdown(socket.SHUT_RDWR)  # a close would leave it to the thread that reads it
        except OSError:
            pass

    def close(self):
        self.cut(self.source)
        self.cut(self.there)
        for s in (self.listener, self.source, self.there):
            s.close()


class Undone(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("d"))
        self.machine = write_file(self.path("machine"), gzip.decompress(read_file(CAPTURE)))

    def receive(self, *options):
        return Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output", self.file(), "--json",
                                         *options])

    def file(self, tail=""):
        return os.path.join(self.path("d"), "guest" + tail)

    def start(self, *options):
        """Up to where everything is in the file, and the source does not know."""
        self.rx = self.receive(*options)
        self.rx.wait_event("listening")
        n = len(self.processes)
        self.between = Between(self.path("between%d" % n), self.path("in"))
        self.between.start()
        self.send = Program(self, "send%d" % n, [built("cli/godwit"), "send", self.machine, "unix:" + self.path("between%d" % n)])
        self.assertTrue(self.between.loaded.wait(DEADLINE_S * SLOW), self.rx.text())

    def ended(self, *words):
        self.assertEqual(self.rx.wait_exit(), 1, self.rx.text())
        self.between.close()
        self.send.wait_exit()
        for word in words:
            self.assertIn(word, self.rx.text())

    def assert_files(self, **contents):
        """None: a machine that is whole."""
        self.assertEqual(sorted(os.listdir(self.path("d"))), sorted(name.replace("_", ".") for name in contents))
        for name, text in contents.items():
            path = os.path.join(self.path("d"), name.replace("_", "."))
            if text is not None:
                self.assertEqual(read_file(path), text)
                continue
            subprocess.run([built("cli/godwit"), "verify", "--quiet", path], check=True)

    def test_aborted(self):
        """The source takes its machine back at the last moment."""
        for old in (None, b"mine"):
            for more in ([], ["--format", "stream"]):
                with self.subTest(old=old, more=more):
                    if old:
                        write_file(self.file(), old)
                    self.start("--force", *more)
                    self.between.there.sendall(ABORT)
                    self.ended("took the machine back")
                    self.assert_files(**({"guest": old} if old else {}))

    def test_undecided(self):
        write_file(self.file(), b"mine")
        for n in range(1, 4):
            self.start("--force")
            self.between.cut(self.between.there)
            self.ended("the machine is whole in " + self.file(".undecided" + (".%d" % n if n > 1 else "")))
            self.assert_files(**dict([("guest", b"mine"), ("guest_undecided", None)] +
                                     [("guest_undecided_%d" % k, None) for k in range(2, n + 1)]))

    def test_undecided_without_a_file_before(self):
        write_file(self.file(".undecided"), b"of somebody")
        self.start()
        self.between.cut(self.between.there)
        self.ended("the machine is whole in " + self.file(".undecided.2"))
        self.assert_files(guest_undecided=b"of somebody", guest_undecided_2=None)

    def test_undecided_before_it_was_written(self):
        write_file(self.file(), b"mine")
        self.start("--force", "--acknowledge", "received")
        self.between.cut(self.between.there)
        self.ended("the machine is whole in " + self.file(".undecided"))
        self.assert_files(guest=b"mine", guest_undecided=None)

    def test_removed_or_replaced_meanwhile(self):
        """Another process has moved, removed or replaced the file meanwhile."""
        self.start()
        os.unlink(self.file())
        self.between.cut(self.between.there)
        self.ended("it was moved or removed meanwhile")
        self.assert_files()
        self.start()
        write_file(self.file(".other"), b"another")
        os.rename(self.file(".other"), self.file())
        self.between.there.sendall(ABORT)
        self.ended("another file has its name now")
        self.assert_files(guest=b"another")

    def test_a_plain_source_that_goes(self):
        """It closes the connection when all is sent, before it has an answer."""
        self.rx = self.receive()
        self.rx.wait_event("listening")
        self.between = Between(self.path("between"), self.path("in"))
        self.between.start()
        send = Program(self, "send", [built("cli/godwit"), "send", self.machine, "unix:" + self.path("between"), "--peer", "10.0",
                                      "--capability", "return-path"])
        self.assertEqual(self.rx.wait_exit(), 0, self.rx.text())
        self.assertEqual(send.wait_exit(), 0, send.text())
        self.between.close()
        write_file(self.file(), b"mine")
        for more in ([], ["--format", "mapped-ram"]):
            rx = self.receive("--force", *more)
            rx.wait_event("listening")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path("in"))
                s.sendall(self.between.said)
                s.shutdown(socket.SHUT_WR)
                try:
                    while s.recv(1 << 16):
                        pass
                except ConnectionError:
                    pass
            self.assertEqual(rx.wait_exit(), 1, rx.text())
            self.assertIn("the machine stays there", rx.text())
            self.assert_files(guest=b"mine")


if __name__ == "__main__":
    unittest.main()
