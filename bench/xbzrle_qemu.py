#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure what a page costs QEMU with XBZRLE, and print one JSON line for each pattern of change.

  xbzrle_qemu.py --qemu PATH [--mem 128M] [--runs 3] [--pattern NAME]

The machine is a microvm that never starts; its memory is written through qtest.  When all pages but a few are cached,
the migration is held, because nobody reads its stream, each page is changed once, the stream is read again, and
the CPU time of the whole process is taken until the migration has ended.  That of a run in which no page is changed is
subtracted, and the rest is divided by the pages that QEMU counts as XBZRLE pages meanwhile: the least of the runs.  It has
in it the search for the page and the way into the socket.  bench_xbzrle prints the cost of the same patterns in godwit.
"""
import argparse
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
import time

import fill
from qemu_peer import PeerError, Vm

PAGE = 4096
BASE = 1 << 20  # below are ROMs
PATTERNS = ("one word", "64 bytes", "8 bytes", "quarter", "10 % of words", "all")


def changes(pattern, rnd):
    """[(offset, bytes)] of one page."""
    if pattern == "one word":
        return [(8 * rnd.randrange(512), rnd.randbytes(8))]
    if pattern == "64 bytes":
        return [(64 * rnd.randrange(64), rnd.randbytes(64))]
    if pattern == "8 bytes":
        return [(rnd.randrange(PAGE), rnd.randbytes(1)) for _ in range(8)]
    if pattern == "quarter":
        return [(1024 * rnd.randrange(4), rnd.randbytes(1024))]
    if pattern == "10 % of words":
        return [(8 * rnd.randrange(512), rnd.randbytes(8)) for _ in range(51)]
    return [(0, rnd.randbytes(PAGE))]


class Qtest:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def write_all(self, writes):
        """[(address, bytes)]; the answers are read while the commands are on their way."""
        def send():
            for i in range(0, len(writes), 64):
                self.sock.sendall("".join("write 0x%x 0x%x 0x%s\n" % (a, len(d), d.hex())
                                          for a, d in writes[i:i + 64]).encode())
        t = threading.Thread(target=send)
        t.start()
        for _ in writes:
            line = self.file.readline()
            if not line.startswith(b"OK"):
                raise PeerError("qtest: %r" % line)
        t.join()


class Sink:
    """Reads and discards a migration stream while `go` is set; otherwise the migration soon blocks."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(path)
        self.sock.listen()
        self.go = threading.Event()
        self.go.set()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        conn, buf = self.sock.accept()[0], bytearray(1 << 16)
        while conn.recv_into(buf):
            self.go.wait()


def process_cpu_ns(pid):
    return time.clock_gettime_ns(~pid << 3 | 2)


def hold(q, sink, number):
    """Waits until little is left of this pass, and reads no more."""
    while True:
        s = q.cmd("query-migrate")
        if s["status"] not in ("setup", "active"):
            raise PeerError("the migration is %s too early" % s["status"])
        if s.get("ram", {}).get("dirty-sync-count") == number and s["ram"]["remaining"] < 6 << 20:
            break
        time.sleep(0.002)
    sink.go.clear()
    time.sleep(0.3)


def one(cfg, pattern):
    rnd = random.Random(1)
    pages = (cfg.mem - BASE) // PAGE
    path = os.path.join(cfg.work, "qtest")
    vm = Vm(cfg, "src", ["-M", "microvm", "-S", "-qtest", "unix:%s,server=on,wait=off" % path, "-qtest-log", "/dev/null",
                         "-object", "memory-backend-ram,id=r,size=%d,prealloc=on" % cfg.mem,
                         "-machine", "memory-backend=r"])
    sink = Sink(os.path.join(cfg.work, "sink"))
    try:
        qtest = Qtest(path)
        ram = [bytearray(rnd.randbytes(PAGE)) for _ in range(pages)]
        qtest.write_all([(BASE + i * PAGE, p) for i, p in enumerate(ram)])
        q = vm.qmp
        q.cmd("migrate-set-capabilities", capabilities=[{"capability": "xbzrle", "state": True},
                                                        {"capability": "events", "state": True}])
        q.cmd("migrate-set-parameters", **{"max-bandwidth": 32 << 20, "downtime-limit": 1,
                                           "xbzrle-cache-size": 512 << 20})
        q.cmd("migrate", uri="unix:" + os.path.join(cfg.work, "sink"))
        # Each of the first two passes is held just before its end.  What is written in the first one is sent and cached
        # by the second one.
        hold(q, sink, 1)
        qtest.write_all([(BASE + i * PAGE, p[:1]) for i, p in enumerate(ram)])
        sink.go.set()
        hold(q, sink, 2)
        for page in ram if pattern else []:
            for at, d in changes(pattern, rnd):
                page[at:at + len(d)] = d
        before = q.cmd("query-migrate")
        qtest.write_all([(BASE + i * PAGE, p) for i, p in enumerate(ram)] if pattern else [])
        cpu = process_cpu_ns(vm.proc.pid)
        q.cmd("migrate-set-parameters", **{"max-bandwidth": 100 << 30})
        sink.go.set()
        end = time.time() + 60
        while not q.find("MIGRATION", status="completed"):
            q.poll(0.05)
            if time.time() > end:
                raise PeerError("not done in 60 s")
        cpu = process_cpu_ns(vm.proc.pid) - cpu
        after = q.cmd("query-migrate")
        r = {k: after["xbzrle-cache"][k] - before["xbzrle-cache"][k] for k in ("pages", "bytes", "cache-miss", "overflow")}
        return dict(r, cpu_ns=cpu)
    finally:
        vm.close()
        sink.go.set()
        sink.sock.close()
        for name in ("qtest", "sink", "src.qmp"):
            if os.path.exists(os.path.join(cfg.work, name)):
                os.unlink(os.path.join(cfg.work, name))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--qemu", default="qemu-system-x86_64")
    ap.add_argument("--mem", type=fill.parse_size, default=128 << 20)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--pattern", action="append", choices=PATTERNS)
    cfg = ap.parse_args()
    cfg.work = tempfile.mkdtemp(prefix="godwit-bench-")
    try:
        idle = min(one(cfg, None)["cpu_ns"] for _ in range(cfg.runs))
        for pattern in cfg.pattern or PATTERNS:
            on = min((one(cfg, pattern) for _ in range(cfg.runs)), key=lambda r: r["cpu_ns"])
            print(json.dumps({
                "bench": "xbzrle_qemu", "pattern": pattern, "pages": on["pages"], "bytes": on["bytes"],
                "cache_miss": on["cache-miss"], "overflow": on["overflow"],
                "ns_per_page": round((on["cpu_ns"] - idle) / max(1, on["pages"]), 1)}), flush=True)
    except (PeerError, OSError) as e:
        print(json.dumps({"bench": "xbzrle_qemu", "error": str(e)}))
        return 1
    finally:
        shutil.rmtree(cfg.work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
