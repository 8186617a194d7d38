# SPDX-License-Identifier: MIT
"""Parts of a stream: multifd packets, disks, dirty bitmaps."""
from making import accept, reject, str8, u8, u32, u64

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


def deflated(pages):
    """Pages of 0x5a, flushed. Each zlib makes other bytes of them, so these are from one."""
    head, tail = {1: ("78daecc181000000008020cffd4116a90a", "6a000000ffff"),
                  2: ("78daecc13101000000c2a09eeb1fc4c31a4001", "dc000000ffff")}[pages]
    return bytes.fromhex(head) + bytes({1: 63, 2: 126}[pages]) + bytes.fromhex(tail)


def packets():
    t, two, coded = "packet", [PAGE, 3 * PAGE], deflated(2)

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
        packet(flags=SYNC | ZLIB, offsets=two, contents=deflated(1)), ZLIB_64K)
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
