#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How good is `godwit ctl plan`? Forecasts migrations of the built-in test machine, makes them, and compares.

    bench/forecast.py [--godwit build/cli/godwit] [--runs 100] [--seed 1] [--only N] [--log runs.jsonl]

Each run draws a workload, its rate and set, the size of memory, limits and capabilities. A migration that has not converged after
GIVE_UP_S is cancelled and counts as one that does not; where the forecast said that it takes longer than that, the run is drawn again.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time

GIVE_UP_S = 12
MIB = 1 << 20
PAIRS = (("total-ms", "total time"), ("downtime-ms", "downtime"), ("bytes", "bytes"))


class Vm:
    def __init__(self, godwit, folder, role, options):
        self.godwit, self.qmp = godwit, os.path.join(folder, role)
        self.serial = self.qmp + ".serial"
        self.proc = subprocess.Popen([godwit, "vm", "--quiet", "--qmp", "unix:" + self.qmp, "--serial", "file:" + self.serial, *options],
                                     stdin=subprocess.DEVNULL)
        while self.proc.poll() is None and not self.answers():
            time.sleep(0.02)

    def answers(self):
        return os.path.exists(self.qmp) and self.ctl("status").returncode == 0

    def ctl(self, *args):
        return subprocess.run([self.godwit, "ctl", self.qmp, *args], capture_output=True, text=True)

    def json(self, *args):
        p = self.ctl(*args, "--json")
        if not p.stdout:
            raise SystemExit("%s: %s" % (args, p.stderr))
        return json.loads(p.stdout)

    def beats(self, n):
        """Waits for this many heartbeats of the guest: its set has been written by then."""
        while self.proc.poll() is None:
            if os.path.exists(self.serial):
                with open(self.serial, errors="replace") as f:
                    if f.read().count("beat ") >= n:
                        return
            time.sleep(0.05)

    def end(self):
        self.proc.kill()
        self.proc.wait()


def draw(rng):
    kind = rng.choice(["uniform", "uniform", "hotset", "hotset", "sequential", "sparse", "idle"])
    memory = rng.choice([64, 96, 128, 192])
    rate = 2 ** rng.uniform(1, 6.5)  # 2 to 90 MiB/s
    size = memory * rng.uniform(0.05, 0.6)
    limit = rng.choice([0, *[2 ** rng.uniform(3.5, 7)] * 3])  # none, or 11 to 128 MiB/s
    downtime = rng.choice([50, 300, 300, 1000])
    caps = rng.choice([[], [], [], ["xbzrle"], ["multifd"], ["compress"], ["auto-converge"]])
    return {"kind": kind, "memory": memory, "rate": rate, "set": size, "limit": limit, "downtime": downtime, "caps": caps,
            "workload": "%s,rate=%dK,set=%dK,fill=on" % (kind, rate * 1024, size * 1024) if kind != "idle"
            else "idle,set=%dK,fill=on" % (size * 1024)}


def happened(source):
    """query-migrate at the end; None: it did not converge in time."""
    end = time.monotonic() + GIVE_UP_S
    while time.monotonic() < end:
        info = source.json("qmp", "query-migrate")
        if info.get("status") in ("completed", "failed", "cancelled"):
            return info
        time.sleep(0.05)
    source.ctl("cancel")
    return None


def one(godwit, way):
    folder = tempfile.mkdtemp(prefix="gwf")
    options = ["--accel", "unicorn", "--memory", "%dM" % way["memory"], "--parameter", "max-bandwidth=%d" % (way["limit"] * MIB),
               "--parameter", "downtime-limit=%d" % way["downtime"]]
    for c in way["caps"]:
        options += ["--capability", c]
    vms = []
    try:
        uri = "unix:" + os.path.join(folder, "m")
        source = Vm(godwit, folder, "a", [*options, "--workload", way["workload"]])
        vms.append(source)
        vms.append(Vm(godwit, folder, "b", [*options, "--incoming", uri]))
        source.beats(2)
        plan = source.json("plan", uri, "--peer", "godwit", "--measure", "1.5")
        source.ctl("migrate", uri, "--detach")
        return plan, happened(source)
    finally:
        for vm in vms:
            vm.end()
        shutil.rmtree(folder)


def compare(way, plan, info):
    f = plan["forecast"]
    row = {"way": way, "forecast": f, "measured": plan["measured"], "converged": bool(info) and info["status"] == "completed"}
    if row["converged"]:
        row["happened"] = {"total-ms": info["total-time"], "downtime-ms": info["x-godwit"]["downtime-us"] / 1e3,
                           "bytes": info["ram"]["transferred"], "round": info["x-godwit"]["round"]}
    return row


def too_long(row):
    """It may still converge after the time-out."""
    f = row["forecast"]
    return not row["converged"] and f["converges"] != "no" and f["total-ms"]["high"] > GIVE_UP_S * 900


def report(rows):
    certain = [r for r in rows if r["forecast"]["converges"] != "maybe"]
    right = [r for r in certain if (r["forecast"]["converges"] == "yes") == r["converged"]]
    leans = [r for r in rows if (r["forecast"]["certainty"] > 0.5) == r["converged"]]
    both = [r for r in rows if r["converged"] and r["forecast"]["certainty"] > 0.5]
    print("%d runs, %d of them converged" % (len(rows), sum(r["converged"] for r in rows)))
    print("said yes or no: %d, right: %d; said maybe: %d; right by the greater chance: %d of %d" % (
        len(certain), len(right), len(rows) - len(certain), len(leans), len(rows)))
    print("%-12s %18s %18s %18s" % ("", "within the range", "median error", "nine of ten below"))
    for key, name in PAIRS:
        errors = sorted(abs(r["happened"][key] - r["forecast"][key]["typical"]) / max(r["happened"][key], 1e-9) for r in both)
        inside = sum(r["forecast"][key]["low"] <= r["happened"][key] <= r["forecast"][key]["high"] for r in both)
        print("%-12s %11d of %3d %16.0f %% %16.0f %%" % (name, inside, len(both), 100 * statistics.median(errors),
                                                         100 * errors[int(len(errors) * 0.9)]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--godwit", default="build/cli/godwit")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the run of this number alone")
    parser.add_argument("--log")
    args = parser.parse_args()
    rng, rows, i = random.Random(args.seed), [], 0
    while len(rows) < args.runs:
        way = draw(rng)
        i += 1
        if args.only is not None and i != args.only:
            continue
        row = compare(way, *one(os.path.abspath(args.godwit), way))
        if args.log:
            with open(args.log, "a") as f:
                f.write(json.dumps(row) + "\n")
        if args.only is not None:
            print(json.dumps(row, indent=1))
            return
        if not too_long(row):
            rows.append(row)
    report(rows)


if __name__ == "__main__":
    main()
