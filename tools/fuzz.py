#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the fuzz targets (tests/fuzz) under libFuzzer, one after the other.

    fuzz.py [--seconds N] [--only PATTERN] [TARGET-ARGUMENT...]

Builds them in build/fuzz with clang, ASan and UBSan. What is found interesting is kept in build/fuzz/corpus/TARGET and is
where the next run begins; what breaks a target is left in build/fuzz/found/TARGET: it belongs into tests/regress/TARGET,
with the fix. The last line is `N targets, N broken`.
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build", "fuzz")


def build():
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        env = dict(os.environ, CC=os.environ.get("CC", "clang"))
        subprocess.check_call(["meson", "setup", BUILD, TOP, "-Dfuzz=true", "-Dtests=false", "-Db_lundef=false",
                               "-Db_sanitize=address,undefined", "-Doptimization=2", "-Ddefault_library=static"],
                              env=env, stdout=subprocess.DEVNULL)
    names = [os.path.basename(p)[:-2] for p in sorted(glob.glob(os.path.join(TOP, "tests", "fuzz", "fuzz_*.c")))]
    wanted = ["tests/fuzz/" + n for n in names] + ["tests/fuzz/fuzz_seeds"]
    subprocess.check_call(["ninja", "-C", BUILD, "--quiet"] + wanted)
    return names


def run(name, seconds, more):
    target = name[len("fuzz_"):]
    corpus, found = os.path.join(BUILD, "corpus", target), os.path.join(BUILD, "found", target)
    seeds = os.path.join(BUILD, "seeds", target)
    for d in (corpus, found, seeds):
        os.makedirs(d, exist_ok=True)
    env = dict(os.environ, ASAN_OPTIONS="allocator_may_return_null=1:max_allocation_size_mb=64",
               UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    subprocess.check_call([os.path.join(BUILD, "tests", "fuzz", "fuzz_seeds"), target, seeds],
                          env=dict(env, ASAN_OPTIONS="detect_leaks=0"))
    before = set(os.listdir(found))
    folders = [corpus, seeds, os.path.join(TOP, "tests", "regress", target),
               os.path.join(TOP, "tests", "golden", target, "accept"), os.path.join(TOP, "tests", "golden", target, "reject")]
    # The known ones first: a regression is told as such, without a search.
    p = subprocess.run([os.path.join(BUILD, "tests", "fuzz", name), "-max_total_time=%d" % seconds, "-timeout=10",
                        "-rss_limit_mb=2048", "-entropic=0", "-artifact_prefix=" + found + "/", "-print_final_stats=1"] + more +
                       [f for f in folders if os.path.isdir(f)], env=env, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = p.stdout.decode("utf-8", "replace")
    m = re.search(r"average_exec_per_sec:\s*(\d+)", out)
    n = re.search(r"number_of_executed_units:\s*(\d+)", out)
    cov = re.findall(r"cov: (\d+)", out)
    new = sorted(set(os.listdir(found)) - before)
    bad = p.returncode != 0
    print("  %-20s %s runs, %s a second, coverage %s%s" % (
        target, n.group(1) if n else "?", m.group(1) if m else "?", cov[-1] if cov else "?", ": BROKEN" if bad else ""),
        flush=True)
    if bad:
        print(out[-6000:])
        for f in new:
            print("  left in " + os.path.join(found, f))
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=int, default=60)
    ap.add_argument("--only", default="")
    args, more = ap.parse_known_args()
    if not shutil.which(os.environ.get("CC", "clang")):
        print("clang is needed for libFuzzer")
        return 1
    names = [n for n in build() if re.search(args.only, n)]
    broken = [n for n in names if run(n, args.seconds, more)]
    print("%d targets, %d broken" % (len(names), len(broken)))
    return 1 if broken or not names else 0


if __name__ == "__main__":
    sys.exit(main())
