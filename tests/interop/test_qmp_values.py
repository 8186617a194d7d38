# SPDX-License-Identifier: MIT
"""Our QMP server beside QEMU's: the same bytes to both, and what both make of the values in them."""
import json
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box  # noqa: E402
from harness import DEADLINE_S, SLOW, Case  # noqa: E402
from versions import VERSIONS  # noqa: E402

# The same from both, compared as texts.
SAME = ["0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615", "-9223372036854775808", "-0", "1.5",
        "null", "true", "\"a'b\"", "'a\"b'", "'a\\'b'", "\"a\\'b\"", "''", "{'k':['v',1]}", "\"\\u0000\"", "\"\\n\\u0001\"",
        "[1,{\"a\":[18446744073709551615]}]", "[]", "{}", "%s1%s" % ("[" * 1022, "]" * 1022), "\"]}\"", "']}\"'"]
# Both refuse them, and go on.
WRONG = ["01", "+1", ".5", "5.", "-", "nan", "%d", "{\"a\":1,\"a\":2}", "\"\\ud83d\"", "\"\\x41\"", "1 2", "'a\nb'", "\"a\tb\"",
         "[1 }", "%s1%s" % ("[" * 1024, "]" * 1024), "%s1%s" % ("[" * 5000, "]" * 5000)]


class Raw:
    """A client that sends any bytes."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S * SLOW)
        self.sock.connect(path)
        self.buf = b""
        self.line()
        self.send("{'execute':'qmp_capabilities'}")
        self.line()

    def send(self, text):
        self.sock.sendall(text.encode("latin-1"))

    def line(self):
        while b"\n" not in self.buf:
            got = self.sock.recv(65536)
            if not got:
                raise AssertionError("the server closed the connection: %r" % self.buf)
            self.buf += got
        line, self.buf = self.buf.split(b"\n", 1)
        return line.decode()

    def ask(self, value):
        """The answers to a request with this id, up to that to one behind it; without QEMU's about the 0xff between."""
        self.send("{'execute':'query-status','id':%s}\n\xff{'execute':'query-status','id':'the last'}\n" % value)
        lines = []
        while not lines or "the last" not in lines[-1]:
            lines.append(self.line())
        return [line for line in lines[:-1] if "stray '\\uFFFD'" not in line]


def id_of(line):
    """The text of the id: QEMU writes it last, with a space behind colons and commas."""
    return line.strip().replace(": ", ":").replace(", ", ",").split("\"id\":", 1)[1][:-1]


class TestValues(Case):
    def pair(self, version):
        path = self.path("qemu.sock")
        self.qemu(version, "q", memory=1 << 20, args=["-qmp", "unix:%s,server=on,wait=off" % path])
        box = Box(self, "v", ["--workload", "idle"])
        box.qmp.command("query-status")
        return Raw(path), Raw(box.qmp_path)

    def compare(self, version):
        qemu, ours = self.pair(version)
        for value in SAME:
            with self.subTest(version=version, value=value[:60]):
                theirs, mine = qemu.ask(value), ours.ask(value)
                self.assertEqual((len(theirs), len(mine)), (1, 1), (theirs, mine))
                self.assertEqual(id_of(theirs[0]), id_of(mine[0]))
        for value in WRONG:
            with self.subTest(version=version, value=value[:60]):
                for lines in qemu.ask(value), ours.ask(value):
                    self.assertEqual(json.loads(lines[0])["error"]["class"], "GenericError")
                    self.assertNotIn("return", "".join(lines))
        # These numbers QEMU makes into others; from us they come back as they were.
        for value in "18446744073709551616", "-9223372036854775809", "0.1", "1e999":
            self.assertEqual(id_of(ours.ask(value)[0]), value)

    def test_oldest(self):
        self.compare(VERSIONS[0])

    def test_newest(self):
        self.compare(VERSIONS[-1])


if __name__ == "__main__":
    unittest.main()
