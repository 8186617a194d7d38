#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes TARGET/accept and TARGET/reject of formats of which no short capture exists, each file with its .txt.

    tests/golden/made.py [FOLDER]       default: here

The formats are those of docs/wire-format.md (6, 8.2, 10, 11, 12) and of the public text on qcow2; what stands in front of the
bytes is described in tests/fuzz/fuzz_TARGET.c. tests/tools/test_made.py compares the files with what this writes.
"""
import os
import sys

import made_files
import made_parts
import made_sides
from making import FILES


def write(folder):
    for (target, kind, name), (data, text) in FILES.items():
        where = os.path.join(folder, target, kind)
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, name), "wb") as f:
            f.write(data)
        with open(os.path.join(where, name + ".txt"), "w", encoding="utf-8") as f:
            f.write(text + "\n")


for _make in (made_parts.packets, made_parts.disks, made_parts.bitmaps, made_sides.return_path, made_sides.postcopy,
              made_sides.monitor, made_files.qcow2, made_files.schemas):
    _make()

if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
