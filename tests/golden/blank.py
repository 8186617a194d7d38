#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Takes other people's code out of captures: firmware, and whatever QEMU or firmware put into RAM.

    tests/golden/blank.py FILE...       rewrites the files that have any

Only RAM blocks named `r` and `a` were written by who made the capture. A page of any other block that has contents gets the name
of its block and its offset instead, over and over. It stays a page with contents of its own, in a record of the same kind and,
unless that is compressed, of the same size. Device sections and the description stay as they are.
"""
import gzip
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop"))
import stream  # noqa: E402

OURS = ("r", "a")


def contents(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
        return f.read()


def decode(data):
    """A stream, or the one inside a libvirt save image that is not compressed."""
    text, = struct.unpack("<I", data[20:24]) if data.startswith(b"LibvirtQemudSave") else (-92,)
    return stream.decode(data, 92 + text)


def filler(block, offset):
    line = b"%s 0x%x blank\n" % (block.encode(), offset)
    return (line * stream.PAGE)[:stream.PAGE]


def foreign(s):
    """The pages of a decoded stream whose contents are neither ours nor blank."""
    return [page for page in s.pages if page[0] not in OURS and page[2] != stream.ZERO
            and s.blocks[page[0]].ram[page[1]:page[1] + stream.PAGE] not in (filler(*page[:2]), bytes(stream.PAGE))]


def blank(data):
    """The same stream without what is not ours."""
    out, done = [], 0
    for block, offset, kind, begin, end in foreign(decode(data)):
        body = filler(block, offset)
        if kind == stream.COMPRESS:
            body = zlib.compress(body, 6)
            body = struct.pack(">I", len(body)) + body
        elif kind == stream.XBZRLE:
            raise ValueError("page 0x%x of %s is sent as a difference: make the capture again" % (offset, block))
        out += data[done:begin], body
        done = end
    return b"".join(out) + data[done:]


def main():
    for path in sys.argv[1:]:
        data = contents(path)
        new = blank(data)
        if new != data:
            with open(path, "wb") as f:
                f.write(gzip.compress(new, 9, mtime=0) if path.endswith(".gz") else new)
            print("%s: %d pages blanked" % (path, len(foreign(decode(data)))))


if __name__ == "__main__":
    main()
