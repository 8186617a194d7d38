# SPDX-License-Identifier: MIT
# builds: plain asan
"""A source that takes its machine back while `godwit receive` writes the file: it must not be there twice.

A plain source keeps its connection until it has heard SHUT. The first bytes that are sent to one that closed it raise no
error, over TCP at least, so that the connection itself has to be looked at.
"""
import glob
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, Program, built, read_file, wait_until, write_file  # noqa: E402

SIZE = 24 << 20


def connected(uri):
    if uri.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(uri[5:])
        return s
    return socket.create_connection(("127.0.0.1", int(uri.rsplit(":", 1)[1])))


class Relay(threading.Thread):
    """A relay between a source and a destination that can disconnect."""

    def __init__(self, path, uri):
        super().__init__(daemon=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.there = connected(uri)
        self.here = None
        self.stopped = threading.Event()
        self.answers = b""

    def run(self):
        self.here, _ = self.listener.accept()
        ends = {self.here: self.there, self.there: self.here}
        while not self.stopped.is_set():
            for s in select.select(list(ends), [], [], 0.05)[0]:
                data = s.recv(1 << 20)
                if not data:
                    return
                if s is self.there:
                    self.answers += data
                ends[s].sendall(data)

    def stop(self):
        self.stopped.set()
        self.join(10)

    def close(self):
        self.stop()
        for s in (self.listener, self.there, self.here):
            if s:
                s.close()


class Gone(Case):
    def setUp(self):
        os.mkdir(self.path("d"))
        ram = write_file(self.path("random"), os.urandom(SIZE))
        self.source_options = {"memory": SIZE, "ram": ram, "capabilities": ["return-path"]}

    def start(self, version, uri, relayed):
        """Up to where the file is being written, which takes long."""
        self.rx = Program(self, "receive", [built("cli/godwit"), "receive", uri, "--output",
                                            os.path.join(self.path("d"), "guest"), "--format", "stream", "--compress", "bzip2",
                                            "--json"])
        address = self.rx.wait_event("listening")["uri"]
        self.src = self.qemu(version, "source", **self.source_options)
        if relayed:
            path = self.path("relay%d" % len(self.processes))
            self.relay = Relay(path, address)
            self.addCleanup(self.relay.close)
            self.relay.start()
            address = "unix:" + path
        self.src.migrate(address)
        wait_until("it is written", self.writes)

    def writes(self):
        self.assertTrue(self.rx.alive(), self.rx.text())
        for path in glob.glob("/proc/%d/task/*/children" % self.rx.process.pid):
            try:
                for child in read_file(path).split():
                    if read_file("/proc/%s/comm" % child.decode()) == b"bzip2\n":
                        return True
            except OSError:
                pass  # it has ended
        return False

    def assert_given_up(self):
        self.assertEqual(self.rx.wait_exit(), 1, self.rx.text())
        self.assertIn("the source has closed the connection before it was told that its machine is here", self.rx.text())
        self.assertNotIn("Sanitizer", self.rx.text())
        self.assertEqual(os.listdir(self.path("d")), [])

    def each(self, relayed, act):
        for n, (version, uri) in enumerate((("10.0", "tcp:127.0.0.1:0"), ("7.2", "tcp:127.0.0.1:0"),
                                            ("10.0", "unix:" + self.path("in")))):
            with self.subTest(version=version, uri=uri):
                self.start(version, uri, relayed)
                act()
                self.assert_given_up()
                if relayed:
                    self.relay.close()
                self.src.close()

    def test_cancelled(self):
        def cancel():
            self.src.qmp.command("migrate_cancel")
            # QEMU may find its connection gone before it remembers who wanted that.
            wait_until("cancelled", lambda: self.src.migration()["status"] in ("cancelled", "failed"))
        self.each(False, cancel)

    def test_killed(self):
        self.each(False, lambda: os.kill(self.src.process.pid, signal.SIGKILL))

    def test_closed(self):
        def close():
            self.relay.stop()
            self.relay.there.close()
        self.each(True, close)

    def test_half_closed(self):
        def shut():
            self.relay.stop()
            self.relay.there.shutdown(socket.SHUT_WR)
        self.each(True, shut)

    def test_reset(self):
        def reset():
            self.relay.stop()
            self.relay.there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.relay.there.close()
        self.each(True, reset)

    def test_patient(self):
        """The same without a disconnect; the relay stays connected even after the last message."""
        self.start("10.0", "tcp:127.0.0.1:0", True)
        self.assertEqual(self.rx.wait_exit(), 0, self.rx.text())
        self.assertIn("keeps its connection open", self.rx.text())
        self.src.wait()
        self.relay.stop()
        self.assertTrue(self.relay.answers.endswith(b"\0\1\0\4\0\0\0\0"))
        subprocess.run([built("cli/godwit"), "verify", "--quiet", os.path.join(self.path("d"), "guest")], check=True)


if __name__ == "__main__":
    unittest.main()
