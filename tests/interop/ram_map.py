# SPDX-License-Identifier: MIT
"""Compares the output of `godwit map --json` with the RAM itself and the file that contains it."""
import collections
import struct

PAGE = 4096


def kinds(ram):
    """Of each page, as counted here."""
    pages = [ram[at:at + PAGE] for at in range(0, len(ram), PAGE)]
    seen = collections.Counter(pages)
    return ["zero" if not any(p) else "shared" if seen[p] > 1 else "data" for p in pages]


def check(test, runs, ram, file=None):
    """Of a machine with one block. Returns how many pages have a place in the file."""
    found, placed, end = [], 0, 0
    for run in runs:
        test.assertEqual(run["start"], end)
        end += run["length"]
        found += [run["kind"]] * (run["length"] // PAGE)
        if "offset" not in run:
            continue
        for i in range(run["length"] // PAGE):
            at, start = run["offset"] + i * run.get("stride", PAGE), run["start"] + i * PAGE
            test.assertTrue(file[at:at + PAGE] == ram[start:start + PAGE], "page at 0x%x is not at byte %d of the file" % (start, at))
            placed += 1
    test.assertEqual(end, len(ram))
    wrong = [(i * PAGE, a, b) for i, (a, b) in enumerate(zip(found, kinds(ram))) if a != b]
    test.assertEqual(wrong[:5], [])
    return placed


def stream(ram, machine=b"none", block=b"r"):
    """Of a machine with this RAM, without devices."""
    def section(kind, body, head=b""):
        return bytes([kind]) + struct.pack(">I", 1) + head + body + bytes([0x7e]) + struct.pack(">I", 1)

    name = bytes([len(block)]) + block
    out = struct.pack(">II", 0x5145564d, 3) + bytes([7]) + struct.pack(">I", len(machine)) + machine
    out += section(1, struct.pack(">Q", len(ram) | 4) + name + struct.pack(">Q", len(ram)) + struct.pack(">Q", 16),
                   b"\3ram" + struct.pack(">II", 0, 4))
    body = bytearray()
    for at in range(0, len(ram), PAGE):
        page = ram[at:at + PAGE]
        head = struct.pack(">Q", at | (0x20 if at else 0) | (8 if any(page) else 2)) + (b"" if at else name)
        body += head + (page if any(page) else b"\0")
    return out + section(3, bytes(body) + struct.pack(">Q", 16)) + b"\0"
