#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the fuzz targets (tests/fuzz) under libFuzzer, one after the other.

    fuzz.py [--seconds N] [--jobs N] [--only PATTERN] [TARGET-ARGUMENT...]

Builds them in build/fuzz with clang, ASan and UBSan. What is found interesting is kept in build/fuzz/corpus/TARGET and is
where the next run begins; what the fuzzer prints in build/fuzz/log/TARGET; what breaks a target is left in
build/fuzz/found/TARGET: it belongs into tests/regress/TARGET, with the fix. One that breaks does not keep the others from running.
The last line is `N targets, N broken`, and which.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build", "fuzz")


def names_of_targets():
    return [os.path.basename(p)[:-2] for p in sorted(glob.glob(os.path.join(TOP, "tests", "fuzz", "fuzz_*.c")))]


def build(names):
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        env = dict(os.environ, CC=os.environ.get("CC", "clang"))
        subprocess.check_call(["meson", "setup", BUILD, TOP, "-Dfuzz=true", "-Dtests=false", "-Db_lundef=false",
                               "-Db_sanitize=address,undefined", "-Doptimization=2", "-Ddefault_library=static"],
                              env=env, stdout=subprocess.DEVNULL)
    subprocess.check_call(["ninja", "-C", BUILD, "--quiet"] + ["tests/fuzz/" + n for n in names + ["fuzz_seeds"]])


def folder(*parts):
    path = os.path.join(BUILD, *parts)
    os.makedirs(path, exist_ok=True)
    return path


def prepare(target, env):
    """The folders that a run starts from. Known inputs are among them: a regression is detected at once, without a
    search."""
    corpus, seeds = folder("corpus", target), folder("seeds", target)
    subprocess.check_call([os.path.join(BUILD, "tests", "fuzz", "fuzz_seeds"), target, seeds], env=env)
    known = [os.path.join(TOP, "tests", "regress", target)]
    known += [os.path.join(TOP, "tests", "golden", target, kind) for kind in ("accept", "reject")]
    return [corpus, seeds] + [f for f in known if os.path.isdir(f)]


def facts(log):
    """The fuzzer's final figures; those missing after a crash are left out."""
    out = {}
    for key, word in (("runs", "number_of_executed_units"), ("a second", "average_exec_per_sec"), ("MiB", "peak_rss_mb")):
        m = re.search(word + r":\s*(\d+)", log)
        if m:
            out[key] = int(m.group(1))
    for key, word in (("edges", "cov"), ("features", "ft"), ("inputs", "corp")):
        all_of = re.findall(r"\b%s: (\d+)" % word, log)
        if all_of:
            out[key] = int(all_of[-1])
    return out


def run(name, seconds, more):
    target = name[len("fuzz_"):]
    env = dict(os.environ, ASAN_OPTIONS="allocator_may_return_null=1:max_allocation_size_mb=64",
               UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1")
    found, path = folder("found", target), os.path.join(folder("log"), target)
    before = set(os.listdir(found))
    with open(path, "w", encoding="utf-8") as f:
        try:
            # A busy machine is slow: an input that takes longer than a minute hangs.
            code = subprocess.call([os.path.join(BUILD, "tests", "fuzz", name), "-max_total_time=%d" % seconds, "-timeout=60",
                                    "-report_slow_units=60", "-rss_limit_mb=2048", "-entropic=0", "-artifact_prefix=" + found + "/",
                                    "-print_final_stats=1"] + more + prepare(target, dict(env, ASAN_OPTIONS="detect_leaks=0")),
                                   env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=subprocess.STDOUT)
        except (OSError, subprocess.CalledProcessError) as e:
            f.write("%s\n" % e)
            code = 1
    with open(path, encoding="utf-8", errors="replace") as f:
        log = f.read()
    return {"target": target, "broken": code != 0, "facts": facts(log), "tail": log[-6000:], "log": path,
            "left": [os.path.join(found, f) for f in sorted(set(os.listdir(found)) - before)]}


def tell(result):
    print("  %-20s %s%s" % (result["target"], ", ".join("%d %s" % (v, k) for k, v in result["facts"].items()),
                            ": BROKEN" if result["broken"] else ""), flush=True)
    if result["broken"]:
        print(result["tail"])
    for path in result["left"]:
        print("  left in " + path, flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--seconds", type=int, default=60, help="for each target")
    ap.add_argument("--jobs", type=int, default=1, help="so many targets at a time")
    ap.add_argument("--only", default="", metavar="PATTERN", help="targets whose names match this regular expression")
    args, more = ap.parse_known_args()
    if not shutil.which(os.environ.get("CC", "clang")):
        print("clang is needed for libFuzzer")
        return 1
    results = []
    names = [n for n in names_of_targets() if re.search(args.only, n[len("fuzz_"):])]
    if not names:
        print("no target is called like " + args.only)
        return 1
    build(names)
    with concurrent.futures.ThreadPoolExecutor(max(args.jobs, 1)) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, n, args.seconds, more) for n in names]):
            results.append(done.result())
            tell(results[-1])
    broken = [r["target"] for r in results if r["broken"]]
    print("%d targets, %d broken%s" % (len(results), len(broken), ": " + ", ".join(sorted(broken)) if broken else ""))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
