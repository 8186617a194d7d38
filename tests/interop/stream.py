#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second decoder of the stream, written for readability from docs/wire-format.md alone, to check the first one in the
tests.

    stream.py FILE          prints what is in it

It knows whole streams in memory: precopy with plain, zero, XBZRLE and zlib pages, x-ignore-shared, mapped-ram, `block`
sections, device sections by the sizes that the description at the end gives. Anything unexpected is a StreamError with
the offset.
"""
import json
import struct
import sys
import zlib

PAGE = 4096
EOF, START, PART, END, FULL, SUBSECTION, VMDESC, CONFIGURATION, COMMAND, FOOTER = 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7E
ZERO, MEM_SIZE, PAGE_RECORD, EOS, CONTINUE, XBZRLE, COMPRESS = 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x100
MAPPED = 0x1000          # no flag of the wire: a page of a mapped-ram stream
DISK_DATA, DISK_EOS, DISK_PROGRESS, DISK_ZERO = 1, 2, 4, 8
COMMANDS = {1: ("open-return-path", 0), 2: ("ping", 4), 3: ("postcopy-advise", None), 4: ("postcopy-listen", 0),
            5: ("postcopy-run", 0), 6: ("postcopy-discard", None), 7: ("packaged", 4), 8: ("enable-colo", 0),
            9: ("postcopy-resume", 0), 10: ("recv-bitmap", None), 11: ("switchover-start", 0)}
# What machine `none` has, for streams without a description (13.1).
KNOWN_SIZES = {"timer": 24, "globalstate": 104}


class StreamError(Exception):
    def __init__(self, at, text):
        super().__init__("at byte %d (0x%x): %s" % (at, at, text))
        self.at = at


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, n):
        if n < 0 or self.at + n > len(self.data):
            raise StreamError(self.at, "%d bytes wanted, %d left" % (n, len(self.data) - self.at))
        self.at += n
        return self.data[self.at - n:self.at]

    def peek(self):
        return self.data[self.at] if self.at < len(self.data) else None

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack(">H", self.take(2))[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def str8(self):
        n = self.u8()
        if n == 0:
            raise StreamError(self.at - 1, "an empty name")
        return self.take(n).decode("ascii")


class Block:
    def __init__(self, name, used):
        self.name, self.used = name, used
        self.gpa = None
        self.ram = bytearray(used)


class Stream:
    """What was in a stream. kinds counts page records by kind; commands and sections are in the order of the wire."""

    def __init__(self):
        self.machine, self.capabilities, self.uuid = None, [], None
        self.commands = []   # (offset, name, payload)
        self.sections = []   # (offset, type, id, idstr, instance, version)
        self.ids = {}        # section id -> (idstr, instance)
        self.blocks = {}     # name -> Block, in order
        self.pages = []      # (block, offset, kind, where its body begins and ends), in the order of the wire
        self.kinds = {"zero": 0, "page": 0, "xbzrle": 0, "compress": 0}
        self.devices = {}    # (idstr, instance) -> fields by name
        self.vmdesc = None
        self.block = None    # of the last page record
        self.ended = False
        self.after = 0       # bytes after the end

    def ram(self, name="r"):
        return bytes(self.blocks[name].ram)


# ---- the description at the end ------------------------------------------------------------------------------------

class Pairs(list):
    """A JSON object with its duplicate keys kept (3.3)."""

    def get(self, key, default=None):
        return next((v for k, v in self if k == key), default)

    def __contains__(self, key):
        return any(k == key for k, _ in self)


def find_vmdesc(data):
    """(offset of the EOF byte, the description) or (None, None): it reaches exactly to the end."""
    at = data.rfind(b"\x00\x06")
    while at >= 0:
        if at + 7 <= len(data) and at + 6 + struct.unpack(">I", data[at + 2:at + 6])[0] == len(data) and data[at + 6:at + 7] == b"{":
            try:
                return at, json.loads(data[at + 6:].decode("ascii"), object_pairs_hook=Pairs)
            except ValueError:
                pass
        at = data.rfind(b"\x00\x06", 0, at)
    return None, None


def described_size(desc):
    size = sum(f.get("size") * f.get("array_len", 1) for f in desc.get("fields", []))
    for sub in desc.get("subsections") or []:
        size += 1 + 1 + len(sub.get("vmsd_name")) + 4 + described_size(sub)
    return size


def decode_value(r, field):
    kind, size = field.get("type"), field.get("size")
    if kind == "struct":
        return decode_fields(r, field.get("struct"))
    raw = r.take(size)
    if kind == "bool":
        return raw != b"\0"
    if kind.startswith(("uint", "int")) and size in (1, 2, 4, 8):
        return int.from_bytes(raw, "big", signed=kind.startswith("int") and kind != "int64 equal")
    if kind == "timer":
        v = int.from_bytes(raw, "big")
        return None if v == (1 << 64) - 1 else v
    return bytes(raw)


def decode_fields(r, desc):
    out = {}
    for field in desc.get("fields", []):
        name, n = field.get("name"), field.get("array_len")
        if n is not None:
            value = [decode_value(r, field) for _ in range(n)]
        else:
            value = decode_value(r, field)
        if "index" in field:
            out.setdefault(name, []).append(value)
        else:
            out[name] = value
    for sub in desc.get("subsections") or []:
        at = r.at
        if r.u8() != SUBSECTION:
            raise StreamError(at, "no subsection where the description has %s" % sub.get("vmsd_name"))
        name = r.str8()
        version = r.u32()
        if name != sub.get("vmsd_name") or version != sub.get("version"):
            raise StreamError(at, "subsection %s v%d, described as %s" % (name, version, sub.get("vmsd_name")))
        out[name] = decode_fields(r, sub)
    return out


# ---- ram -----------------------------------------------------------------------------------------------------------

def undo_xbzrle(page, code, at):
    page, i, pos = bytearray(page), 0, 0

    def uleb():
        nonlocal i
        v = code[i]
        i += 1
        if v & 0x80:
            v = v & 0x7F | code[i] << 7
            i += 1
        return v
    try:
        while i < len(code):
            pos += uleb()
            n = uleb()
            if n == 0 or pos + n > PAGE or i + n > len(code):
                raise StreamError(at, "xbzrle run of %d at %d" % (n, pos))
            page[pos:pos + n] = code[i:i + n]
            pos, i = pos + n, i + n
    except IndexError:
        raise StreamError(at, "xbzrle ends inside a run")
    return bytes(page)


def ram_blocks(r, s, total):
    while total > 0:
        at = r.at
        block = Block(r.str8(), r.u64())
        if block.name in s.blocks:
            raise StreamError(at, "block %s twice" % block.name)
        if block.used > total or block.used % PAGE:
            raise StreamError(at, "block %s of %d bytes, %d left" % (block.name, block.used, total))
        total -= block.used
        s.blocks[block.name] = block
        if "x-ignore-shared" in s.capabilities:
            block.gpa = r.u64()
        if "mapped-ram" in s.capabilities:
            mapped_block(r, s, block)


def mapped_block(r, s, block):
    version, page_bytes, bitmap_at, pages_at = r.u32(), r.u64(), r.u64(), r.u64()
    if version != 1 or page_bytes != PAGE or pages_at % PAGE:
        raise StreamError(r.at, "mapped-ram header of %s" % block.name)
    pages = block.used // PAGE
    bitmap = Reader(r.data, bitmap_at).take(8 * ((pages + 63) // 64))
    for p in range(pages):
        if bitmap[p // 8] >> p % 8 & 1:
            at = pages_at + p * PAGE
            block.ram[p * PAGE:(p + 1) * PAGE] = Reader(r.data, at).take(PAGE)
            s.pages.append((block.name, p * PAGE, MAPPED, at, at + PAGE))
    r.at = pages_at + block.used


def ram_body(r, s, first):
    """Records up to the end mark. A START begins with the list of blocks."""
    if first:
        at = r.at
        word = r.u64()
        if word & (PAGE - 1) != MEM_SIZE:
            raise StreamError(at, "a ram START begins with 0x%x" % word)
        ram_blocks(r, s, word - MEM_SIZE)
    while True:
        at = r.at
        word = r.u64()
        offset, flags = word & ~(PAGE - 1), word & (PAGE - 1)
        if flags == EOS:
            if offset:
                raise StreamError(at, "an end mark with the value 0x%x" % offset)
            return
        kind = flags & ~CONTINUE
        if kind not in (ZERO, PAGE_RECORD, XBZRLE, COMPRESS):
            raise StreamError(at, "a ram record with flags 0x%x" % flags)
        if "mapped-ram" in s.capabilities:
            raise StreamError(at, "a page record in a mapped-ram stream")
        if not flags & CONTINUE:
            name = r.str8()
            if name not in s.blocks:
                raise StreamError(at, "a page of the unknown block %s" % name)
            s.block = s.blocks[name]
        if s.block is None:
            raise StreamError(at, "CONTINUE before any block was named")
        if offset + PAGE > s.block.used:
            raise StreamError(at, "page 0x%x is outside of %s" % (offset, s.block.name))
        body = r.at
        s.block.ram[offset:offset + PAGE] = page_content(r, s, kind, offset, at)
        s.pages.append((s.block.name, offset, kind, body, r.at))


def page_content(r, s, kind, offset, at):
    if kind == ZERO:
        s.kinds["zero"] += 1
        if r.u8():
            raise StreamError(at, "a zero page that is not filled with zero")
        return bytes(PAGE)
    if kind == PAGE_RECORD:
        s.kinds["page"] += 1
        return r.take(PAGE)
    if kind == XBZRLE:
        s.kinds["xbzrle"] += 1
        encoding, n = r.u8(), r.u16()
        if encoding != 1 or not 0 < n <= PAGE:
            raise StreamError(at, "xbzrle encoding %d, %d bytes" % (encoding, n))
        return undo_xbzrle(s.block.ram[offset:offset + PAGE], r.take(n), at)
    s.kinds["compress"] += 1
    page = zlib.decompress(r.take(r.u32()))
    if len(page) != PAGE:
        raise StreamError(at, "a compressed page of %d bytes" % len(page))
    return page


def disk_body(r):
    """Records of a `block` section, up to the end mark (11)."""
    flags = 0
    while not flags & DISK_EOS:
        at = r.at
        flags = r.u64() & 0x1FF
        if flags in (DISK_DATA, DISK_DATA | DISK_ZERO):
            r.str8()
            r.take(0 if flags & DISK_ZERO else 1 << 20)
        elif flags not in (DISK_EOS, DISK_PROGRESS):
            raise StreamError(at, "a block record with flags 0x%x" % flags)


# ---- elements ------------------------------------------------------------------------------------------------------

def head(r, s):
    if r.take(4) != b"QEVM" or r.u32() != 3:
        raise StreamError(0, "not a stream of version 3")
    if r.peek() != CONFIGURATION:
        return
    r.u8()
    s.machine = r.take(r.u32()).decode("ascii")
    while r.peek() == SUBSECTION:
        at = r.at
        r.u8()
        name, version = r.str8(), r.u32()
        if name == "configuration/capabilities" and version == 1:
            s.capabilities = [r.str8() for _ in range(r.u32())]
        elif name == "configuration/uuid" and version == 1:
            s.uuid = bytes(r.take(16)).hex()
        elif name == "configuration/target-page-bits" and version == 1:
            r.u32()
        else:
            raise StreamError(at, "configuration subsection %s v%d" % (name, version))


def command(r, s, at):
    number, n = r.u16(), r.u16()
    if number not in COMMANDS:
        raise StreamError(at, "command %d" % number)
    name, length = COMMANDS[number]
    if length is not None and length != n:
        raise StreamError(at, "command %s with %d bytes" % (name, n))
    if name == "packaged":
        raise StreamError(at, "postcopy is not for this decoder")
    s.commands.append((at, name, bytes(r.take(n))))


def full_section(r, s, idstr, instance, descriptions):
    at = r.at
    if descriptions is not None:
        if not descriptions:
            raise StreamError(at, "%s is not in the description" % idstr)
        d = descriptions.pop(0)
        if (d.get("name"), d.get("instance_id")) != (idstr, instance):
            raise StreamError(at, "%s %d, described as %s %s" % (idstr, instance, d.get("name"), d.get("instance_id")))
        s.devices[idstr, instance] = decode_fields(r, d)
        if r.at - at != described_size(d):
            raise StreamError(at, "%s: %d bytes, described as %d" % (idstr, r.at - at, described_size(d)))
    elif idstr in KNOWN_SIZES:
        s.devices[idstr, instance] = {"data": bytes(r.take(KNOWN_SIZES[idstr]))}
    else:
        raise StreamError(at, "%s has no description" % idstr)


def section(r, s, kind, at, descriptions):
    number = r.u32()
    if kind in (START, FULL):
        idstr, instance, version = r.str8(), r.u32(), r.u32()
        if number in s.ids or (idstr, instance) in s.ids.values():
            raise StreamError(at, "section %d %s %d a second time" % (number, idstr, instance))
        s.ids[number] = idstr, instance
    else:
        if number not in s.ids:
            raise StreamError(at, "section %d was not started" % number)
        (idstr, instance), version = s.ids[number], None
    s.sections.append((at, kind, number, idstr, instance, version))
    if kind == FULL:
        full_section(r, s, idstr, instance, descriptions)
    elif idstr == "ram":
        if kind == START and version != 4:
            raise StreamError(at, "ram version %d" % version)
        ram_body(r, s, kind == START)
    elif idstr == "block":
        disk_body(r)
    else:
        raise StreamError(at, "live section %s" % idstr)
    footer = r.at
    if r.u8() != FOOTER or r.u32() != number:
        raise StreamError(footer, "no footer %d of %s" % (number, idstr))


def decode(data, start=0):
    """Bytes of a whole stream, which begins at `start` -> Stream, or StreamError."""
    s, r = Stream(), Reader(data, start)
    eof, s.vmdesc = find_vmdesc(data)
    descriptions = list(s.vmdesc.get("devices")) if s.vmdesc is not None else None
    if s.vmdesc is not None and s.vmdesc.get("page_size") != PAGE:
        raise StreamError(eof, "described page size %s" % s.vmdesc.get("page_size"))
    head(r, s)
    while True:
        at, kind = r.at, r.u8()
        if kind == EOF:
            break
        if kind in (START, PART, END, FULL):
            section(r, s, kind, at, descriptions)
        elif kind == COMMAND:
            command(r, s, at)
        else:
            raise StreamError(at, "element 0x%02x" % kind)
    if s.vmdesc is not None:
        if at != eof:
            raise StreamError(at, "ends before its description at %d" % eof)
        if descriptions:
            raise StreamError(at, "%s is described but not there" % descriptions[0].get("name"))
    else:
        s.after = len(data) - r.at
    s.ended = True
    return s


def main():
    with open(sys.argv[1], "rb") as f:
        s = decode(f.read())
    print("machine %s, capabilities %s, uuid %s" % (s.machine, s.capabilities, s.uuid))
    for at, name, payload in s.commands:
        print("%10d command %s %s" % (at, name, payload.hex()))
    for at, kind, number, idstr, instance, version in s.sections:
        if kind != PART:
            print("%10d section type %d id %d %s %d%s" % (at, kind, number, idstr, instance,
                                                          "" if version is None else " v%d" % version))
    for b in s.blocks.values():
        print("block %s %d bytes%s" % (b.name, b.used, "" if b.gpa is None else " at 0x%x" % b.gpa))
    print("pages %s" % s.kinds)
    for (idstr, instance), fields in s.devices.items():
        print("%s %d %s" % (idstr, instance, fields))
    print("description %s, %d bytes after the end" % ("yes" if s.vmdesc is not None else "no", s.after))


if __name__ == "__main__":
    main()
