#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy over the sources of the library and the programs, as .clang-tidy says. tidy.py [PATTERN]"""
import concurrent.futures
import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build", "tidy")
FOLDERS = ("src", "cli", "machine", "examples")


def sources(pattern):
    with open(os.path.join(BUILD, "compile_commands.json")) as f:
        paths = {os.path.normpath(os.path.join(c["directory"], c["file"])) for c in json.load(f)}
    names = sorted(os.path.relpath(p, TOP) for p in paths)
    return [n for n in names if n.split("/")[0] in FOLDERS and n.endswith(".c") and re.search(pattern, n)]


def tidy(name):
    p = subprocess.run(["clang-tidy", "--quiet", "-p", BUILD, name], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True)
    return name, p.returncode, p.stdout + (p.stderr if p.returncode and not p.stdout else "")


def main():
    # A separate build directory for clang, which does not support all of GCC's flags. Generated headers must exist.
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        subprocess.run(["meson", "setup", BUILD, TOP, "-Dtests=false"], env=dict(os.environ, CC="clang"), check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "--quiet", "-C", BUILD], check=True)
    bad, names = 0, sources(sys.argv[1] if len(sys.argv) > 1 else "")
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name, status, text in pool.map(tidy, names):
            if status:
                bad += 1
                print(text.rstrip())
    print("%d files, %d with findings" % (len(names), bad))
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main())
