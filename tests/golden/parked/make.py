#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Make the parked files of this folder. README.md says what they are.

    GODWIT_BUILD=build/release tests/golden/parked/make.py

A QEMU 10.0 with machine `none` and 4 MiB of RAM, in which only what ram() says lies: no firmware, nothing of a guest.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
os.environ.setdefault("GODWIT_TOP", TOP)
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import Case, Program, built, write_file  # noqa: E402

PAGE = 4096
SIZE = 4 << 20


def ram():
    """Zeros, but for: text, which packs well; bytes that do not pack; copies of a page; one word at the end of a page."""
    r = bytearray(SIZE)
    for k in range(4):
        text = b"".join(b"page %d, line %d: all work and no play\n" % (k, i) for i in range(200))
        r[(3 + k) * PAGE:(4 + k) * PAGE] = text[:PAGE]
    noise = b"".join(hashlib.sha256(b"godwit %d" % i).digest() for i in range(2 * PAGE // 32))
    r[600 * PAGE:602 * PAGE] = noise
    for copy in (100, 101, 700, 1023):
        r[copy * PAGE:(copy + 1) * PAGE] = noise[:PAGE]
    r[512 * PAGE - 8:512 * PAGE] = b"the end."
    return bytes(r)


class Make(Case):
    def receive(self, name, *options):
        out = self.path(name)
        rx = Program(self, name, [built("cli/godwit"), "receive", "unix:" + self.path(name + ".in"), "--output", out, "--json",
                                  *options])
        address = rx.wait_event("listening")["uri"]
        source = self.qemu("10.0", name + ".qemu", memory=SIZE, ram=write_file(self.path(name + ".ram"), ram()),
                           capabilities=["return-path"])
        source.migrate(address)
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        return out

    def test_make(self):
        made = [self.receive("arrived.park", "--compress", "none"), self.receive("packed.park"), self.path("written.park")]
        subprocess.check_call([built("cli/godwit"), "convert", made[0], made[2], "--format", "parked", "--level", "19"])
        for path in made:
            shutil.copyfile(path, os.path.join(HERE, "accept", os.path.basename(path)))


if __name__ == "__main__":
    unittest.main()
