# SPDX-License-Identifier: MIT
"""The position of an unknown live section relative to the RAM, through a file and further
(docs/decisions/order-of-live-sections.md)."""
import json
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, built, read_file, write_file  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin")
FORK = 0x233


def element(kind, body, head=b""):
    return struct.pack(">BI", kind, FORK) + head + body + struct.pack(">BI", 0x7E, FORK)


class LiveOrder(Case):
    def godwit(self, *argv):
        r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, text=True, timeout=DEADLINE_S * SLOW,
                           stdin=subprocess.DEVNULL)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def order(self, path):
        found = json.loads(self.godwit("inspect", "--json", path))["elements"]
        return [(e["element"], e["name"], e["bytes"]) for e in found if e.get("name") in ("ram", "fork")]

    def stream(self):
        """The capture, whose RAM has a START, two PARTs and an END, with a section of a fork of QEMU."""
        data = read_file(CAPTURE)
        at = data.index(b"\x03ram")
        footer = b"\x7e" + data[at - 4:at]
        pieces = []
        for _ in range(4):
            piece, data = data.split(footer, 1)[0] + footer, data.split(footer, 1)[1]
            pieces.append(piece)
        start = element(1, b"start", b"\x04fork" + struct.pack(">II", 0, 1))
        return b"".join([pieces[0], start, element(2, b"ahead"), pieces[1], element(2, b"among"), pieces[2],
                         element(2, b"behind"), pieces[3], element(3, b"end"), data])

    def test_every_way(self):
        source = write_file(self.path("stream"), self.stream())
        parked, converted, sent, written, mapped = (self.path(n) for n in ("parked", "converted", "sent", "written", "mapped"))
        self.godwit("receive", "--output", parked, "exec:cat " + source)
        self.godwit("convert", source, converted, "--format", "parked")
        self.godwit("send", parked, "file:" + sent)
        self.godwit("convert", parked, written, "--format", "stream")
        self.godwit("convert", parked, mapped, "--format", "mapped-ram")
        for path in (parked, converted, sent, written, mapped):
            with self.failing_as(path):
                found = self.order(path)
                self.assertEqual([e[:2] for e in found], [("START", "ram"), ("START", "fork"), ("PART", "fork"), ("PART", "ram"),
                                                          ("PART", "fork"), ("END", "ram"), ("END", "fork")])
                self.assertEqual([found[k][2] for k in (2, 4)], [15, 31])  # ahead; among and behind


if __name__ == "__main__":
    unittest.main()
