# SPDX-License-Identifier: MIT
# builds: plain asan
"""A destination's answers, message by message (docs/formats/extensions.md), and how `godwit send` handles them."""
import os
import socket
import struct
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, Program, built  # noqa: E402
from places import wait_listening  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin")


def say(kind, body=b""):
    return struct.pack(">HH", kind, len(body)) + body


def pong(value):
    return say(2, struct.pack(">I", value))


def shut(value):
    return say(1, struct.pack(">I", value))


def reason(text):
    return say(0x6779, text)


PLAIN = pong(0x67647774) + pong(3)
HELLO = pong(0x67647774) + say(0x6777, struct.pack(">IQ", 1, 3)) + pong(3)
OLDER = pong(0x67647774) + say(0x6777, struct.pack(">IQ", 1, 1)) + pong(3)


class Answers(Case):
    def answered(self, answers):
        """The output of `send` to a destination that sends all of this at once and then reads until the end."""
        path = self.path("in%d" % len(os.listdir(self.folder)))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        heard = []

        def serve():
            s, _ = listener.accept()
            with s:
                s.sendall(answers)
                try:
                    while True:
                        data = s.recv(1 << 20)
                        if not data:
                            break
                        heard.append(data)
                except ConnectionError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        r = subprocess.run([built("cli/godwit"), "send", CAPTURE, "unix:" + path], capture_output=True, timeout=DEADLINE_S * SLOW,
                           stdin=subprocess.DEVNULL)
        listener.close()
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertNotIn(b"\x1b", r.stderr)
        return r.stderr.decode(), b"".join(heard)

    def test_reasons(self):
        for answers, words in (
                (HELLO + reason(b"no memory for the guest") + shut(1), "the destination could not load the machine: no memory for the guest"),
                (HELLO + reason(b"\x1b[31mred\nforged") + shut(1), "the destination could not load the machine: \\x1b[31mred\\x0aforged"),
                (HELLO + reason(b"x" * 512) + shut(1), "the destination could not load the machine: xxx"),
                (HELLO + shut(1), "the destination reported a failure (code 1): its log says why"),
                (PLAIN + shut(1), "the destination reported a failure (code 1): its log says why"),
                (HELLO + reason(b"a") + reason(b"b") + shut(1), "GODWIT_REASON, which has no place"),
                (PLAIN + reason(b"a") + shut(1), "GODWIT_REASON, which has no place"),
                (OLDER + reason(b"a") + shut(1), "GODWIT_REASON, which has no place"),
                (reason(b"a") + HELLO + shut(1), "GODWIT_REASON, which has no place"),
                (HELLO + reason(b"") + shut(1), "no message of the return path has type 0x6779 and 0 bytes"),
                (HELLO + say(0x6779, b"x" * 513) + shut(1), "no message of the return path has type 0x6779 and 513 bytes")):
            with self.subTest(words):
                err, _ = self.answered(answers)
                self.assertIn(words, err)
                self.assertEqual(err.count("\n"), 1, err)

    def test_between_godwits(self):
        """The source's operator gets the same message as the destination's."""
        uri = "unix:" + self.path("in")
        rx = Program(self, "receive", [built("cli/godwit"), "receive", uri, "--output", self.path("out"), "--memory-max", "1M"])
        wait_listening(rx, uri)
        r = subprocess.run([built("cli/godwit"), "send", CAPTURE, uri], capture_output=True, timeout=DEADLINE_S * SLOW,
                           stdin=subprocess.DEVNULL, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("the destination could not load the machine: ", r.stderr)
        self.assertIn("--memory-max", r.stderr)
        rx.process.terminate()
        rx.wait_exit()

    def test_what_the_source_offers(self):
        """A PING with the cookie, and directly after it one with the extensions that it supports."""
        _, heard = self.answered(HELLO + shut(1))
        self.assertIn(bytes.fromhex("0800020004676477740800020004") + struct.pack(">I", 0xf), heard)


if __name__ == "__main__":
    unittest.main()
