#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure a pre-copy migration between two local QEMU processes and print one JSON line.

The machine is `-M none`: RAM and no CPU, so that only the migration is measured.  The source's RAM
is a shared file in --ram-dir (a tmpfs) holding the image; the destination's is anonymous memory,
resident before the start unless --fresh.

  qemu_peer.py --qemu PATH --image FILE [--mem 2G] [--transport unix|tcp] [--fresh] [--channels N]
               [--downtime-limit MS] [--no-verify] [--file PATH [--cold] [--direct-io]] [--capability NAME]...
               [--parameter NAME=NUMBER]...

--file: saved there, then restored from there: save_ms and restore_ms; --cold drops what the host keeps of it in between.

gap_ms is from the source's STOP event to the destination's RESUME event, wall_ms from the QMP
command to the last completion of either side, cpu is user and system time of each process.
"""
import argparse
import json
import mmap
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import fill

TICK = os.sysconf("SC_CLK_TCK")


class PeerError(Exception):
    pass


class Qmp:
    """QMP over a Unix socket; events are kept with their time stamps."""

    def __init__(self, path, proc, timeout=30):
        self.sock = socket.socket(socket.AF_UNIX)
        end = time.time() + timeout
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if proc.poll() is not None:
                    raise PeerError("qemu ended with status %d at start" % proc.returncode)
                if time.time() > end:
                    raise
                time.sleep(0.01)
        self.buf = b""
        self.events = []
        self.message(timeout)
        self.cmd("qmp_capabilities")

    def message(self, timeout):
        end = time.time() + timeout
        while b"\n" not in self.buf:
            left = end - time.time()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return None
            d = self.sock.recv(1 << 16)
            if not d:
                raise PeerError("QMP connection closed")
            self.buf += d
        line, self.buf = self.buf.split(b"\n", 1)
        return json.loads(line)

    def cmd(self, name, timeout=60, **args):
        self.sock.sendall(json.dumps({"execute": name, "arguments": args}).encode() + b"\n")
        end = time.time() + timeout
        while True:
            m = self.message(max(0, end - time.time()))
            if m is None:
                raise PeerError("%s: no reply in %d s" % (name, timeout))
            if "event" in m:
                self.event(m)
            elif "QMP" in m:
                continue  # the greeting
            elif "error" in m:
                raise PeerError("%s: %s" % (name, m["error"]["desc"]))
            else:
                return m["return"]

    def event(self, m):
        t = m["timestamp"]
        m["at"] = t["seconds"] + t["microseconds"] / 1e6
        self.events.append(m)

    def poll(self, timeout):
        m = self.message(timeout)
        if m is not None and "event" in m:
            self.event(m)

    def find(self, name, **data):
        for e in self.events:
            if e["event"] == name and all(e.get("data", {}).get(k) == v for k, v in data.items()):
                return e
        return None


class Vm:
    def __init__(self, cfg, role, args):
        self.cfg, self.dir = cfg, cfg.work
        path = os.path.join(self.dir, role + ".qmp")
        self.err = open(os.path.join(self.dir, role + ".err"), "w+")
        argv = [cfg.qemu, "-nodefaults", "-display", "none", "-M", "none", "-m",
                "%dM" % (cfg.mem >> 20)] + args + ["-qmp", "unix:%s,server=on,wait=off" % path]
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.err,
                                     stderr=self.err)
        try:
            self.qmp = Qmp(path, self.proc)
        except Exception as e:
            self.proc.kill()
            self.proc.wait()
            self.err.seek(0)
            raise PeerError("%s: %s" % (e, self.err.read()[-400:]))

    def cpu(self):
        with open("/proc/%d/stat" % self.proc.pid) as f:
            v = f.read().rsplit(")", 1)[1].split()
        return sum(int(x) for x in v[11:13]) / TICK

    def close(self):
        if self.proc.poll() is None:
            try:
                self.qmp.sock.sendall(b'{"execute": "quit"}\n')
                self.proc.wait(20)
            except (OSError, AttributeError, subprocess.TimeoutExpired):
                self.proc.kill()
                self.proc.wait()
        self.err.close()


def warm_host(size):
    """Touch and free, so that a hypervisor below us has backed the free memory."""
    m = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m.madvise(mmap.MADV_HUGEPAGE)
    for off in range(0, size, 2 << 20):
        m[off] = 1
    m.close()


def forget(path):
    """Makes the host read it from the disk the next time."""
    fd = os.open(path, os.O_RDONLY)
    os.fdatasync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def verify(cfg, vm):
    """Destination RAM through pmemsave into a FIFO, compared with the image."""
    path = os.path.join(cfg.work, "fifo")
    os.mkfifo(path)
    vm.qmp.sock.sendall(json.dumps({"execute": "pmemsave", "arguments": {
        "val": 0, "size": cfg.mem, "filename": path}}).encode() + b"\n")
    same = True
    with open(path, "rb") as got, open(cfg.image, "rb") as want:
        for _ in range(0, cfg.mem, 1 << 20):
            same &= got.read(1 << 20) == want.read(1 << 20)
    return same


def run(cfg, vms):
    ram = os.path.join(cfg.work, "ram")
    shutil.copyfile(cfg.image, ram)
    src = Vm(cfg, "src", ["-object", "memory-backend-file,id=r,size=%d,mem-path=%s,share=on,prealloc=on"
                          % (cfg.mem, ram), "-machine", "memory-backend=r"])
    vms.append(src)
    dst = Vm(cfg, "dst", ["-object", "memory-backend-ram,id=r,size=%d%s" % (
        cfg.mem, "" if cfg.fresh else ",prealloc=on"), "-machine", "memory-backend=r",
        "-incoming", "defer"])
    vms.append(dst)
    names = ["events"] + (["multifd"] if cfg.channels > 1 else []) + cfg.capability
    params = {"max-bandwidth": 100 << 30, "downtime-limit": cfg.downtime_limit}
    if cfg.channels > 1:
        params["multifd-channels"] = cfg.channels
    if cfg.direct_io:
        params["direct-io"] = True
    params.update((name, int(value) if value.isdigit() else value) for name, value in (p.split("=") for p in cfg.parameter))
    for vm in vms:
        vm.qmp.cmd("migrate-set-capabilities",
                   capabilities=[{"capability": n, "state": True} for n in names])
        vm.qmp.cmd("migrate-set-parameters", **params)
    if cfg.file:
        uri = "file:" + cfg.file
    elif cfg.transport == "unix":
        uri = "unix:" + os.path.join(cfg.work, "m.sock")
    else:
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        uri = "tcp:127.0.0.1:%d" % s.getsockname()[1]
        s.close()
    if not cfg.file:
        dst.qmp.cmd("migrate-incoming", uri=uri)
    if cfg.fresh:
        warm_host(cfg.mem + (256 << 20))
    cpu = [v.cpu() for v in vms]
    start = time.time()
    src.qmp.cmd("migrate", uri=uri)

    def done(v):
        return v.qmp.find("MIGRATION", status="completed")
    saved, begun = None, None
    while not (done(src) and done(dst) and dst.qmp.find("RESUME")):
        if cfg.file and not saved and done(src):
            saved = done(src)["at"]
            if cfg.cold:
                forget(cfg.file)
            begun = time.time()
            dst.qmp.cmd("migrate-incoming", uri=uri)
        for v in vms:
            v.qmp.poll(0.002)
            if v.qmp.find("MIGRATION", status="failed") or v.proc.poll() is not None:
                raise PeerError("migration failed")
        if time.time() > start + 170:
            raise PeerError("not done in 170 s")
    cpu = [v.cpu() - c for v, c in zip(vms, cpu)]
    q = src.qmp.cmd("query-migrate")
    stop, go = src.qmp.find("STOP"), dst.qmp.find("RESUME")
    r = {"bytes": q["ram"]["transferred"], "wall_ms": max(done(v)["at"] for v in vms) * 1e3 - start * 1e3,
         "total_ms": q["total-time"], "gap_ms": (go["at"] - stop["at"]) * 1e3,
         "src_cpu_s": cpu[0], "dst_cpu_s": cpu[1], "passes": q["ram"]["dirty-sync-count"],
         "pages_normal": q["ram"]["normal"], "pages_zero": q["ram"]["duplicate"]}
    if cfg.file:
        r["save_ms"], r["restore_ms"] = (saved - start) * 1e3, (done(dst)["at"] - begun) * 1e3
    if cfg.verify:
        r["verified"] = verify(cfg, dst)
    return r


def measure(cfg, folder, run, **out):
    """Prints what run(cfg, ends) returns, or its error, as one JSON line; closes the ends that it has put into the list.
    cfg.work is a folder for it in `folder`.  Returns the exit status."""
    ends = []
    cfg.work = tempfile.mkdtemp(prefix="godwit-bench-", dir=folder)
    try:
        out.update({k: round(v, 3) if isinstance(v, float) else v for k, v in run(cfg, ends).items()})
    except (PeerError, OSError, subprocess.CalledProcessError) as e:
        out["error"] = str(e)
    finally:
        for e in ends:
            e.close()
        shutil.rmtree(cfg.work, ignore_errors=True)
    print(json.dumps(out))
    return 1 if "error" in out or out.get("verified") is False else 0


def main():
    ap = argparse.ArgumentParser(description=__doc__,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--qemu", default="qemu-system-x86_64")
    ap.add_argument("--image", required=True)
    ap.add_argument("--mem", type=fill.parse_size, default=2 << 30)
    ap.add_argument("--transport", choices=("tcp", "unix"), default="unix")
    ap.add_argument("--fresh", action="store_true")
    ap.add_argument("--channels", type=int, default=1)
    ap.add_argument("--file")
    ap.add_argument("--cold", action="store_true")
    ap.add_argument("--direct-io", action="store_true")
    ap.add_argument("--capability", action="append", default=[])
    ap.add_argument("--downtime-limit", type=int, default=300)
    ap.add_argument("--parameter", action="append", default=[])
    ap.add_argument("--ram-dir", default="/dev/shm")
    ap.add_argument("--no-verify", dest="verify", action="store_false")
    cfg = ap.parse_args()
    return measure(cfg, cfg.ram_dir, run, what="qemu", transport="file" if cfg.file else cfg.transport, fresh=cfg.fresh)


if __name__ == "__main__":
    sys.exit(main())
