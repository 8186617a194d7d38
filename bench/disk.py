#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads and writes of one image: libgodwit's queue beside fio (io_uring; raw only) and qemu-img bench, in turns, ratios turn by turn. No flush
is timed; each writer flushes before the next one begins. `tracked`: what a dirty bitmap adds to the CPU time of the same writes, in per cent
(measured alone: the writes' own CPU time varies by more from run to run).

    bench/disk.py --build BUILD [--file FILE] [--format raw|qcow2] [--size MIB] [--runs N]
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

PATTERNS = (("read", 65536), ("write", 65536), ("randread", 4096), ("randwrite", 4096))
DEPTH = 32


def ours(a, pattern, block, count, cache, engine):
    out = subprocess.check_output([os.path.join(a.build, "bench/bench_disk"), a.file, pattern, str(block), str(DEPTH), str(count),
                                   cache, engine], text=True).split()
    return float(out[0]), float(out[1]), float(out[4]) - float(out[3])


def fio(a, pattern, block, count, cache):
    out = subprocess.check_output(["fio", "--name=x", "--filename=" + a.file, "--rw=" + pattern, "--bs=%d" % block, "--iodepth=%d" % DEPTH,
                                   "--ioengine=io_uring", "--direct=%d" % (cache == "none"), "--number_ios=%d" % count, "--size=%dM" % a.size,
                                   "--io_size=%d" % (count * block), "--norandommap", "--end_fsync=0", "--output-format=json", "--invalidate=0"],
                                  text=True)
    subprocess.check_call(["sync", a.file])
    job = json.loads(out)["jobs"][0]
    done = job["write" if "write" in pattern else "read"]
    return done["io_bytes"] / (1 << 20) / (job["job_runtime"] / 1e3), (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1e3


def qemu(a, pattern, block, count, cache):
    """qemu-img bench goes through the file in order only."""
    argv = ["qemu-img", "bench", "-f", a.format, "-t", cache, "-i", "io_uring", "-d", str(DEPTH), "-s", str(block), "-c", str(count)]
    if "write" in pattern:
        argv += ["-w"]
    out = subprocess.check_output([*argv, a.file], text=True)
    subprocess.check_call(["sync", a.file])
    return count * block / (1 << 20) / float(out.split("Run completed in ")[1].split()[0]), None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--build", required=True)
    p.add_argument("--file", help="usual: /var/tmp/godwit-bench-disk.FORMAT")
    p.add_argument("--format", choices=("raw", "qcow2"), default="raw")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--runs", type=int, default=5)
    a = p.parse_args()
    a.file = a.file or "/var/tmp/godwit-bench-disk." + a.format
    for tool in ("fio", "qemu-img"):
        if not shutil.which(tool):
            sys.exit("bench/disk.py: %s is not installed" % tool)
    subprocess.check_call(["ninja", "-C", a.build, "bench/bench_disk"], stdout=subprocess.DEVNULL)
    raw = a.file + ".part" if a.format != "raw" else a.file
    with open(raw, "wb") as f:  # data, not holes
        for _ in range(a.size):
            f.write(os.urandom(1 << 20))
        os.fsync(f.fileno())
    if raw != a.file:
        subprocess.check_call(["qemu-img", "convert", "-f", "raw", "-O", a.format, raw, a.file])
        os.unlink(raw)
        subprocess.check_call(["sync", a.file])
    try:
        print("%-10s %-10s %10s %8s %8s %8s %8s %8s" % ("cache", "pattern", "MiB/s", "threads", "/ fio", "/ qemu", "CPU/fio", "tracked%"))
        for cache in ("writeback", "none"):
            for pattern, block in PATTERNS:
                count = a.size * (1 << 20) // block if block > 4096 else a.size * 64
                rows = []
                for _ in range(a.runs):
                    us, cpu, tracking = ours(a, pattern, block, count, cache, "io_uring")
                    threads = ours(a, pattern, block, count, cache, "threads")[0]
                    tracked = 100 * tracking / cpu if "write" in pattern else 0
                    f, fcpu = fio(a, pattern, block, count, cache) if a.format == "raw" else (0, 0)
                    q = None if pattern.startswith("rand") else qemu(a, pattern, block, count, cache)[0]
                    rows.append((us, threads / us, us / f if f else 0, us / q if q else 0, cpu / fcpu if fcpu else 0, tracked))
                cells = [statistics.median(r[i] for r in rows) for i in range(6)]
                print("%-10s %-10s %10.0f" % (cache, pattern, cells[0]), *("%8s" % ("%.2f" % c if c else "-") for c in cells[1:]), flush=True)
    finally:
        os.unlink(a.file)


if __name__ == "__main__":
    main()
