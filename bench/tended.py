#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A guest that writes faster than the link carries: who converges, and at what price?  One JSON line for each run.

  tended.py --build DIR [--qemu PATH]... [--set SIZE]... [--rate 200M] [--link 119M] [--mem 512M] [--patience 60]

godwit: bench_precopy, whose guest is a thread, with x-godwit-tended-convergence, without, and with auto-converge; and `godwit vm`,
whose guest may be emulated.  QEMU: a machine whose memory is written through qtest at the same rate, without and with
auto-converge.  What qtest writes is not slowed by that: so it goes up to 99 % and does not help.  The link is max-bandwidth.

wall_ms, downtime_ms, rounds (dirty-sync-count), throttle (the most percent), limit_ms (the downtime limit that held), and why.
done: false where it was given up after --patience seconds.
"""
import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import fill
from qemu_peer import PeerError, Qmp, Vm

MIB = 1 << 20


def finish(q, patience):
    """Polls until it has ended; the last answer of query-migrate, and the highest percentage seen."""
    end, throttle, cancelled = time.time() + patience, 0, False
    while True:
        m = q.cmd("query-migrate")
        throttle = max(throttle, m.get("cpu-throttle-percentage", 0))
        if m["status"] in ("completed", "failed", "cancelled"):
            return m, throttle
        if time.time() > end and not cancelled:
            cancelled = True
            last = m
            q.cmd("migrate_cancel")
        if cancelled and m["status"] == "cancelled":
            return dict(last, status="cancelled"), throttle
        time.sleep(0.05)


def result(m, throttle, wall):
    ours = m.get("x-godwit", {})
    return {"done": m["status"] == "completed", "status": m["status"], "wall_ms": round(wall * 1e3),
            "downtime_ms": m.get("downtime"), "expected_ms": m.get("expected-downtime"),
            "rounds": m.get("ram", {}).get("dirty-sync-count"), "throttle": throttle,
            "limit_ms": ours.get("downtime-limit-ms", 300), "why": ours.get("tended", ""), "error": m.get("error-desc", "")}


def start(q, cfg, uri, capabilities):
    q.cmd("migrate-set-capabilities", capabilities=[{"capability": c, "state": True} for c in capabilities])
    q.cmd("migrate-set-parameters", **{"max-bandwidth": cfg.link, "downtime-limit": 300})
    began = time.time()
    q.cmd("migrate", uri=uri)
    m, throttle = finish(q, cfg.patience)
    return result(m, throttle, time.time() - began)


def machine(cfg, size):
    """The built-in test machine.  Its guest is emulated where there is no KVM: dirty_per_s shows whether it reaches its
    rate."""
    path = {r: os.path.join(cfg.work, "g" + r) for r in ("src", "dst", "in")}
    vm = [os.path.join(cfg.build, "cli", "godwit"), "vm", "--quiet", "--memory", "%dM" % (cfg.mem // MIB), "--workload",
          "sequential,rate=%d,set=%d,fill=on,verify=1M" % (cfg.rate, size), "--serial", "null"]
    procs = [subprocess.Popen(vm + ["--qmp", "unix:" + path["src"]]),
             subprocess.Popen(vm + ["--qmp", "unix:" + path["dst"], "--incoming", "unix:" + path["in"]])]
    try:
        while not all(os.path.exists(p) for p in path.values()):
            time.sleep(0.05)
        q = Qmp(path["src"], procs[0])
        time.sleep(2)  # it has reached its rate
        r = start(q, cfg, "unix:" + path["in"], ["x-godwit-tended-convergence"])
        rounds = q.cmd("query-migrate")["x-godwit"]["round"]
        return dict(r, dirty_per_s=max(x["dirty-pages-per-second"] for x in rounds) * 4096)
    finally:
        for p in procs:
            p.kill()
            p.wait()
        for p in path.values():
            if os.path.exists(p):
                os.unlink(p)


def writer(cfg, size, capabilities):
    """bench_precopy: memory that a thread writes, which keeps up with its rate."""
    argv = [os.path.join(cfg.build, "bench", "bench_precopy"), "--image", cfg.image, "--mem", str(cfg.mem), "--write", str(cfg.rate),
            "--set", str(size), "--parameter", "max-bandwidth=%d" % cfg.link]
    for c in capabilities:
        argv += ["--capability", c]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        r = json.loads(p.communicate(timeout=cfg.patience)[0])
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        p.wait()
        return {"done": False}
    return {"done": "error" not in r, "wall_ms": r.get("wall_ms"), "downtime_ms": r.get("gap_ms"), "rounds": r.get("passes"),
            "throttle": r.get("slowed_percent"), "limit_ms": r.get("limit_ms"), "written_per_s": r.get("written_per_s"),
            "verified": r.get("verified"), "error": r.get("error", "")}


class Writer(threading.Thread):
    """Writes `size` bytes of guest memory repeatedly, `rate` bytes a second, in runs of 256 KiB."""

    def __init__(self, path, base, size, rate):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.base, self.size, self.rate, self.quit, self.wrote = base, size, rate, False, 0

    def run(self):
        chunk, began = 256 << 10, time.time()
        try:
            while not self.quit:
                due = int((time.time() - began) * self.rate) // chunk * chunk
                while self.wrote < due and not self.quit:
                    self.sock.sendall(b"memset 0x%x 0x%x 0x%x\n" % (self.base + self.wrote % self.size, chunk,
                                                                      1 + self.wrote // self.size % 250))
                    self.file.readline()
                    self.wrote += chunk
                time.sleep(0.001)
        except OSError:
            pass  # it has ended


def qemu(cfg, program, size, capabilities):
    cfg.qemu = program
    path = os.path.join(cfg.work, "qtest")
    incoming = "unix:" + os.path.join(cfg.work, "in")
    extra = ["-M", "microvm", "-S"]
    vms = []
    try:
        vms.append(Vm(cfg, "src", extra + ["-qtest", "unix:%s,server=on,wait=off" % path, "-qtest-log", "/dev/null"]))
        vms.append(Vm(cfg, "dst", extra + ["-incoming", incoming]))
        writer = Writer(path, 64 * MIB, size, cfg.rate)
        writer.sock.sendall(b"memset 0x%x 0x%x 0x55\n" % (MIB, cfg.mem - 2 * MIB))  # no page is zero
        writer.file.readline()
        began = time.time()
        writer.start()
        time.sleep(2)
        r = start(vms[0].qmp, cfg, incoming, capabilities)
        writer.quit = True
        return dict(r, written_per_s=round(writer.wrote / (time.time() - began)))
    finally:
        for vm in vms:
            vm.close()
        for name in os.listdir(cfg.work):
            os.unlink(os.path.join(cfg.work, name))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--qemu", action="append", default=[], dest="qemus")
    p.add_argument("--set", action="append", type=fill.parse_size, default=[])
    p.add_argument("--rate", type=fill.parse_size, default=200 * MIB)
    p.add_argument("--link", type=fill.parse_size, default=119 * MIB)
    p.add_argument("--mem", type=fill.parse_size, default=512 * MIB)
    p.add_argument("--cache", default="/dev/shm")
    p.add_argument("--patience", type=float, default=60)
    cfg = p.parse_args()
    cfg.image = fill.cached(cfg.cache, "mixed", cfg.mem, 1)
    cfg.work = tempfile.mkdtemp(prefix="gw-tended-")
    try:
        for size in cfg.set or [128 * MIB, 256 * MIB]:
            runs = [("godwit, tended", lambda: writer(cfg, size, ["x-godwit-tended-convergence"])),
                    ("godwit", lambda: writer(cfg, size, [])),
                    ("godwit auto-converge", lambda: writer(cfg, size, ["auto-converge"])),
                    ("godwit vm, tended", lambda: machine(cfg, size))]
            for q in cfg.qemus:
                runs.append((q, lambda q=q: qemu(cfg, q, size, [])))
                runs.append((q + " auto-converge", lambda q=q: qemu(cfg, q, size, ["auto-converge"])))
            for who, run in runs:
                try:
                    r = run()
                except PeerError as e:
                    r = {"error": str(e)}
                print(json.dumps(dict(r, subject=who, set=size)), flush=True)
    finally:
        shutil.rmtree(cfg.work)


if __name__ == "__main__":
    main()
