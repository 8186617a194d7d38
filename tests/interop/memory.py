# SPDX-License-Identifier: MIT
"""Memory of guests: contents to send, and differences in the received contents."""
import mmap
import random

PAGE = 4096


def pattern(size, seed=1):
    """Bytes of guest memory: runs of zero pages, random pages, pages of one byte, pages with a few bytes set."""
    rnd = random.Random(seed)
    out = bytearray(size)
    page = 0
    while page < size // PAGE:
        kind, run = rnd.choice("zzzrrrcs"), rnd.randint(1, 64)
        for p in range(page, min(page + run, size // PAGE)):
            if kind == "r":
                out[p * PAGE:(p + 1) * PAGE] = rnd.randbytes(PAGE)
            elif kind == "c":
                out[p * PAGE:(p + 1) * PAGE] = bytes([rnd.randint(1, 255)]) * PAGE
            elif kind == "s":
                for _ in range(rnd.randint(1, 5)):
                    out[p * PAGE + rnd.randrange(PAGE)] = rnd.randint(1, 255)
        page += run
    return bytes(out)


def write_file(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def read_file(path):
    with open(path, "rb") as f:
        return f.read()


def differing_pages(a, b):
    if a == b:
        return []
    n = max(len(a), len(b))
    return [o // PAGE for o in range(0, n, PAGE) if a[o:o + PAGE] != b[o:o + PAGE]]


def map_shared(path, size):
    """A writable view of a RAM file that a QEMU has mapped."""
    with open(path, "r+b") as f:
        return mmap.mmap(f.fileno(), size)
