#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does `godwit receive` keep up with what a QEMU can send, and `godwit send` with what one can take?

  compare_receive.py [--qemu PATH] [--godwit PATH] [--mem 2G] [--runs 5] [--transport unix|tcp] [--json FILE]
                     [--output-dir DIR] [--receive-arg ARG]... [--send-arg ARG]... [--return-path] [--cold]

Three subjects take turns, so that a slow phase of the machine hits all of them: QEMU to QEMU, QEMU to `receive`,
`send` to QEMU. Ratios are taken turn by turn. Machine `none` with the RAM image of fill.py (2 GiB, mixed). What arrives
in a QEMU is compared with the image, byte for byte.

  total ms   QEMU to QEMU: until both say that it is complete and the destination runs. receive: until the source
             says so (it may forget its guest). send: from the start of our process until the destination runs.
  whole ms   receive: until the file has its name and our process has ended. send: until our process has ended.
  CPU s      of the far end (QEMU to QEMU, receive) or the near one (send)

Before each turn as much memory is touched and freed as it will need, so that a hypervisor below has backed it. QEMUs wait
with memory that was never touched, as `receive` does, unless --prealloc. Files lie in --output-dir (default: in memory);
with --cold, which needs one on a disk, nothing of the file is in the page cache when `send` begins.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import types

import fill
import qemu_peer
from run import machine_cpu

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SUBJECTS = ("qemu", "receive", "send")


def uri(cfg, name):
    if cfg.transport == "unix":
        return "unix:" + os.path.join(cfg.work, name)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return "tcp:127.0.0.1:%d" % s.getsockname()[1]


def wait_listening(cfg, address):
    end = time.time() + 20
    while time.time() < end:
        name = address.split(":", 1)[1] if cfg.transport == "unix" else ":%04X 00000000:0000 0A" % int(address.rsplit(":", 1)[1])
        with open("/proc/net/" + cfg.transport) as f:
            if any(name in line and (cfg.transport == "tcp" or line.split()[3] == "00010000") for line in f):
                return
        time.sleep(0.01)
    raise qemu_peer.PeerError("nobody listens at " + address)


def qemu(cfg, role, args):
    vm = qemu_peer.Vm(cfg, role, args)
    cfg.vms.append(vm)
    names = ["events"] + (["return-path"] if cfg.return_path else [])
    vm.qmp.cmd("migrate-set-capabilities", capabilities=[{"capability": n, "state": True} for n in names])
    vm.qmp.cmd("migrate-set-parameters", **{"max-bandwidth": 100 << 30, "downtime-limit": 300})
    return vm


def source(cfg):
    ram = os.path.join(cfg.work, "ram")
    shutil.copyfile(cfg.image, ram)
    return qemu(cfg, "src", ["-object", "memory-backend-file,id=r,size=%d,mem-path=%s,share=on,prealloc=on" % (cfg.mem, ram),
                             "-machine", "memory-backend=r"])


def waiting(cfg):
    return qemu(cfg, "dst", ["-object", "memory-backend-ram,id=r,size=%d%s" % (cfg.mem, ",prealloc=on" if cfg.prealloc else ""),
                             "-machine", "memory-backend=r", "-incoming", "defer"])


def godwit(cfg, *argv):
    log = open(os.path.join(cfg.work, "godwit.log"), "w+")
    p = subprocess.Popen([*cfg.wrap.split(), cfg.godwit, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    cfg.programs.append((p, log))
    return p


def reap(cfg, process):
    """Waits for a program of godwit; returns its CPU seconds."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        log = cfg.programs[-1][1]
        log.seek(0)
        raise qemu_peer.PeerError("godwit: exit status %d: %s" % (process.returncode, log.read()[-300:]))
    return used.ru_utime + used.ru_stime


def until(cfg, what, done, *vms):
    end = time.time() + 120
    while not done():
        for vm in vms:
            vm.qmp.poll(0.002)
            if vm.qmp.find("MIGRATION", status="failed") or vm.proc.poll() is not None:
                raise qemu_peer.PeerError("migration failed: " + what)
        if time.time() > end:
            raise qemu_peer.PeerError("not done in 120 s: " + what)


def completed(vm):
    return vm.qmp.find("MIGRATION", status="completed")


def run_receive(cfg):
    src, address, parked = source(cfg), uri(cfg, "m"), os.path.join(cfg.output_dir, "compare.parked")
    receive = godwit(cfg, "receive", address, "--output", parked, *cfg.receive_arg)
    wait_listening(cfg, address)
    start = time.time()
    src.qmp.cmd("migrate", uri=address)
    until(cfg, "receive", lambda: completed(src), src)
    total = completed(src)["at"] - start
    cpu = reap(cfg, receive)
    whole = time.time() - start
    return {"total_ms": total * 1e3, "whole_ms": whole * 1e3, "cpu_s": cpu,
            "qemu_total_ms": src.qmp.cmd("query-migrate")["total-time"], "file_bytes": os.stat(parked).st_size}


def run_send(cfg):
    parked = os.path.join(cfg.output_dir, "compare.parked")  # which run_receive left
    if cfg.cold:
        with open(parked, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    dst, address = waiting(cfg), uri(cfg, "m")
    dst.qmp.cmd("migrate-incoming", uri=address)
    start = time.time()
    send = godwit(cfg, "send", parked, address, *cfg.send_arg)
    until(cfg, "send", lambda: completed(dst) and dst.qmp.find("RESUME"), dst)
    total = dst.qmp.find("RESUME")["at"] - start
    cpu = reap(cfg, send)
    return {"total_ms": total * 1e3, "whole_ms": (time.time() - start) * 1e3, "cpu_s": cpu,
            "verified": qemu_peer.verify(cfg, dst)}


def run_qemu(cfg):
    src, dst, address = source(cfg), waiting(cfg), uri(cfg, "m")
    dst.qmp.cmd("migrate-incoming", uri=address)
    cpu = dst.cpu()
    start = time.time()
    src.qmp.cmd("migrate", uri=address)
    until(cfg, "QEMU", lambda: completed(src) and completed(dst) and dst.qmp.find("RESUME"), src, dst)
    total = max(completed(src)["at"], dst.qmp.find("RESUME")["at"]) - start
    return {"total_ms": total * 1e3, "whole_ms": total * 1e3, "cpu_s": dst.cpu() - cpu,
            "qemu_total_ms": src.qmp.cmd("query-migrate")["total-time"], "verified": qemu_peer.verify(cfg, dst)}


def run_one(a, subject):
    cfg = types.SimpleNamespace(**vars(a), vms=[], programs=[], warm=2 * a.mem + (256 << 20))
    qemu_peer.warm_host(cfg.warm)
    cfg.work = tempfile.mkdtemp(prefix="godwit-bench-", dir=a.ram_dir)
    began, cpu = time.time(), machine_cpu()
    try:
        r = {"receive": run_receive, "send": run_send, "qemu": run_qemu}[subject](cfg)
    except (qemu_peer.PeerError, OSError) as e:
        r = {"error": str(e)}
    finally:
        for vm in cfg.vms:
            vm.close()
        for p, log in cfg.programs:
            if p.returncode is None:
                p.kill()
                p.wait()
            log.close()
        shutil.rmtree(cfg.work, ignore_errors=True)
    r["steal_s"] = machine_cpu()[1] - cpu[1]
    r["load"] = os.getloadavg()[0]
    r["took_s"] = time.time() - began
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in r.items()}


def spread(values):
    if not values:
        return "-"
    form = "%.0f" if max(values) >= 100 else "%.2f"
    return "%s (%s..%s)" % (form % statistics.median(values), form % min(values), form % max(values))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--qemu", default=os.path.join(TOP, "build", "peers", "10.0", "run"))
    ap.add_argument("--godwit", default=os.path.join(TOP, "build", "release", "cli", "godwit"))
    ap.add_argument("--mem", type=fill.parse_size, default=2 << 30)
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--transport", choices=("unix", "tcp"), default="unix")
    ap.add_argument("--return-path", action="store_true", help="the source waits for the destination's word")
    ap.add_argument("--ram-dir", default="/dev/shm")
    ap.add_argument("--output-dir", help="where the parked file lies (default: --ram-dir)")
    ap.add_argument("--cache", default=os.path.join(TOP, "build", "bench-cache"))
    ap.add_argument("--receive-arg", action="append", default=[])
    ap.add_argument("--send-arg", action="append", default=[])
    ap.add_argument("--prealloc", action="store_true", help="RAM of waiting QEMUs is resident before the start")
    ap.add_argument("--cold", action="store_true", help="send's file is not in the page cache")
    ap.add_argument("--wrap", default="", help="a command that runs ours, as `perf record -o FILE`")
    ap.add_argument("--json")
    a = ap.parse_args()
    a.image = fill.cached(a.cache, "mixed", a.mem, 1)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # exits through the cleanup handlers
    own = tempfile.mkdtemp(prefix="godwit-parked-", dir=a.output_dir or a.ram_dir)
    a.output_dir = own
    turns = []
    try:
        for turn in range(a.runs):
            results = {}
            for subject in SUBJECTS:
                results[subject] = run_one(a, subject)
                print("  %d %-8s %s" % (turn, subject, results[subject].get("error") or "%.0f ms, load %.1f" % (
                    results[subject]["total_ms"], results[subject]["load"])), file=sys.stderr, flush=True)
            turns.append(results)
            parked = os.path.join(own, "compare.parked")
            if os.path.exists(parked):
                os.unlink(parked)
    finally:
        shutil.rmtree(own, ignore_errors=True)
    bad = [r for t in turns for r in t.values() if "error" in r or r.get("verified") is False]
    good = [t for t in turns if not any("error" in r or r.get("verified") is False for r in t.values())]
    print("%d MiB of RAM, %s, %d of %d turns good" % (a.mem >> 20, a.transport, len(good), len(turns)))
    print("\n| subject | total ms | whole ms | CPU s | total / QEMU to QEMU | whole / QEMU to QEMU |\n|---|---|---|---|---|---|")
    for s in SUBJECTS:
        print("| %s | %s | %s | %s | %s | %s |" % (
            {"qemu": "QEMU to QEMU", "receive": "QEMU to receive", "send": "send to QEMU"}[s],
            *(spread([t[s][k] for t in good]) for k in ("total_ms", "whole_ms", "cpu_s")),
            *(spread([t[s][k] / t["qemu"]["total_ms"] for t in good]) for k in ("total_ms", "whole_ms"))))
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"mem": a.mem, "transport": a.transport, "turns": turns}, f, indent=1)
    for r in bad[:3]:
        print("BAD: %s" % (r.get("error") or "memory differs"))
    return 1 if bad or not good else 0


if __name__ == "__main__":
    sys.exit(main())
