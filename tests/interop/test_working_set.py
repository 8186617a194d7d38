# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit send --postcopy --record and --working-set: which pages a guest asked for, and that they come first the next time.

The file is read and written here by docs/formats/working-set.md alone.
"""
import os
import random
import signal
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Qtest, read_file, wait_until, write_file  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_postcopy import Peer, Postcopy  # noqa: E402

PAGE = 4096
FROM, UNTIL = 1 << 20, SIZE - (1 << 20)  # as in test_postcopy.py


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def encode(blocks, runs):
    """blocks: (name, pages). runs: (block, beside, first, count)."""
    out = b"gdwtwset" + struct.pack(">IIII", 1, PAGE, len(blocks), len(runs))
    for name, pages in blocks:
        out += bytes([len(name)]) + name.encode() + struct.pack(">Q", pages)
    ends = [0] * len(blocks)
    for block, beside, first, count in runs:
        away = first - ends[block]
        out += varint(block << 1 | beside) + varint(away << 1 if away >= 0 else (-away << 1) - 1) + varint(count - 1)
        ends[block] = first + count
    return out + struct.pack(">I", crc32c(out))


def decode(data):
    assert data[:8] == b"gdwtwset" and crc32c(data[:-4]) == struct.unpack(">I", data[-4:])[0]
    version, page, blocks, runs = struct.unpack(">IIII", data[8:24])
    assert (version, page) == (1, PAGE)
    at, names, ends, out = 24, [], [0] * blocks, []
    for _ in range(blocks):
        names.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at] + 8

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    for _ in range(runs):
        kind, away, count = number(), number(), number() + 1
        first = ends[kind >> 1] + (away >> 1 if not away & 1 else -(away + 1 >> 1))
        ends[kind >> 1] = first + count
        out.append((names[kind >> 1], kind & 1, first, count))
    assert at == len(data) - 4
    return out


class WorkingSet(Postcopy):
    def test_what_is_asked_for_is_recorded(self):
        """At a byte a second nothing comes but what is asked for, and a few pages at the beginning."""
        vm = {"memory": SIZE, "machine": "microvm", "block": None, "qtest": True}
        source = self.qemu("10.0", "source", paused=True, **vm)
        guest = Qtest(source.qtest_path)
        for at in range(FROM, UNTIL, 1 << 16):
            guest.write(at, RAM[at:at + (1 << 16)])
        guest.close()
        path = self.parked(source, self.unix())
        target = self.qemu("10.0", "target", incoming=self.unix("n"), capabilities=["postcopy-ram"], **vm)
        send = self.command("send", "send", path, self.unix("n"), "--postcopy", "--json", "--record", self.path("record"),
                            "--parameter", "max-postcopy-bandwidth=1")
        wait_until("its pages follow", lambda: target.qmp.seen("MIGRATION", status="postcopy-active"))
        guest = Qtest(target.qtest_path)
        wanted = random.Random(1).sample(range(SIZE // 2 // PAGE, UNTIL // PAGE), 200)
        for page in wanted:
            self.assert_same_ram(guest.read(page * PAGE, PAGE), RAM[page * PAGE:(page + 1) * PAGE], "page %d: " % page)
        guest.close()
        send.process.send_signal(signal.SIGINT)  # the guest runs there: told so
        wait_until("it was told", lambda: "interrupt again" in send.text())
        send.process.send_signal(signal.SIGINT)
        self.exits(send, 1)
        order = [(first + i, beside) for _, beside, first, count in decode(read_file(self.path("record"))) for i in range(count)]
        asked = [page for page, beside in order if not beside]
        self.assertEqual([page for page in asked if page in set(wanted)], [page for page in wanted if page in set(asked)])
        self.assertEqual(set(wanted) - {page for page, _ in order}, set())  # some came as a neighbour of another
        self.assertGreater(len(set(asked) & set(wanted)), 100)

    def first_pages(self, *options, status=0):
        """The pages of block r in the order in which they come behind the package, to a peer that asks for none."""
        self.count = getattr(self, "count", 0) + 1
        with Peer(self.path("p%d" % self.count)) as peer:
            send = self.command("send%d" % self.count, "send", self.path("parked"), "unix:" + peer.path, "--postcopy", "--force",
                                "--peer", "7.2", "--timeout", "3600", *options)
            if status != 2:
                peer.serve(lambda peer: peer.pong((1, 2, 3)) or peer.ended() and peer.shut(0))
            self.exits(send, status)
        at, pages = peer.package + 9 + int.from_bytes(peer.got[peer.package + 5:peer.package + 9], "big"), []
        while len(pages) < 100:
            kind = peer.got[at]
            if kind == 8:  # a command
                at += 5 + int.from_bytes(peer.got[at + 3:at + 5], "big")
            else:  # PART or END, records, EOS, footer
                self.assertIn(kind, (2, 3))
                at += 5
                while True:
                    head = int.from_bytes(peer.got[at:at + 8], "big")
                    at += 8
                    if head & 0x10:
                        break
                    if not head & 0x20:
                        at += 1 + peer.got[at]
                    at += PAGE if head & 8 else 1
                    pages.append(head >> 12)
                at += 5
        return pages, send.text()

    def test_they_come_first(self):
        self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        blocks = [("r", SIZE // PAGE), ("another", 1 << 20)]
        one = write_file(self.path("one"), encode(blocks, [(0, 0, 3000, 2), (0, 1, 3002, 16), (1, 0, 5, 100), (0, 0, 77, 1)]))
        two = write_file(self.path("two"), encode(blocks[:1], [(0, 0, 3000, 4), (0, 0, 1000, 20)]))
        pages, text = self.first_pages("--working-set", one, "--working-set", two)
        for run in ([3000, 3001], [77], [3002, 3003], range(1000, 1020), range(3004, 3018)):  # zeros and others may change places in a batch
            self.assertEqual(sorted(pages[:len(run)]), list(run))
            pages = pages[len(run):]
        self.assertEqual(text.count("100 pages of the working set are skipped"), 1)
        pages, text = self.first_pages()
        self.assertEqual(sorted(pages[:16]), list(range(16)))
        self.assertNotIn("skipped", text)

    def test_hostile_records(self):
        self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        good = encode([("r", 4096)], [(0, 0, 1, 5)])
        bad = good[:30] + bytes([good[30] ^ 1]) + good[31:]
        for data, why in ((b"", "not a working set"), (RAM[:5000], "not a working set"), (good[:-1], "checksum"), (bad, "checksum"),
                          (encode([("r", 4)], [(0, 0, 1, 5)]), "which has 4"), (encode([], [])[:8] + b"\0\0\0\2" + good[12:], "checksum")):
            path = write_file(self.path("bad"), data)
            send = self.command("bad", "send", self.path("parked"), self.unix("x"), "--postcopy", "--working-set", path)
            self.exits(send, 2)
            self.assertIn(why, send.text())
        for path in (self.path("nowhere"), self.path("")):
            self.exits(self.command("none", "send", self.path("parked"), self.unix("x"), "--postcopy", "--working-set", path), 2)
        # Without --postcopy there is nothing to be first of.
        self.exits(self.command("plain", "send", self.path("parked"), self.unix("x"), "--record", self.path("r")), 2)

    def test_no_record_of_urgent_pages(self):
        """They would not be in it: refused before anybody is connected to."""
        self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        send = self.command("both", "send", self.path("parked"), self.unix("x"), "--postcopy", "--capability", "postcopy-preempt", "--record",
                            self.path("r"))
        self.exits(send, 1)
        self.assertIn("--record with capability postcopy-preempt", send.text())
        self.assertIn("leave one of the two out", send.text())
        self.assertFalse(os.path.exists(self.path("r")))


if __name__ == "__main__":
    unittest.main()
