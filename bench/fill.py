#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Deterministic guest-RAM images, so that every engine is measured on the same bytes.

An image is a sequence of 4096-byte pages.  Everything derives from a 64-bit seed:

  mix(tag, i) = splitmix64 finaliser of (seed + tag*0x9E3779B97F4A7C15
                                              + i*0xD1B54A32D192ED03) mod 2^64

  kind(page)  zero    page of zeros
              random  SHAKE-128(b"ram-fill" || le64(seed) || le64(page)), 4096 bytes
              text    8 slices of 512 bytes of a 4 MiB tape of English words; slice s
                      starts at mix(3, page*8+s) % (4 MiB - 512).  Bytes 0..15 are
                      then replaced by "%015x " % page, so that no two pages match.
              ptr     8 slices of 512 bytes of a 4 MiB tape of little-endian u64s;
                      slice s starts at 8*(mix(5, page*8+s) % (512 Ki - 64)).
                      Bytes 0..7 are then replaced by le64(page).
  text tape   word number j is WORDS[mix(2, j) % len(WORDS)], followed by a newline when
              j % 12 == 11 and by a space otherwise; cut at 4 MiB.
  ptr tape    entry j, with m = mix(4, j):  m & 3 in {0, 1} gives the kernel-like pointer
              0xffff888000000000 + ((m >> 8) & 0x3fffff) * 64; 2 gives the small integer
              (m >> 8) & 0xff; 3 gives 0.

Fills: zero, random, text (all pages of that kind) and mixed, in which each run of 16 pages
(64 KiB) has the kind mix(1, page // 16) & 7 -> 0,1 zero; 2,3 random; 4,5 text; 6,7 ptr:
25 % zero, 25 % incompressible, 50 % compressible, in expectation.

Command line: fill.py --fill mixed --size 2G --seed 1 --out FILE
"""
import argparse
import hashlib
import multiprocessing
import os
import struct
import sys

PAGE = 4096
M64 = (1 << 64) - 1
TAPE = 4 << 20
FILLS = ("zero", "random", "text", "mixed")
WORDS = (
    "the of and to in is was he for it with as his on be at by had not are but from or have an "
    "they which one you were her all she there would their we him been has when who will more no "
    "if out so said what up its about into than them can only other new some could time these two "
    "may then do first any my now such like our over man me even most made after also did many "
    "before must through back years where much your way well down should because each just those "
    "people how too little state good very make world still own see men work long get here between "
    "both life being under never day same another know while last might us great old year off come "
    "since against go came right used take three memory page table process thread kernel network "
    "buffer device driver system call error warning info debug request response server client "
    "index value key node list tree hash map lock queue signal event timer cache disk block file"
).split()

# Hashes of the images, computed by the first version of this file and compared since.
SHA256 = {
    ("mixed", 256 << 20, 1): "8c152b6e7b15b45cbc2ce6f5e1e1a0859b64a8eec7cfba49b3a2f14f79c9f7f2",
    ("mixed", 2 << 30, 1): "dcbc6883db34a252d4d70fbed5dbd263154b78e90ed64c190770dbeaf95a737a",
}


def parse_size(text):
    text = text.strip()
    unit = {"K": 10, "M": 20, "G": 30}.get(text[-1].upper())
    return int(text[:-1]) << unit if unit else int(text)


class Filler:
    def __init__(self, seed):
        self.seed = seed & M64
        self._text = self._ptr = None

    def mix(self, tag, i):
        z = (self.seed + tag * 0x9E3779B97F4A7C15 + i * 0xD1B54A32D192ED03) & M64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        return z ^ (z >> 31)

    def text_tape(self):
        if self._text is None:
            out, size, j = [], 0, 0
            while size < TAPE:
                w = WORDS[self.mix(2, j) % len(WORDS)] + ("\n" if j % 12 == 11 else " ")
                out.append(w)
                size += len(w)
                j += 1
            self._text = "".join(out).encode()[:TAPE]
        return self._text

    def ptr_tape(self):
        if self._ptr is None:
            out = []
            for j in range(TAPE // 8):
                m = self.mix(4, j)
                k = m & 3
                if k < 2:
                    out.append(0xFFFF888000000000 + ((m >> 8) & 0x3FFFFF) * 64)
                else:
                    out.append((m >> 8) & 0xFF if k == 2 else 0)
            self._ptr = struct.pack("<%dQ" % len(out), *out)
        return self._ptr

    def page(self, kind, i):
        if kind == "zero":
            return bytes(PAGE)
        if kind == "random":
            return hashlib.shake_128(b"ram-fill" + struct.pack("<QQ", self.seed, i)).digest(PAGE)
        mix = self.mix
        if kind == "text":
            t = self.text_tape()
            offs = [mix(3, i * 8 + s) % (TAPE - 512) for s in range(8)]
            return (b"%015x " % i) + t[offs[0] + 16:offs[0] + 512] + b"".join(
                [t[o:o + 512] for o in offs[1:]])
        t = self.ptr_tape()
        offs = [8 * (mix(5, i * 8 + s) % (TAPE // 8 - 64)) for s in range(8)]
        return struct.pack("<Q", i) + t[offs[0] + 8:offs[0] + 512] + b"".join(
            [t[o:o + 512] for o in offs[1:]])

    def kind(self, fill, i):
        if fill != "mixed":
            return fill
        return ("zero", "random", "text", "ptr")[(self.mix(1, i // 16) & 7) >> 1]

    def span(self, fill, base, end):
        """Pages base..end-1; both multiples of 16 but for the last."""
        parts = []
        for run in range(base, end, 16):
            k = self.kind(fill, run)
            last = min(run + 16, end)
            if k == "zero":
                parts.append(bytes(PAGE * (last - run)))
            else:
                parts.extend([self.page(k, i) for i in range(run, last)])
        return b"".join(parts)


def work(job):
    path, fill, seed, base, end = job
    global filler
    if "filler" not in globals() or filler.seed != seed:
        filler = Filler(seed)
    data = filler.span(fill, base, end)
    with open(path, "r+b") as f:
        f.seek(base * PAGE)
        f.write(data)


def image(path, fill, size, seed):
    """Write an image to path (every page allocated, zeros included)."""
    pages, step = size // PAGE, 4096
    with open(path, "wb") as f:
        f.truncate(pages * PAGE)
    jobs = [(path, fill, seed, b, min(b + step, pages)) for b in range(0, pages, step)]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(work, jobs):
            pass


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for b in iter(lambda: f.read(1 << 20), b""):
            h.update(b)
    return h.hexdigest()


def cached(cache_dir, fill, size, seed):
    """Path of an image kept in cache_dir, made on first use."""
    os.makedirs(cache_dir, exist_ok=True)
    path = os.path.join(cache_dir, "fill-%s-%d-%d.img" % (fill, size, seed))
    if not os.path.exists(path):
        tmp = path + ".tmp%d" % os.getpid()
        try:
            image(tmp, fill, size, seed)
            want = SHA256.get((fill, size, seed))
            if want and digest(tmp) != want:
                raise SystemExit("fill.py: %s is not the image that it should be" % path)
            os.replace(tmp, path)
        finally:
            if os.path.exists(tmp):
                os.unlink(tmp)
    return path


def main():
    ap = argparse.ArgumentParser(description="write a deterministic RAM image")
    ap.add_argument("--fill", choices=FILLS, default="mixed")
    ap.add_argument("--size", default="2G", type=parse_size)
    ap.add_argument("--seed", default=1, type=int)
    ap.add_argument("--out", required=True)
    a = ap.parse_args()
    image(a.out, a.fill, a.size, a.seed)
    print(digest(a.out), a.out)


if __name__ == "__main__":
    sys.exit(main())
