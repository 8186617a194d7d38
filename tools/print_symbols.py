#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints debian/libgodwit0.symbols from src/libgodwit.map: each public symbol, and the first release that has it.

    python3 tools/print_symbols.py > debian/libgodwit0.symbols

dpkg-shlibdeps reads it, so a program's package depends on no newer library than it uses.
"""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def blocks(text):
    """[(name of the version, its symbols)] of a linker's version script."""
    text = re.sub(r"#.*", "", text)
    found = []
    for name, body in re.findall(r"^(\w+\.\d+) \{(.*?)^\}", text, re.M | re.S):
        body = body.split("local:")[0]
        found.append((name, sorted(re.findall(r"\b(gw_\w+);", body))))
    return found


def symbols_file(text):
    lines = ["libgodwit.so.0 libgodwit0 #MINVER#"]
    for name, symbols in blocks(text):
        release = name.split("_")[1] + ".0"
        lines += [" %s@%s %s" % (s, name, release) for s in [name] + symbols]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with open(os.path.join(TOP, "src", "libgodwit.map")) as f:
        sys.stdout.write(symbols_file(f.read()))
