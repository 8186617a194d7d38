# SPDX-License-Identifier: MIT
"""Migrations through descriptors that a QMP client passes, and none that it only names."""
import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, wait_until  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, QmpError  # noqa: E402

SMALL = ["--memory", "32M", "--accel", "unicorn"]


def pass_fd(box, name, fd):
    text = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode()
    socket.send_fds(box.qmp.sock, [text], [fd])
    while True:
        m = box.qmp.message(DEADLINE_S * SLOW)
        if "event" not in m:
            return m


class Descriptors(Case):
    def boxes(self):
        source = Box(self, "source", [*SMALL, "--workload", "uniform,rate=8M"])
        source.qmp.command("migrate-set-parameters", max_bandwidth=0)
        return source, Box(self, "to", [*SMALL, "--incoming", "defer"])

    def test_a_pair_of_sockets(self):
        source, to = self.boxes()
        a, b = socket.socketpair()
        with a, b:
            self.assertEqual(pass_fd(source, "way", a.fileno()), {"return": {}})
            self.assertEqual(pass_fd(to, "way", b.fileno()), {"return": {}})
        to.qmp.command("migrate-incoming", uri="fd:way")
        source.qmp.command("migrate", uri="fd:way")
        info = wait_until("an end", source.ended)
        self.assertEqual(info["status"], "completed", info)
        wait_until("it runs there", lambda: to.status() == "running")
        wait_until("heartbeats", lambda: len(to.beats()) > 1)
        self.assertEqual(to.beats()[-1][3], 0)
        self.assertEqual(to.quit(), 0)

    def test_a_file(self):
        source, _ = self.boxes()
        with open(self.path("out"), "wb") as f:
            self.assertEqual(pass_fd(source, "file", f.fileno()), {"return": {}})
        source.qmp.command("migrate", uri="fd:file")
        info = wait_until("an end", source.ended)
        self.assertEqual(info["status"], "completed", info)
        with open(self.path("out"), "rb") as f:
            self.assertEqual(f.read(4), b"QEVM")

    def test_numbers_are_not_the_client_s(self):
        source, to = self.boxes()
        for n in range(40):
            with self.assertRaisesRegex(QmpError, "there is no file descriptor named '%d'" % n):
                source.qmp.command("migrate", uri="fd:%d" % n)
            with self.assertRaisesRegex(QmpError, "there is no file descriptor named '%d'" % n):
                to.qmp.command("migrate-incoming", uri="fd:%d" % n)
        self.assertEqual((source.status(), to.status()), ("running", "inmigrate"))
        wait_until("it still prints", lambda: len(source.beats()) > 1)


if __name__ == "__main__":
    unittest.main()
