#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the benches: a table on stdout, every figure in a JSON file, ratios beside QEMU as a page with charts.

  run.py --build build/release [--runs 5] [--only REGEX] [--json FILE] [--html FILE]

The subjects of a group (this engine, the plain pair, QEMU) take turns run by run, so that a slow
phase of the machine hits all of them; ratios are taken run by run too.  A run during which other
processes or the hypervisor took more than 15 % of the machine is marked and repeated, at most
--runs times; tables use the quiet runs, or all where fewer than 3 were quiet.

A figure is median (minimum..maximum).  docs/performance.md says what each row means.
"""
import argparse
import glob
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

import figures
import fill

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
CPUS = os.cpu_count()
TICK = os.sysconf("SC_CLK_TCK")


def machine_cpu():
    """(seconds that processes used, seconds stolen), of all CPUs."""
    with open("/proc/stat") as f:
        v = [int(x) for x in f.readline().split()[1:9]]
    return (sum(v) - v[3] - v[4] - v[7]) / TICK, v[7] / TICK


def children_cpu():
    u = resource.getrusage(resource.RUSAGE_CHILDREN)
    return u.ru_utime + u.ru_stime


class Group:
    def __init__(self, name, title, subjects):
        self.name, self.title, self.subjects = name, title, subjects
        self.results = {s: [] for s in subjects}


def run_one(argv):
    cpu, kids, t = machine_cpu(), children_cpu(), time.time()
    try:
        p = subprocess.run(argv, capture_output=True, text=True, timeout=180)
        lines = [json.loads(x) for x in p.stdout.splitlines() if x.startswith("{")]
        r = lines[-1] if lines else {"error": p.stderr.strip()[-300:] or "no output"}
    except (subprocess.TimeoutExpired, ValueError) as e:
        r = {"error": str(e)[-300:]}
    wall = time.time() - t
    now = machine_cpu()
    mine = children_cpu() - kids
    r["other_cpu_s"] = round(max(0.0, now[0] - cpu[0] - mine), 2)
    r["steal_s"] = round(now[1] - cpu[1], 2)
    r["noisy"] = r["other_cpu_s"] + r["steal_s"] > 0.15 * wall * CPUS
    return r


def run_group(g, runs, seconds, out):
    end = time.time() + seconds
    quiet = dict.fromkeys(g.subjects, 0)
    for turn in range(2 * runs):
        if turn >= runs and all(n >= min(3, runs) for n in quiet.values()):
            break
        if turn and time.time() > end:
            break
        for s, argv in g.subjects.items():
            r = run_one(argv)
            r["turn"] = turn
            g.results[s].append(r)
            quiet[s] += not r["noisy"]
            out.append(dict(r, group=g.name, subject=s))
            state = "NOISY " if r["noisy"] else ""
            print("  %-10s %-24s %s%s" % (g.name, s, state, r.get("error") or "%.0f ms" % r["wall_ms"]),
                  file=sys.stderr, flush=True)


def pick(results):
    good = [r for r in results if "error" not in r]
    quiet = [r for r in good if not r["noisy"]]
    return quiet if len(quiet) >= 3 else good


def num(x):
    return "%.0f" % x if abs(x) >= 100 else "%.1f" % x if abs(x) >= 10 else "%.2f" % x


def spread(v):
    if not v:
        return "-"
    lo, mid, hi = num(min(v)), num(statistics.median(v)), num(max(v))
    return mid if lo == hi else "%s (%s..%s)" % (mid, lo, hi)


def column(results, f):
    v = []
    for r in pick(results):
        x = f(r)
        if x is not None:
            v.append(x)
    return v


def per_cpu(side):
    """GB moved for each CPU second of one side."""
    return lambda r: r["bytes"] / 1e9 / r[side] if r.get(side) else None


def mib(key):
    return lambda r: r[key] / 2**20 if key in r else None


COLUMNS = [
    ("wall ms", lambda r: r.get("wall_ms")),
    ("GB/s", lambda r: r["bytes"] / r["wall_ms"] / 1e6),
    ("save ms", lambda r: r.get("save_ms")),
    ("restore ms", lambda r: r.get("restore_ms")),
    ("gap ms", lambda r: r.get("gap_ms")),
    ("GB per CPU s, src", per_cpu("src_cpu_s")),
    ("GB per CPU s, dst", per_cpu("dst_cpu_s")),
    ("CPU s, both", lambda r: r["src_cpu_s"] + r["dst_cpu_s"]),
    ("src + MiB", mib("src_over")),
    ("dst + MiB", mib("dst_over")),
]


def table(g):
    print("\n%s\n" % g.title)
    print("| subject | runs | %s |" % " | ".join(c[0] for c in COLUMNS))
    print("|---|---|" + "---|" * len(COLUMNS))
    for s, results in g.results.items():
        bad = [r for r in results if "error" in r or r.get("verified") is False]
        note = "%d of %d" % (len(pick(results)), len(results))
        if bad:
            note += ", %d BAD" % len(bad)
        cells = [spread(column(results, f)) for _, f in COLUMNS]
        print("| %s | %s | %s |" % (s, note, " | ".join(cells)))
        if bad:
            print("\n    %s: %s\n" % (s, bad[0].get("error", "memory differs")))


def ratio(g, of, to, f):
    """of / to, turn by turn."""
    a, b = ({r["turn"]: f(r) for r in pick(g.results.get(s, []))} for s in (of, to))
    both = [a[t] / b[t] for t in a if t in b and b[t]]
    if not both and a and b:
        both = [statistics.median(a.values()) / statistics.median(b.values())]
    return both


def programs(build):
    """The benchmarks of single parts: each prints JSON lines."""
    d = os.path.join(build, "bench")
    return [os.path.join(d, n) for n in ("bench_scan", "bench_sync", "bench_parked", "bench_pages") if os.path.exists(os.path.join(d, n))]


def look(program, image):
    """Runs a program that prints JSON lines; a table for each kind of line."""
    argv = [program] + ([image, os.path.dirname(image)] if program.endswith(("bench_parked", "bench_pages")) else [])
    text = subprocess.run(argv, capture_output=True, text=True, timeout=600).stdout
    rows = [json.loads(x) for x in text.splitlines() if x.startswith("{")]
    for kind in dict.fromkeys(r.get("bench", "") for r in rows):
        mine = [r for r in rows if r.get("bench", "") == kind]
        keys = [k for k in dict.fromkeys(k for r in mine for k in r) if k != "bench"]
        print("\n%s: %s\n\n| %s |\n|%s" % (os.path.basename(program), kind, " | ".join(keys), "---|" * len(keys)))
        for r in mine:
            print("| %s |" % " | ".join(num(r[k]) if isinstance(r.get(k), float) else str(r.get(k, "-")) for k in keys))
    return [dict(r, group=os.path.basename(program)) for r in rows]


def qemus(*versions):
    """Name and program of each QEMU that scripts/peers fetched, or of those that are named."""
    found = {}
    for version in versions or ("5.2", "7.2", "10.0", "11.1"):
        p = os.path.join(TOP, "build", "peers", version, "run")
        if os.path.exists(p):
            found["QEMU " + version] = p
    if not found and shutil.which("qemu-system-x86_64"):
        found["QEMU (system's)"] = shutil.which("qemu-system-x86_64")
    return found


def groups(a, image):
    d = os.path.join(a.build, "bench")
    size = str(a.mem)
    gs = []

    def precopy(*more):
        return [os.path.join(d, "bench_precopy"), "--image", image, "--mem", size] + list(more)

    def pair(*more):
        return [os.path.join(d, "bench_pair"), "--image", image, "--mem", size] + list(more)

    for t in ("unix", "tcp"):
        s = {"godwit": precopy("--transport", t),
             "godwit, used memory": precopy("--transport", t, "--dest", "used"),
             "pair": pair("--transport", t),
             "pair, as records": pair("--transport", t, "--layout", "records")}
        for name, path in qemus().items():
            s[name] = [sys.executable, os.path.join(HERE, "qemu_peer.py"), "--qemu", path, "--image", image,
                       "--mem", size, "--transport", t, "--no-verify"]
        gs.append(Group(t, "Idle machine over %s, destination memory resident" % t, s))
        s = {"godwit": precopy("--transport", t, "--dest", "fresh"),
             "pair": pair("--transport", t, "--dest", "fresh")}
        for name, path in qemus().items():
            s[name] = [sys.executable, os.path.join(HERE, "qemu_peer.py"), "--qemu", path, "--image", image,
                       "--mem", size, "--transport", t, "--no-verify", "--fresh"]
        gs.append(Group(t + "-fresh", "Idle machine over %s, destination memory never touched" % t, s))
    gs.append(Group("writing", "A guest that writes, over unix: 256 MiB round and round, MiB/s", {
        "%d" % r: precopy("--write", "%dM" % r, "--set", "256M") for r in (50, 200, 800)}))
    file = os.path.join(a.cache, "mapped.file")
    for name, ours, theirs in (("mapped", [], []), ("mapped-direct", ["--parameter", "direct-io=on"],
                                                         ["--direct-io", "--channels", "2"])):  # QEMU: multifd's channels alone
        s = {"godwit": precopy("--file", file, "--cold", "--capability", "mapped-ram", *ours)}
        for qemu, path in qemus("10.0", "11.1").items():
            s[qemu] = [sys.executable, os.path.join(HERE, "qemu_peer.py"), "--qemu", path, "--image", image, "--mem", size,
                       "--file", file, "--cold", "--capability", "mapped-ram", "--no-verify", *theirs]
        gs.append(Group(name, "Idle machine into a mapped-ram file%s and, the host having dropped it, out of it"
                        % (" past the page cache" if ours else ""), s))
    for channels in (2, 4):
        for compression in ("none", "zlib", "zstd"):
            parameters = ["multifd-compression=" + compression]
            if compression != "none":
                parameters.append("multifd-%s-level=1" % compression)
            parameters = [x for p in parameters for x in ("--parameter", p)]
            s = {"godwit": precopy("--dest", "used", "--capability", "multifd", "--parameter", "multifd-channels=%d" % channels,
                                   *parameters)}
            versions = () if compression != "zstd" else ("7.2", "10.0", "11.1")  # 5.2 was built without it
            for name, path in qemus(*versions).items():
                s[name] = [sys.executable, os.path.join(HERE, "qemu_peer.py"), "--qemu", path, "--image", image, "--mem", size,
                           "--no-verify", "--channels", str(channels), *parameters]
            gs.append(Group("multifd-%d-%s" % (channels, compression), "Idle machine by multifd over unix, %d channels, %s"
                            % (channels, compression if compression == "none" else compression + " level 1"), s))
    gs.append(Group("gigabit", "The same at 119 MiB/s (1 GbE by max-bandwidth), 512 MiB of RAM, a set of 128 MiB", {
        "%d" % r: [os.path.join(d, "bench_precopy"), "--image", image, "--mem", "512M", "--write", "%dM" % r, "--set",
                   "128M", "--parameter", "max-bandwidth=119M"] for r in (20, 50)}))
    gs.append(Group("gigabit-busy", "The same link and a guest that writes 200 MiB/s of 256 MiB: x-godwit-tended-convergence", {
        "godwit": [os.path.join(d, "bench_precopy"), "--image", image, "--mem", "512M", "--write", "200M", "--set", "256M",
                   "--parameter", "max-bandwidth=119M", "--capability", "x-godwit-tended-convergence"]}))
    for format in ("raw", "qcow2"):
        s, block = {}, [sys.executable, os.path.join(HERE, "block.py"), "--build", a.build, "--format", format, "--size", str(a.disk)]
        s["godwit"] = block + ["--from", "godwit", "--to", "godwit"]
        for name, path in qemus("7.2").items():
            s[name] = block + ["--from", path, "--to", path]
            s["to " + name] = block + ["--from", "godwit", "--to", path, "--peer", "7.2"]
            s["from " + name] = block + ["--from", path, "--to", "godwit"]
        gs.append(Group("block-" + format, "A disk of %d MiB (%s) goes with the machine, over unix, images in memory"
                        % (a.disk >> 20, format), s))
    one = ["--mem", "256M", "--capability", "compress"]
    s = {"godwit": [os.path.join(d, "bench_precopy"), "--image", image, "--dest", "used"] + one}
    for name, path in qemus("5.2", "7.2").items():  # the last that have it
        s[name] = [sys.executable, os.path.join(HERE, "qemu_peer.py"), "--qemu", path, "--image", image] + one
    gs.append(Group("compress", "Pages compressed one by one, 256 MiB over unix, as many threads as are usual", s))
    return gs


MEASURES = [
    ("time", lambda r: r.get("wall_ms")),
    ("time to save", lambda r: r.get("save_ms")),
    ("time to restore", lambda r: r.get("restore_ms")),
    ("CPU time, both sides", lambda r: r["src_cpu_s"] + r["dst_cpu_s"]),
    ("bytes sent", lambda r: r["bytes"]),
    ("gap of the guest", lambda r: r.get("gap_ms")),
]


def beside_qemu(gs):
    """Rows for figures.page. A measure counts where both sides have it in every run."""
    rows = []
    for g in gs:
        for s in g.subjects:
            for what, f in MEASURES if s.startswith("QEMU") and "godwit" in g.subjects else ():
                sides = [pick(g.results.get(x, [])) for x in ("godwit", s)]
                if all(sides) and all(f(r) for side in sides for r in side):
                    rows.append((g.title, what, s, ratio(g, "godwit", s, f)))
    return rows


def goal(what, got, want, ok):
    print("| %s | %s | %s | %s |" % (what, got, want, "yes" if ok else "NO"))


def goals(gs, mem, looks):
    by = {g.name: g for g in gs}
    print("\nGoals\n\n| what | measured | goal | met |\n|---|---|---|---|")
    for r in looks:
        if r.get("bench") == "zero_scan" and r.get("picked"):
            goal("zero scan (%s, %s pages) over read bandwidth" % (r["variant"], "2 MiB" if r["huge_pages"] else "4 KiB"),
                 "%.0f %%" % (100 * r["of_read"]), ">= 80 %", r["of_read"] >= 0.8)
    for name, key, most in (("mapped-direct", "save_ms", 0.1), ("mapped", "restore_ms", 0.85)):
        v = ratio(by[name], "godwit", "QEMU 10.0", lambda r: r.get(key)) if name in by else []
        if v:
            goal("%s: %s over QEMU 10.0's" % (name, key), spread(v), "<= %s" % most, statistics.median(v) <= most)
    for g in (g for g in gs if g.name.startswith("multifd-")):
        most = {"none": (0.85, 0.75), "zlib": (0.4, 0.4), "zstd": (0.5, 0.5)}[g.name.rsplit("-", 1)[1]]
        for s in (s for s in g.subjects if s != "godwit"):
            for what, of, at_most in (("time", lambda r: r["wall_ms"], most[0]),
                                      ("CPU time", lambda r: r["src_cpu_s"] + r["dst_cpu_s"], most[1]),
                                      ("bytes", lambda r: r["bytes"], 1.005)):
                v = ratio(g, "godwit", s, of)
                if v:
                    goal("%s: %s of godwit over that of %s" % (g.name, what, s), spread([100 * x for x in v]) + " %",
                         "<= %.0f %%" % (100 * at_most), statistics.median(v) <= at_most)
    for g in (g for g in gs if g.name.startswith("block-")):
        for s in ("godwit", "to QEMU 7.2", "from QEMU 7.2"):
            for what, of in (("time", lambda r: r["wall_ms"]), ("CPU time", lambda r: r["src_cpu_s"] + r["dst_cpu_s"])):
                v = ratio(g, s, "QEMU 7.2", of)
                if v:
                    goal("%s: %s of %s over QEMU 7.2's to itself" % (g.name, what, s), spread([100 * x for x in v]) + " %",
                         "<= 50 %" if (s, what) == ("godwit", "time") else "-", (s, what) != ("godwit", "time") or statistics.median(v) <= 0.5)
    for s in by["compress"].subjects if "compress" in by else ():
        if s == "godwit":
            continue
        for what, of in (("time", lambda r: r["wall_ms"]), ("CPU time", lambda r: r["src_cpu_s"] + r["dst_cpu_s"]),
                         ("bytes", lambda r: r["bytes"])):
            v = ratio(by["compress"], "godwit", s, of)
            if v:
                goal("compress: %s of godwit over that of %s" % (what, s), spread([100 * x for x in v]) + " %",
                     "-" if what == "bytes" else "<= 30 %", what == "bytes" or statistics.median(v) <= 0.3)
    for name in ("unix", "tcp"):
        g = by.get(name)
        if not g:
            continue
        for s in ("godwit", "godwit, used memory"):
            v = ratio(g, "pair", s, lambda r: r["wall_ms"] / r["bytes"])
            if v:
                goal("%s: throughput of %s over the plain pair's" % (name, s), spread([100 * x for x in v]) + " %",
                     ">= 80 %", statistics.median(v) >= 0.8)
            v = ratio(g, "pair", s, lambda r: (r["src_cpu_s"] + r["dst_cpu_s"]) / r["bytes"])
            if v:
                goal("%s: bytes per CPU second of %s over the pair's" % (name, s), spread([100 * x for x in v]) + " %",
                     "-", True)
        over = max([x for side in ("src_over", "dst_over") for x in column(g.results["godwit"], mib(side))] or [0])
        limit = mem * 1e-4 / 2**20 + 8
        goal("%s: memory over the guest's own, worst side" % name, "%.2f MiB" % over, "<= %.1f MiB" % limit,
             over <= limit)
        v = column(g.results["godwit"], lambda r: r.get("gap_ms"))
        if v:
            goal("%s: gap of an idle machine" % name, spread(v) + " ms", "<= 2 ms", statistics.median(v) <= 2)
        f = by.get(name + "-fresh")
        if f:
            v = ratio(f, "pair", "godwit", lambda r: r["wall_ms"] / r["bytes"])
            if v:
                goal("%s, fresh memory: throughput over the plain pair's" % name, spread([100 * x for x in v]) + " %",
                     ">= 80 %", statistics.median(v) >= 0.8)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--build", default=os.path.join(TOP, "build", "release"))
    ap.add_argument("--cache", default=os.path.join(TOP, "build", "bench-cache"), help="where images are kept")
    ap.add_argument("--runs", type=int, default=int(os.environ.get("BENCH_RUNS", 5)))
    ap.add_argument("--seconds", type=float, default=120, help="for one group; its last turn may end later")
    ap.add_argument("--mem", type=fill.parse_size, default=2 << 30)
    ap.add_argument("--disk", type=fill.parse_size, default=1 << 30, help="what goes with a machine in block-raw and block-qcow2")
    ap.add_argument("--only", help="groups and programs whose name matches")
    ap.add_argument("--json", default=os.path.join(TOP, "build", "bench.json"))
    ap.add_argument("--html", default=os.path.join(TOP, "build", "bench.html"))
    a = ap.parse_args()
    wanted = re.compile(a.only or "")
    image = fill.cached(a.cache, "mixed", a.mem, 1)
    out = []
    gs = [g for g in groups(a, image) if wanted.search(g.name)]
    print("godwit bench: %d CPUs, %s of RAM image `mixed`, load %s" % (
        CPUS, "%d MiB" % (a.mem >> 20), os.getloadavg()[0]))
    looks = []
    for p in programs(a.build):
        if wanted.search(os.path.basename(p)):
            looks += look(p, image)
    out += looks
    for g in gs:
        run_group(g, a.runs, a.seconds, out)
        table(g)
        sys.stdout.flush()
    for left in glob.glob("/dev/shm/godwit-bench-block-*"):  # files shared by block.py's runs
        os.unlink(left)
    goals(gs, a.mem, looks)
    with open(a.json, "w") as f:
        json.dump({"cpus": CPUS, "mem": a.mem, "runs": out}, f, indent=1)
    with open(a.html, "w") as f:
        f.write(figures.page(beside_qemu(gs), "%d CPUs, %d MiB of RAM, %s" % (CPUS, a.mem >> 20, time.strftime("%Y-%m-%d"))))
    print("\nEvery run: %s, beside QEMU: %s" % (a.json, a.html))
    return 1 if any("error" in r or r.get("verified") is False for r in out) else 0


if __name__ == "__main__":
    sys.exit(main())
