#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure a block migration (16 MiB of memory and one disk, which nobody writes to) and print one JSON line.

  block.py --build BUILD --from godwit|QEMU --to godwit|QEMU [--format raw|qcow2] [--size 1G] [--dir DIR] [--no-verify]

QEMU is a program; godwit is bench_none_vm (tests/interop/none_vm.c). One quarter of the disk is a hole, the rest is noise. wall_ms is from the command to
the last of both ends, CPU seconds are of each process as long as that lasts (of none_vm: of all its life). Images of --dir's file system are
in the page cache; on a tmpfs (the default) no disk takes part. The images are compared afterwards.
"""
import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time

import fill
from qemu_peer import PeerError, Vm, measure

MIB = 1 << 20


def make_images(cfg):
    raw = os.path.join(cfg.dir, "godwit-bench-block-%d.raw" % (cfg.size // MIB))
    if not os.path.exists(raw):
        noise = random.Random(1).randbytes(16 * MIB)
        with open(raw + ".part", "wb") as f:
            f.truncate(cfg.size)
            for i in range(cfg.size // MIB):
                if i % 4:
                    f.seek(i * MIB)
                    f.write(noise[i * 4099 % (15 * MIB):][:MIB])
        os.rename(raw + ".part", raw)
    if cfg.format == "raw":
        source = raw
    else:
        source = raw[:-4] + ".qcow2"
        if not os.path.exists(source):
            subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, source + ".part"], check=True)
            os.rename(source + ".part", source)
    target = os.path.join(cfg.work, "target." + cfg.format)
    subprocess.run(["qemu-img", "create", "-q", "-f", cfg.format, target, str(cfg.size)], check=True)
    return source, target


class Qemu:
    def __init__(self, cfg, program, role, image, uri):
        cfg.qemu, cfg.mem, self.uri, self.role = program, 16 * MIB, uri, role
        drive = "if=none,id=d0,format=%s,auto-read-only=off,file=%s" % (cfg.format, image)
        # none_vm has no devices: a stream to it must have none, and its own stream lacks the state of QEMU's devices.
        machine = ["-object", "memory-backend-ram,id=r,size=16M", "-machine", "memory-backend=r"] if cfg.to == "godwit" else \
            ["-M", "microvm", "-device", "virtio-blk-device,drive=d0"]
        self.vm = Vm(cfg, role, [*machine, "-S", "-drive", drive, *(["-incoming", "defer"] if role == "target" else [])])
        q = self.vm.qmp
        q.cmd("migrate-set-capabilities", capabilities=[{"capability": n, "state": True} for n in ("events", "block", "zero-blocks")])
        # With another limit QEMU may end before its disk is copied, if it estimates a small rest (docs/operations.md).
        q.cmd("migrate-set-parameters", **{"max-bandwidth": 100 << 30, "downtime-limit": 0})
        if role == "target":
            q.cmd("migrate-incoming", uri=uri)
        self.before = self.vm.cpu()

    def go(self):
        if self.role == "source":
            self.vm.qmp.cmd("migrate", uri=self.uri)

    def ended(self):
        self.vm.qmp.poll(0.002)
        if self.vm.qmp.find("MIGRATION", status="failed") or self.vm.proc.poll() is not None:
            raise PeerError("%s: the migration failed" % self.role)
        return self.vm.qmp.find("MIGRATION", status="completed") is not None

    def close(self):
        cpu = self.vm.cpu() - self.before
        self.vm.close()
        return cpu


class Godwit:
    def __init__(self, cfg, role, image, uri, peer):
        self.role = role
        machine = ["r", "none"] if cfg.to == "godwit" else ["microvm.ram", "microvm"]
        self.argv = [os.path.join(cfg.build, "bench/bench_none_vm"), "--memory", "16384K,name=" + machine[0], "--machine", machine[1],
                     "--image", "d0=" + image, "--capability", "block", "--capability", "zero-blocks", "--parameter", "max-bandwidth=0"]
        if peer:
            self.argv += ["--peer", peer]
        self.argv += ["send" if role == "source" else "recv", uri]
        self.proc = None
        if role == "target":
            self.start("listening")

    def start(self, word):
        self.proc = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.set_blocking(self.proc.stdout.fileno(), False)
        self.text = ""
        while word and not self.has(word):
            time.sleep(0.001)

    def has(self, word):
        self.text += (self.proc.stdout.read() or b"").decode()
        for line in self.text.splitlines():
            if line.startswith("{") and ('"event": "%s"' % word) in line:
                return json.loads(line)
        if self.proc.poll() is not None:
            raise PeerError("%s: none_vm ended with %d: %s" % (self.role, self.proc.returncode, self.text[-300:]))
        return None

    def go(self):
        if self.role == "source":
            self.start(None)

    def ended(self):
        end = self.has("end")
        if end and not end["ok"]:
            raise PeerError("%s: %s" % (self.role, end["error"]))
        return end is not None

    def close(self):
        if not self.proc:
            return 0
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.proc.stdin.close()
        try:
            self.proc.wait(60)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(cfg, ends):
    source, target = make_images(cfg)
    uri = "unix:" + os.path.join(cfg.work, "m.sock")
    for role, who, image in (("target", cfg.to, target), ("source", cfg.source, source)):
        ends.append(Godwit(cfg, role, image, uri, cfg.peer) if who == "godwit" else Qemu(cfg, who, role, image, uri))
    began = time.time()
    ends[1].go()
    waits = set(ends)
    while waits:
        waits -= {e for e in waits if e.ended()}
        time.sleep(0.001)
        if time.time() > began + 170:
            raise PeerError("not done in 170 s")
    out = {"wall_ms": (time.time() - began) * 1e3, "bytes": cfg.size}
    out["dst_cpu_s"], out["src_cpu_s"] = [ends.pop(0).close() for _ in range(2)]
    if cfg.verify:
        p = subprocess.run(["qemu-img", "compare", "-f", cfg.format, "-F", cfg.format, source, target], capture_output=True, text=True)
        out["verified"] = p.returncode == 0
    return out


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", required=True)
    ap.add_argument("--from", dest="source", required=True)
    ap.add_argument("--to", required=True)
    ap.add_argument("--peer", help="what none_vm is told of the other side: 7.2")
    ap.add_argument("--format", choices=("raw", "qcow2"), default="raw")
    ap.add_argument("--size", type=fill.parse_size, default=1 << 30)
    ap.add_argument("--dir", default="/dev/shm")
    ap.add_argument("--no-verify", dest="verify", action="store_false")
    cfg = ap.parse_args()
    return measure(cfg, cfg.dir, run, what="block")


if __name__ == "__main__":
    sys.exit(main())
