#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes TARGET/accept and TARGET/reject of formats of which no short capture exists, each file with its .txt.

    tests/golden/made.py [FOLDER]       default: here

The formats are those of docs/wire-format.md (6, 8.2, 10, 11, 12) and of the public text on qcow2; what stands in front of the
bytes is described in tests/fuzz/fuzz_TARGET.c. tests/tools/test_made.py compares the files with what this writes.
"""
import os
import struct
import sys
import zlib

FILES = {}  # (target, "accept" or "reject", name): (bytes, text)


def u8(*v):
    return bytes(v)


def u16(v):
    return struct.pack(">H", v)


def u32(*v):
    return struct.pack(">%dI" % len(v), *v)


def u64(*v):
    return struct.pack(">%dQ" % len(v), *v)


def str8(text):
    return u8(len(text)) + text.encode()


def accept(target, name, data, text):
    FILES[target, "accept", name] = data, text


def reject(target, name, data, text):
    FILES[target, "reject", name] = data, text


# ---- multifd packets: a block `r` of 1 MiB --------------------------------------------------------------------------------

SYNC, ZLIB, ZSTD, DEVICE = 1, 2, 4, 0x40
PLAIN_64K, ZLIB_64K, ZSTD_64K = 12, 13, 14  # byte 0: the coding, and pages of 64 KiB, of which a packet has at most 8
PAGE = 65536


def packet(flags=SYNC, capacity=8, offsets=(), zeros=(), contents=b"", magic=0x11223344, version=1, name=b"r", pages=None,
           zero_pages=None, length=None):
    where = list(offsets) + list(zeros)
    pages = len(offsets) if pages is None else pages
    length = len(contents) if length is None else length
    return (u32(magic, version, flags, capacity, pages, length) + u64(1) + u32(len(zeros) if zero_pages is None else zero_pages) +
            bytes(28) + name.ljust(256, b"\0") + u64(*where + [0] * (8 - len(where))) + contents)


def deflated(data):
    z = zlib.compressobj(1)
    return z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH)


def packets():
    t, two, coded = "packet", [PAGE, 3 * PAGE], deflated(bytes(range(256)) * 512)

    def good(first, *list_of):
        return u8(first) + b"".join(list_of)

    def bad(name, text, data, first=PLAIN_64K):
        reject(t, name, u8(first) + data, text)

    accept(t, "zeros", good(PLAIN_64K, packet(flags=0, zeros=two), packet()), "Two zero pages, and a packet with SYNC alone.")
    accept(t, "old-sync", good(PLAIN_64K, packet(capacity=0, name=b"", length=7)),
           "SYNC with room for 0 pages and a length that means nothing, as QEMU 10.0 and old ones have it.")
    accept(t, "zlib", good(ZLIB_64K, packet(flags=SYNC | ZLIB, offsets=two, zeros=[0], contents=coded)),
           "Two pages by zlib and a zero page in one packet.")
    bad("nothing", "A channel that ends at once.", b"")
    bad("cut-in-head", "The channel ends within the head of a packet.", packet()[:300])
    bad("cut-in-page", "The channel ends within the contents.", packet(offsets=[0], contents=bytes(999), length=PAGE))
    bad("no-sync", "It ends behind a packet without SYNC.", packet(flags=0, zeros=two))
    bad("magic", "A packet that does not begin as one.", packet(magic=0x11223345))
    bad("version", "Version 2 of packets.", packet(version=2))
    bad("device", "Device state.", packet(flags=DEVICE))
    bad("flags", "A flag that nobody knows.", packet(flags=0x100))
    bad("capacity", "Room for nine pages, and a packet has eight of this size.", packet(capacity=9))
    bad("pages", "2^32 - 1 pages.", packet(pages=0xFFFFFFFF))
    bad("pages-wrap", "2 pages and 2^32 - 1 zero pages: the sum of both is 1 in 32 bits.", packet(pages=2, zero_pages=0xFFFFFFFF))
    bad("length", "One page, and the contents have a byte more.", packet(offsets=[0], contents=bytes(10), length=PAGE + 1))
    bad("no-name", "Pages of a block without a name.", packet(zeros=[0], name=b""))
    bad("endless-name", "A name of 256 bytes without a NUL.", packet(zeros=[0], name=b"r" * 256))
    bad("unknown-block", "A block that is not there.", packet(zeros=[0], name=b"s"))
    bad("within-page", "A page that begins within a page.", packet(zeros=[PAGE + 4096]))
    bad("behind", "The first page behind the block.", packet(zeros=[16 * PAGE]))
    bad("far", "The last page that 64 bits can say.", packet(zeros=[2 ** 64 - PAGE]))
    bad("coded", "Pages by zlib on a channel without compression.", packet(flags=SYNC | ZLIB, offsets=two, contents=coded))
    bad("as-is", "The bit between two godwits for pages as they are, where nothing is compressed.",
        packet(flags=SYNC | 0x80000000, zeros=[0]))
    bad("zlib-longest", "Contents of 4 GiB - 1.",
        packet(flags=SYNC | ZLIB, offsets=two, contents=coded, length=0xFFFFFFFF), ZLIB_64K)
    bad("zlib-empty", "Two pages in 0 bytes.", packet(flags=SYNC | ZLIB, offsets=two), ZLIB_64K)
    bad("zlib-short", "A stream of one page where two are.",
        packet(flags=SYNC | ZLIB, offsets=two, contents=deflated(bytes(PAGE))), ZLIB_64K)
    bad("zlib-long", "A stream of two pages where one is.", packet(flags=SYNC | ZLIB, offsets=two[:1], contents=coded), ZLIB_64K)
    bad("zlib-damaged", "A byte of the stream is another one.",
        packet(flags=SYNC | ZLIB, offsets=two, contents=coded[:20] + u8(coded[20] ^ 0xFF) + coded[21:]), ZLIB_64K)
    bad("zstd-none", "Bytes that are no zstd.", packet(flags=SYNC | ZSTD, offsets=two, contents=b"\xaa" * 64), ZSTD_64K)
    bad("zstd-window", "A frame that wants a window of 3.75 TiB.",
        packet(flags=SYNC | ZSTD, offsets=two, contents=b"\x28\xb5\x2f\xfd\x00\xff" + bytes(30)), ZSTD_64K)


# ---- the section `block`: disks `a` and `r`, which is read-only, of 1 MiB and 4096 bytes each -----------------------------

DISK_START, DISK_PART, DISK_END = 0, 1, 2  # byte 0
CHUNK, END, PROGRESS, ZERO = 1, 2, 4, 8


def disks():
    t, mib = "block", 1 << 20

    def chunk(disk, offset, flags=CHUNK | ZERO):
        return u64(offset | flags) + str8(disk)

    def bad(name, text, *records):
        reject(t, name, u8(DISK_END) + b"".join(records) + u64(END), text)

    accept(t, "zeros", u8(DISK_END) + u64(PROGRESS) + chunk("a", 0) + chunk("a", mib) + u64(100 << 9 | PROGRESS, END),
           "Both chunks of a disk, of zeros, the second one shorter; 0 and 100 percent.")
    accept(t, "bodies", u8(DISK_PART) + chunk("a", mib) + u64(END) + u64(END) + chunk("a", mib) + u64(END),
           "Three bodies, one of them with nothing; a chunk that comes again.")
    bad("unknown-disk", "A disk that is not there.", chunk("b", 0))
    bad("read-only", "A disk that cannot be written here.", chunk("r", 0))
    bad("no-name", "A chunk of a disk without a name.", chunk("", 0))
    bad("name", "A name with an escape in it.", chunk("a\x1b", 0))
    bad("within", "A chunk that begins within one.", chunk("a", 512))
    bad("behind", "A chunk behind the disk.", chunk("a", 2 * mib))
    bad("far", "The last chunk that 64 bits can say.", chunk("a", 2 ** 64 - mib))
    bad("percent", "101 percent.", u64(101 << 9 | PROGRESS))
    bad("percents", "2^55 - 1 percent.", u64((2 ** 55 - 1) << 9 | PROGRESS))
    bad("no-kind", "A record that is of no kind.", u64(0))
    bad("two-kinds", "A chunk that is an end.", chunk("a", 0, CHUNK | END))
    bad("zero-end", "An end of zeros.", u64(END | ZERO))
    bad("flags", "A flag that nobody knows.", chunk("a", 0, CHUNK | 0x100))
    reject(t, "nothing", u8(DISK_START), "A body that ends before it begins.")
    reject(t, "no-end", u8(DISK_PART) + chunk("a", 0), "A body without its end mark.")
    reject(t, "cut-in-head", u8(DISK_PART) + chunk("a", 0)[:-1], "It ends within the name of a disk.")
    reject(t, "cut-in-chunk", u8(DISK_PART) + chunk("a", 0, CHUNK) + bytes(2000), "It ends within the contents of a chunk.")


# ---- dirty bitmaps: a disk `d` (node `n`) of 1 MiB and 4096 bytes, and `e` of 512 bytes -----------------------------------

B_END, B_ZEROES, B_NAME, B_NODE, B_START, B_COMPLETE, B_BITS = 1, 2, 4, 8, 0x10, 0x20, 0x40
SECTORS, BUFFER = 2056, 288  # of d, and what its bits take with 512 bytes each


def bitmaps():
    t, end = "bitmaps", u8(B_END)

    def start(name="b", node="n", granularity=512, flags=1):
        has = (B_NODE if node is not None else 0) | (B_NAME if name is not None else 0)
        return (u8(B_START | has) + (str8(node) if node is not None else b"") + (str8(name) if name is not None else b"") +
                u32(granularity) + u8(flags))

    def bits(sector=0, sectors=SECTORS, buffer=BUFFER, contents=None):
        contents = b"\x5a" * min(buffer, 10240) if contents is None else contents
        return u8(B_BITS) + u64(sector) + u32(sectors) + u64(buffer) + contents

    def bodies(*list_of, first=0):
        return u8(first) + b"".join(u32(len(b)) + b for b in list_of)

    def bad(name, text, *list_of, **first):
        reject(t, name, bodies(*list_of, **first), text)

    done, some = u8(B_COMPLETE), bits() + u8(B_COMPLETE) + end
    accept(t, "whole", bodies(start() + end, some), "A bitmap in one chunk.")
    accept(t, "two", bodies(start() + start("c", None, 65536, 2) + end, u8(B_BITS | B_ZEROES) + u64(0) + u32(SECTORS) + done + end,
                            u8(B_COMPLETE | B_NAME) + str8("b") + end),
           "Two bitmaps of one disk, which is named once; three bodies.")
    accept(t, "mapped", bodies(start() + end, some, first=1), "A bitmap that is called otherwise here.")
    accept(t, "none", bodies(end), "No bitmap at all.")
    bad("no-kind", "A record of no kind.", u8(0))
    bad("two-kinds", "A START that is a COMPLETE.", u8(B_START | B_COMPLETE) + u32(512) + u8(1) + end)
    bad("end-named", "An end with a name.", u8(B_END | B_NAME) + str8("b"))
    bad("zero-start", "A START of zeros.", u8(B_START | B_ZEROES) + u32(512) + u8(1) + end)
    bad("long-flags", "The long form of the flags.", u8(0x80 | B_END, 0) + end)
    bad("unknown-disk", "A disk that is not there.", start(node="x") + end)
    bad("no-disk", "A bitmap of no disk.", start(node=None) + end)
    bad("no-name", "A bitmap without a name.", start(name=None) + end)
    bad("empty-name", "A name of 0 bytes.", start(name="") + end)
    bad("taken", "A bitmap that is here already.", start("own") + end)
    bad("twice", "The same START twice.", start() + start() + end)
    bad("not-mapped", "A bitmap that the mapping does not have.", start("c") + end, first=1)
    bad("granularity-0", "0 bytes for each bit.", start(granularity=0) + end)
    bad("granularity-odd", "1000 bytes for each bit.", start(granularity=1000) + end)
    bad("granularity-256", "Half a sector for each bit.", start(granularity=256) + end)
    bad("flags", "Flags of a bitmap that nobody knows.", start(flags=0x11) + end)
    bad("start-late", "A START behind the first section.", end, start() + end)
    bad("bits-early", "Bits in the first section.", start() + bits() + end)
    bad("not-started", "Bits of a bitmap that was not started.", start() + end,
        u8(B_BITS | B_NAME | B_ZEROES) + str8("c") + u64(0) + u32(1) + end)
    bad("bits-late", "Bits behind COMPLETE.", start() + end, done + bits() + end)
    bad("complete-twice", "COMPLETE twice.", start() + end, done + done + end)
    bad("no-sectors", "A chunk of no sectors.", start() + end, bits(sectors=0) + end)
    bad("behind", "Bits that end behind the disk.", start() + end, bits(sectors=SECTORS + 1) + end)
    bad("wraps", "Sectors up to 2^64, and some more.", start() + end, bits(sector=2 ** 64 - 64, sectors=2056) + end)
    bad("within-word", "A chunk that begins within a word of bits.", start() + end, bits(sector=8, sectors=2048) + end)
    bad("buffer-short", "32 bytes for 2056 bits.", start() + end, bits(buffer=32) + end)
    bad("buffer-long", "The largest buffer for 2056 bits.", start() + end, bits(buffer=10240) + end)
    bad("buffer-larger", "A buffer of more bytes than there can be.", start() + end, bits(buffer=10241) + end)
    bad("buffer-largest", "A buffer of 2^64 - 1 bytes.", start() + end, bits(buffer=2 ** 64 - 1) + end)
    bad("coarse", "The bits of 512 bytes each, where the bitmap has 64 KiB each.", start(granularity=65536) + end, some)
    bad("cut-in-buffer", "It ends within the bits.", start() + end, bits(contents=bytes(100)))
    bad("cut-in-name", "It ends within a name.", start()[:2])
    bad("no-end", "A body without its end mark.", start())
    bad("not-whole", "A bitmap of which COMPLETE does not come.", start() + end, bits() + end)


# ---- the return path: what a destination says ------------------------------------------------------------------------------

GODWIT, PLAIN, POSTCOPY, PATIENT = 0, 1, 4, 8  # byte 0
AT_ONCE, ENDED, COMMITTED = 0, 254, 255         # when it is said
SHUT, PONG, REQ_PAGES_ID, REQ_PAGES, RECV_BITMAP, RESUME_ACK, ACK, HELLO, LOADED = 1, 2, 3, 4, 5, 6, 7, 0x6777, 0x6778


def message(number, body=b"", length=None):
    return u16(number) + u16(len(body) if length is None else length) + body


def return_path():
    t, pong = "return_path", message(PONG, u32(1))
    shut, failed = message(SHUT, u32(0)), message(SHUT, u32(1))
    hello = message(HELLO, u32(1) + u64(1))
    pongs = 6 * pong  # to each PING at once: the source waits some seconds for them
    knows = message(PONG, b"gdwt") + hello + pongs

    def said(first, *pieces):
        return u8(first | PATIENT) + b"".join(u8(due, len(p)) + p for due, p in pieces)

    def bad(name, text, *pieces, first=PLAIN):
        reject(t, name, said(first, *pieces), text)

    accept(t, "plain", said(PLAIN, (AT_ONCE, pongs), (ENDED, shut)),
           "A peer that answers, and has the machine behind the last byte.")
    accept(t, "commit", said(GODWIT, (AT_ONCE, knows), (ENDED, message(LOADED)), (COMMITTED, shut)),
           "Another godwit: LOADED, and behind COMMIT that it runs.")
    bad("closed", "It closes, and says nothing.")
    bad("closed-late", "It closes behind the last byte.", (AT_ONCE, pongs), (ENDED, pong))
    bad("failed", "It could not load the machine.", (AT_ONCE, pongs), (ENDED, failed))
    bad("failed-early", "It cannot load the machine, and says so before anything came.", (AT_ONCE, failed))
    bad("unknown", "A message of a number that nobody knows.", (AT_ONCE, message(0x63)))
    bad("number-0", "Message 0.", (AT_ONCE, message(0)))
    bad("shut-empty", "SHUT without its number.", (AT_ONCE, message(SHUT)))
    bad("pong-long", "PONG of 5 bytes.", (AT_ONCE, message(PONG, bytes(5))))
    bad("length", "A request for pages with a length of 64 KiB - 1.", (AT_ONCE, message(REQ_PAGES_ID, bytes(20), 65535)))
    bad("length-513", "A length of 513, one more than there is.", (AT_ONCE, message(RECV_BITMAP, bytes(200), 513)))
    bad("cut-in-head", "It ends within the head of a message.", (AT_ONCE, pongs), (ENDED, pong[:3]))
    bad("cut-in-body", "It ends within a message.", (AT_ONCE, pongs), (ENDED, shut[:7]))
    bad("requests", "Pages are asked for, and the machine has not gone.",
        (AT_ONCE, message(REQ_PAGES_ID, u64(0) + u32(4096) + str8("r"))))
    bad("map", "A map of pages that nobody asked for.", (AT_ONCE, message(RECV_BITMAP, str8("r")) + u64(2 ** 63)))
    bad("resumed", "A resumption that nobody asked for.", (AT_ONCE, message(RESUME_ACK, u32(1))))
    bad("hello-unasked", "A peer that is no godwit says hello as one.", (AT_ONCE, hello))
    bad("hello-twice", "Hello twice.", (AT_ONCE, message(PONG, b"gdwt") + hello + hello), first=GODWIT)
    bad("loaded-unasked", "LOADED by a peer that is no godwit.", (AT_ONCE, pongs + message(LOADED)))
    bad("loaded-early", "LOADED before the machine is offered.", (AT_ONCE, knows + message(LOADED)), first=GODWIT)
    bad("loaded-twice", "LOADED twice.", (AT_ONCE, knows), (ENDED, message(LOADED) + message(LOADED)), first=GODWIT)
    bad("not-given", "It runs the machine, and there was no COMMIT.", (AT_ONCE, knows), (ENDED, shut), first=GODWIT)
    bad("postcopy-closed", "By postcopy: it closes before it has the devices.", (AT_ONCE, pongs), first=PLAIN | POSTCOPY)
    bad("postcopy-failed", "By postcopy: it says at once that it failed.", (AT_ONCE, failed), first=PLAIN | POSTCOPY)


# ---- postcopy: what a source says, to a machine `none` with blocks r, second, local ----------------------------------------

START, PART, SECTION_END, FULL, COMMAND, FOOTER = 1, 2, 3, 4, 8, b"\x7e"
PREEMPT, STANDS, LOOKS = 1, 2, 0x10  # byte 0
ZEROS, EOS, CONTINUE = 2, u64(0x10), 0x20


def command(number, payload=b""):
    return u8(COMMAND) + u16(number) + u16(len(payload)) + payload


def ram(element, *records):
    return u8(element) + u32(2) + b"".join(records) + EOS + FOOTER + u32(2)


def zeros(block, first, count):
    return b"".join(u64((first + i) * 4096 | ZEROS | (CONTINUE if i else 0)) + (b"" if i else str8(block)) + b"\0"
                    for i in range(count))


def discard(block, first, size, version=0):
    return command(6, u8(version) + str8(block) + b"\0" + u64(first, size))


LISTEN, RUN, OPEN, ADVISE, RESUME = command(4), command(5), command(1), command(3, u64(4096, 4096)), command(9)
TIMER = u8(FULL) + u32(7) + str8("timer") + u32(0, 2) + u8(9) + FOOTER + u32(7)
MACHINE_HEAD = b"QEVM" + u32(3) + u8(7) + u32(4) + b"none"
LIST = u64(20 * 4096 | 4) + str8("r") + u64(16 * 4096) + str8("second") + u64(4 * 4096)
WRONG_LIST = u64(20 * 4096 | 4) + str8("r") + u64(17 * 4096) + str8("second") + u64(3 * 4096)


def ram_start(list_of_blocks=LIST):
    return u8(START) + u32(2) + str8("ram") + u32(0, 4) + list_of_blocks + EOS + FOOTER + u32(2)


def package(body, length=None):
    return command(7, u32(len(body) if length is None else length)) + body


def before(advise=ADVISE, blocks=LIST):
    return MACHINE_HEAD + OPEN + command(2, u32(1)) + advise + ram_start(blocks)


def postcopy():
    t = "postcopy"
    second, first, rest = zeros("second", 0, 4), zeros("r", 0, 8), zeros("r", 8, 8)
    machine = LISTEN + TIMER + command(2, u32(3)) + RUN
    come, end = before() + ram(PART, second), ram(SECTION_END) + b"\0"
    switched = come + discard("r", 0, 16 * 4096) + package(machine)
    wants = command(10, str8("r")) + command(10, str8("second")) + RESUME

    def connections(first_byte, *list_of):
        return u8(first_byte) + b"".join(u32(len(c)) + c for c in list_of)

    def bad(name, text, *list_of, first=0):
        reject(t, name, connections(first, *list_of), text)

    accept(t, "whole", connections(0, switched + ram(PART, rest) + ram(PART, first) + end),
           "All pages behind the machine, of zeros.")
    accept(t, "looks", connections(LOOKS, switched + ram(PART, rest) + ram(PART, first) + end),
           "The same for a device that needs a page before the machine runs.")
    bad("nothing", "It closes, and says nothing.", b"")
    bad("lost", "It is lost with half of the pages, and does not come back.", switched + ram(PART, rest))
    bad("lost-again", "It comes back, and is lost with half of the pages.", switched, wants + ram(PART, rest))
    bad("cut-in-package", "It ends within the machine.", come + package(machine[:-3], len(machine)))
    bad("no-run", "The machine is told to stand by, and never to run.", come + package(LISTEN + TIMER) + ram(PART, first) + end)
    bad("listen-twice", "LISTEN twice.", come + package(LISTEN + machine))
    bad("run-first", "RUN without LISTEN.", come + package(TIMER + RUN))
    bad("not-advised", "The machine without ADVISE before it.", before(advise=b"") + package(machine))
    bad("advise-pages", "Pages of 2 MiB there, and of 4 KiB here.", before(advise=command(3, u64(2 << 20, 4096))))
    bad("advise-short", "ADVISE of 8 bytes.", before(advise=command(3, u64(4096))))
    bad("blocks", "The lengths of the blocks are others than here.", before(blocks=WRONG_LIST) + package(machine))
    bad("package-0", "A package of 0 bytes.", come + package(b""))
    bad("package-longest", "A package of 4 GiB - 1.", come + package(machine, 0xFFFFFFFF))
    bad("package-in-package", "A package in a package.", come + package(package(machine)))
    bad("discard-version", "DISCARD of a version that nobody knows.", come + discard("r", 0, 4096, 1))
    bad("discard-unknown", "DISCARD in a block that is not there.", come + discard("x", 0, 4096))
    bad("discard-local", "DISCARD in a block that does not migrate.", come + discard("local", 0, 4096))
    bad("discard-within", "DISCARD that begins within a page.", come + discard("r", 100, 4096))
    bad("discard-behind", "DISCARD up to a page behind the block.", come + discard("r", 15 * 4096, 2 * 4096))
    bad("discard-wraps", "DISCARD of 2^64 - 4096 bytes from the second page on: the end is before the beginning.",
        come + discard("r", 4096, 2 ** 64 - 4096))
    bad("discard-cut", "DISCARD with half a range.", come + command(6, u8(0) + str8("r") + b"\0" + u64(0)))
    bad("discard-late", "DISCARD behind LISTEN.", come + package(LISTEN + discard("r", 0, 4096) + TIMER + RUN))
    bad("page-behind", "A page behind its block, and the source does not come back.", switched + ram(PART, zeros("r", 16, 1)))
    bad("page-local", "A page of what does not migrate.", switched + ram(PART, zeros("local", 0, 1)))
    bad("page-unknown", "A page of a block that is not there.", switched + ram(PART, zeros("x", 0, 1)))
    bad("record", "A page that is of zeros and an XBZRLE.", switched + ram(PART, u64(0x42) + str8("r")))
    bad("not-all", "The end, and half of the pages never came.", switched + ram(PART, rest) + end)
    bad("map-unknown", "The map of a block that is not there is asked for.", switched,
        command(10, str8("x")) + RESUME + ram(PART, first) + end)
    bad("map-long", "The name of a block is longer than the command.", switched, command(10, u8(200) + b"r") + RESUME)
    bad("urgent", "On the channel of urgent pages comes what is no page.", switched + ram(PART, rest), u64(0x12), first=PREEMPT)


# ---- qcow2 -------------------------------------------------------------------------------------------------------------------

CLUSTER = 512


def header(version=3, backing=(0, 0), bits=9, size=32768, crypt=0, table=(1, 3 * CLUSTER), counts=(CLUSTER, 1), snapshots=(0, 0),
           features=(0, 0, 0), order=4, length=104, extension=b"", magic=b"QFI\xfb"):
    data = magic + u32(version) + u64(backing[0]) + u32(backing[1], bits) + u64(size) + u32(crypt, table[0])
    data += u64(table[1], counts[0]) + u32(counts[1], snapshots[0]) + u64(snapshots[1])
    return data + (u64(*features) + u32(order, length) + extension if version > 2 else b"")


def image(first=None, l1=None, l2=None, counts=(1,) * 6, count_table=2 * CLUSTER, last=b"\x33" * CLUSTER, **kw):
    """The header, one cluster each: table of counts, counts, L1, L2, data."""
    copied = 1 << 63
    clusters = [header(**kw) if first is None else first, u64(count_table), b"".join(u16(c) for c in counts),
                u64(copied | 4 * CLUSTER if l1 is None else l1), u64(*[copied | 5 * CLUSTER] if l2 is None else l2), last]
    return b"".join(c.ljust(CLUSTER, b"\0") for c in clusters)


def qcow2():
    t, copied = "qcow2", 1 << 63

    def bad(name, text, **kw):
        reject(t, name, image(**kw), text)

    accept(t, "version-3", image(), "A disk of 32 KiB with one cluster of 512 bytes.")
    accept(t, "version-2", image(version=2), "The same in version 2.")
    accept(t, "empty", image(l1=0, counts=(1,) * 4), "A disk without contents.")
    accept(t, "extension", image(extension=u32(0x12345678, 5) + b"hello\0\0\0" + u32(0, 0)),
           "An extension of the header that nobody knows.")
    reject(t, "short", image()[:60], "60 bytes of the header.")
    reject(t, "cut", image()[:3 * CLUSTER - 1], "The file ends before its L1 table.")
    bad("magic", "Another magic.", magic=b"QFI\xfa")
    bad("version-4", "Version 4.", version=4)
    bad("cluster-8", "Clusters of 256 bytes.", bits=8)
    bad("cluster-22", "Clusters of 4 MiB.", bits=22)
    bad("cluster-200", "Clusters of 2^200 bytes.", bits=200)
    bad("size", "A disk of 2^64 - 1 bytes.", size=2 ** 64 - 1)
    bad("l1-few", "The L1 table has one entry, and the disk needs 64.", size=64 * 32768)
    bad("l1-many", "2^32 - 1 entries of the L1 table.", table=(0xFFFFFFFF, 3 * CLUSTER))
    bad("l1-odd", "The L1 table begins within a cluster.", first=header(table=(1, 3 * CLUSTER + 8)))
    bad("l1-far", "The L1 table is behind what 64 bits can say.", first=header(table=(1, 2 ** 64 - CLUSTER)))
    bad("counts-none", "A table of counts of 0 clusters.", first=header(counts=(CLUSTER, 0)))
    bad("counts-many", "A table of counts of 2^32 - 1 clusters.", first=header(counts=(CLUSTER, 0xFFFFFFFF)))
    bad("counts-odd", "The table of counts begins within a cluster.", first=header(counts=(CLUSTER + 8, 1)))
    bad("counts-order", "Counts of 128 bits.", first=header(order=7))
    bad("crypt", "An encryption that nobody knows.", first=header(crypt=3))
    bad("incompatible", "A feature that must be known, and is not.", first=header(features=(1 << 60, 0, 0)))
    bad("corrupt", "It says itself that it is damaged.", first=header(features=(2, 0, 0)))
    bad("header-long", "A header of 4 GiB - 1.", first=header(length=0xFFFFFFFF))
    bad("header-short", "A header of 100 bytes in version 3.", first=header(length=100))
    bad("backing-long", "The name of a backing file has 2000 bytes.", first=header(backing=(104, 2000)))
    bad("backing-far", "The name of a backing file is behind the first cluster.", first=header(backing=(2 ** 63, 10)))
    bad("extension-long", "An extension of the header of 4 GiB - 1.", first=header(extension=u32(0x12345678, 0xFFFFFFFF)))
    bad("snapshots-many", "2^32 - 1 snapshots.", first=header(snapshots=(0xFFFFFFFF, CLUSTER)))
    bad("snapshots-none", "A table of a snapshot of zeros.", first=header(snapshots=(1, 4 * CLUSTER)), l2=[0])
    bad("l2-far", "An L2 table behind the file.", l1=copied | 1 << 40)
    bad("data-far", "A cluster of data far behind the file.", l2=[copied | 1 << 50])
    bad("data-in-tables", "A cluster of data where the counts are.", l2=[copied | 2 * CLUSTER])
    bad("shared", "Two clusters of the disk in one of the file, of which each may be written.", l2=[copied | 5 * CLUSTER] * 2)
    bad("count-0", "A cluster that is in use and counted as free.", counts=(1, 1, 1, 1, 1, 0))
    bad("counts-far", "The counts are far behind the file.", count_table=1 << 50)
    bad("compressed", "A compressed cluster that cannot be decompressed.", l2=[1 << 62 | 5 * CLUSTER], last=b"\xff" * CLUSTER)
    bad("compressed-far", "A compressed cluster far behind the file.", l2=[1 << 62 | 1 << 55])


def write(folder):
    for (target, kind, name), (data, text) in FILES.items():
        where = os.path.join(folder, target, kind)
        os.makedirs(where, exist_ok=True)
        with open(os.path.join(where, name), "wb") as f:
            f.write(data)
        with open(os.path.join(where, name + ".txt"), "w", encoding="utf-8") as f:
            f.write(text + "\n")


for _make in (packets, disks, bitmaps, return_path, postcopy, qcow2):
    _make()

if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
