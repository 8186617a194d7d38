#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library's binary interface as text: what a program that was compiled earlier relies on.

    abi.py print LIBRARY             each public function with its types; each member of each public struct with its place; enums
    abi.py compare LIBRARY [FILE]    fails when something of FILE (src/libgodwit.abi) is gone or changed; new lines are fine

Structs may grow at their end, as the library is told the size that a program knows (godwit/version.h). Those that may not are
recorded with their size. gdb reads the types from the library's debugging information.

To accept a change that is meant, before a release: abi.py print build/check/plain/src/libgodwit.so > src/libgodwit.abi, and
say in the commit why no program is harmed. After a release nothing recorded goes away: a function gets a successor with another
name, and the soname (`soversion`) is raised when that is not possible. New lines are recorded in the same way.
"""
import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDED = os.path.join(TOP, "src", "libgodwit.abi")
# Types that cannot grow: elements of arrays, members by value, and tables passed without their size (godwit/version.h,
# GW_STATE_ABI).
FIXED = ("gw_error", "gw_kvm_slot", "gw_elf_place", "gw_channel", "gw_uri", "gw_field", "gw_state", "gw_list_ops", "gw_legacy_ops",
         "gw_queue_request")

INSIDE_GDB = r"""
import gdb, json
names = json.loads(%r)
out = []

def members(t, before, at):
    for f in t.fields():
        where = at + f.bitpos // 8
        inner = f.type.strip_typedefs()
        if f.name is None or (inner.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and inner.tag is None):
            members(inner, before + (f.name + "." if f.name else ""), where)
        else:
            out.append("%%s%%s at %%d: %%s" %% (before, f.name, where, f.type))

for name in names["functions"]:
    s = gdb.lookup_global_symbol(name)
    out.append("function %%s: %%s" %% (name, s.type if s else "?"))
for name in names["structs"]:
    try:
        t = gdb.lookup_type("struct " + name)
    except gdb.error:
        out.append("struct %%s: not used by the library" %% name)
        continue
    if name in names["fixed"]:
        out.append("struct %%s: %%d bytes, never more" %% (name, t.sizeof))
    members(t, "struct %%s: " %% name, 0)
for name in names["enums"]:
    try:
        t = gdb.lookup_type("enum " + name)
    except gdb.error:
        out.append("enum %%s: not used by the library" %% name)
        continue
    out += ["enum %%s: %%s = %%d" %% (name, f.name, f.enumval) for f in t.fields() if not f.name.endswith("_COUNT")]
print("\n".join("ABI " + line for line in out))
"""


def declared():
    """Names in the public headers."""
    text, folder = "", os.path.join(TOP, "include", "godwit")
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name)) as f:
            text += re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return {"functions": sorted(set(re.findall(r"GW_API[^;{]*?\b(gw_\w+)\s*\(", text))),
            "structs": sorted(set(re.findall(r"^struct (gw_\w+) \{", text, re.M))),
            "enums": sorted(set(re.findall(r"^enum (gw_\w+) \{", text, re.M))), "fixed": FIXED}


def lines_of(library):
    script = INSIDE_GDB % json.dumps(declared())
    p = subprocess.run(["gdb", "-q", "-nx", "-batch", "-ex", "set width 0", "-ex", "python exec(%r)" % script, library],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dict(os.environ, DEBUGINFOD_URLS=""))
    lines = [line[4:] for line in p.stdout.splitlines() if line.startswith("ABI ")]
    if not lines or any(line.endswith(": ?") for line in lines):
        raise RuntimeError("gdb told nothing of %s: %s" % (library, p.stderr.strip()))
    return lines


def name_of(line):
    """function NAME, struct NAME (its size), struct NAME: MEMBER, enum NAME: CONSTANT."""
    return re.match(r"function \w+|struct \w+(?=: \d)|(?:struct|enum) \w+: [\w.]+|", line).group(0) or line


def compare(now, recorded):
    """The differences, as text."""
    there, wrong = set(now), []
    for line in recorded:
        if line in there:
            continue
        near = next((n for n in now if name_of(n) == name_of(line)), None)
        wrong.append("%s\n    is now: %s" % (line, near) if near else "%s\n    is gone" % line)
    return wrong


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("print", "compare"):
        sys.exit(__doc__)
    now = lines_of(sys.argv[2])
    if sys.argv[1] == "print":
        print("\n".join(now))
        return 0
    with open(sys.argv[3] if len(sys.argv) > 3 else RECORDED) as f:
        wrong = compare(now, f.read().splitlines())
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
