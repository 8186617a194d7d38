#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Build and run everything that can fail, and count it.

    check.py [--only PATTERN] [--builds plain,asan,tsan,aarch64] [--soak] [--list] [--jobs N]

Three builds (plain with warnings as errors, ASan+UBSan, TSan) of everything; the programs that Meson knows as tests run in
each of them, then the Python tests (tests/**/test_*.py, tests/layers.py) against the plain build. The fourth is a cross
build of the library, the command, the tools and the unit tests, which run in an emulator (tools/cross/aarch64.ini). What cannot be counted
counts as failed: a crash, a hang, a skip that gives no reason. The last line is `N passed, N failed[, N skipped]`.

A program is ended when it shows no sign of life, and the report names the test that was running; watch.py says how that is
told on a machine that is slow or busy. Nothing is ever run twice.

CC in the environment chooses another compiler, as `CC=clang check.py`; what it makes is in a folder of its own (build/check-clang).

Suites (in meson.build) that mean something here: `plain` runs in the plain build only, `one-thread` not under TSan, which
has nothing to see there, `soak` runs only with --soak, `waits` mostly sleeps (time-outs are its subject) and is started first,
`native` does not run in an emulator.
"""
import argparse
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import crowd
import watch

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CC = os.environ.get("CC", "").strip()
OUT = os.path.join(TOP, "build", "check" + re.sub(r"[^\w.-]+", "-", "-" + CC if CC else ""))
LOGS = os.path.join(OUT, "logs")  # the output of each program, also while others still run
SUPPRESSIONS = os.path.join(TOP, "tests", "tsan.supp")
PEERS = os.environ.get("GODWIT_PEERS") or os.path.join(TOP, "build", "peers")
EMULATOR = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]

BUILDS = {
    "plain": {"setup": ["-Dwerror=true"], "slower": 1, "env": {}},
    "asan": {
        "setup": ["-Db_sanitize=address,undefined", "-Db_lundef=false"],  # GCC's warnings are unreliable with sanitizers
        "slower": 2,
        "env": {
            "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        },
    },
    "tsan": {
        "setup": ["-Db_sanitize=thread", "-Db_lundef=false", "-Dc_args=-Wno-tsan"],
        "slower": 4,
        "env": {"TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1:allocator_may_return_null=1"},
    },
    "aarch64": {
        "setup": ["--cross-file", os.path.join(PEERS, "aarch64", "cross.ini"), "--cross-file",
                  os.path.join(TOP, "tools", "cross", "aarch64.ini"), "-Dwerror=true", "-Ddebug=false"],
        "slower": 8, "env": {"GODWIT_EMULATED": "1"},
    },
}
SANITIZED = ("asan", "tsan")
# Limits only end programs that hang (watch.py): the processor time between two lines of output and, as the last resort,
# the total time are multiples of those in meson.build, which were measured on a fast and quiet machine.
SILENCE_S = 150
CPU_PATIENCE, CPU_MOST_S = 4, 1500  # the latter without --soak
WALL_PATIENCE, WALL_LEAST_S = 10, 1200
PYTHON_TIMEOUT_S = 300
PYTHON_SILENCE_S = 240  # longest wait of a test for an event; the test's own message is better than ours
# If a sanitizer cannot work on this machine at all, any program shows it.
HELPLESS = re.compile(r"^.*(Sanitizer: unexpected memory mapping|Shadow memory range interleaves|Sanitizer failed to allocate|"
                      r"LeakSanitizer has encountered a fatal error).*$", re.M)
TELLING_LINES = 200  # lines printed of one failure; logs/ has all


def limits_of(timeout, slower=1, soak=False, silence_s=SILENCE_S):
    cpu_s = CPU_PATIENCE * slower * timeout
    return watch.Limits(silence_s, cpu_s if soak else min(cpu_s, CPU_MOST_S), max(WALL_PATIENCE * slower * timeout, WALL_LEAST_S))


class Program:
    """One program to run. Its output reports any number of tests, or it is a test itself."""

    def __init__(self, label, argv, env=None, cwd=None, timeout=30, suites=(), limits=None):
        self.label, self.argv, self.env, self.cwd, self.timeout = label, argv, env or {}, cwd or TOP, timeout
        self.limits = limits or limits_of(timeout)
        self.waits = "waits" in suites
        self.skipped = False  # it only says so


class Running:
    """The running process groups: none of them outlives this program, however it ends."""

    lock = threading.Lock()
    groups = set()

    @classmethod
    def end_all(cls, number, frame):
        with cls.lock:
            for group in cls.groups:
                try:
                    os.killpg(group, signal.SIGKILL)
                except OSError:
                    pass
            os._exit(128 + number)


class Report:
    def __init__(self, program, passed=0, failures=(), skips=(), output="", seconds=0.0, machine="", cpu_seconds=0.0):
        self.program, self.passed, self.failures, self.skips = program, passed, list(failures), list(skips)
        self.output, self.seconds, self.machine, self.cpu_seconds = output, seconds, machine, cpu_seconds


class Machine:
    """The machine's load since then, as text."""

    def __init__(self):
        self.then = self.ticks()

    @staticmethod
    def ticks():
        try:
            with open("/proc/stat") as f:
                return [int(x) for x in f.readline().split()[1:9]]
        except (OSError, ValueError):
            return []

    def words(self):
        text = "load %.1f on %d processors" % (os.getloadavg()[0], len(os.sched_getaffinity(0)))
        now = self.ticks()
        if len(self.then) == 8 and len(now) == 8 and sum(now) > sum(self.then):
            spent = [b - a for a, b in zip(self.then, now)]
            text += ", idle %d%%, waiting for disks %d%%, stolen %d%% while it ran" % tuple(
                100 * x // sum(spent) for x in (spent[3], spent[4], spent[7]))
        return text


LOST = "ended without an outcome"
LINE = re.compile(r"^\[\s*(RUN|OK|FAILED|SKIPPED)\s*\] (.*)$")


def read_outcomes(output):
    """(passed, failures, skips, saw_any) from what cmocka and run_unittest.py print. Failures and skips are (name, why)."""
    passed, failures, skips, seen = 0, [], [], False
    name, said = None, []
    for line in output.splitlines():
        m = LINE.match(line)
        kind = m.group(1) if m else None
        if kind == "RUN":
            seen = True
            if name is not None:
                failures.append((name, LOST))
            name, said = m.group(2), []
        elif name is not None and kind in ("OK", "FAILED", "SKIPPED") and m.group(2) == name:
            if kind == "OK":
                passed += 1
            elif kind == "FAILED":
                failures.append((name, "failed"))
            elif said:
                skips.append((name, " ".join(said)[:400]))
            else:
                failures.append((name, "skipped without saying why"))
            name = None
        elif name is not None and line.strip():
            said.append(line.strip())
    if name is not None:
        failures.append((name, LOST))
    return passed, failures, skips, seen


def telling(output, failures):
    """The text shown for a failed program: each failed test, with the harness's messages about it, and the end of the
    output."""
    lines = output.rstrip().splitlines()
    if len(lines) <= TELLING_LINES:
        return "\n".join(lines)
    names, parts, current = {n for n, _ in failures}, [], [None, []]
    for line in lines:
        m = LINE.match(line)
        if m and m.group(1) == "RUN":
            parts.append(current)
            current = [m.group(2), []]
        current[1].append(line)
    shown = []
    for name, part in [p for p in parts if p[0] in names] + [current]:
        if len(part) > TELLING_LINES:
            part = part[:TELLING_LINES // 2] + ["[... %d lines ...]" % (len(part) - TELLING_LINES)] + part[-TELLING_LINES // 2:]
        shown += part
    return "\n".join(shown)


def end_left_behind(mark):
    """Programs left by one that has ended, outside its process group. Returns their names."""
    names = []
    for folder in glob.glob("/proc/[0-9]*"):
        try:
            with open(folder + "/environ", "rb") as f:
                if mark not in f.read().split(b"\0"):
                    continue
            with open(folder + "/cmdline", "rb") as f:
                names.append(f.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()[:200])
            os.kill(int(os.path.basename(folder)), signal.SIGKILL)
        except OSError:
            pass
    return names


def ending(status):
    return "exit status %d" % status if status >= 0 else "killed by signal %d" % -status


def run(program):
    os.makedirs(LOGS, exist_ok=True)
    began, machine, mark = time.monotonic(), Machine(), "GODWIT_CHECK=%d-%d" % (os.getpid(), id(program))
    env = dict(os.environ, LC_ALL="C.UTF-8", DEBUGINFOD_URLS="", **program.env)
    env[mark.split("=")[0]] = mark.split("=")[1]
    try:
        with Running.lock:
            proc = subprocess.Popen(program.argv, cwd=program.cwd, env=env, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
            Running.groups.add(proc.pid)
    except OSError as e:
        return Report(program, failures=[("start", str(e))])
    out, why = watch.watch(proc, mark.encode(), program.limits)
    proc.stdout.close()
    with Running.lock:
        Running.groups.discard(proc.pid)
    output = out.decode("utf-8", "replace")
    left = end_left_behind(mark.encode())
    if left:
        output += "\nleft behind, and ended now: " + "; ".join(left) + "\n"
    with open(os.path.join(LOGS, re.sub(r"[^\w.-]+", "-", program.label) + ".log"), "w") as f:
        f.write(output)
    passed, failures, skips, seen = read_outcomes(output)
    if failures and failures[-1][1] == LOST:
        failures[-1] = (failures[-1][0], "was running when the program was ended: " + why if why else
                        "%s (%s)" % (LOST, ending(proc.returncode)))
    elif why:
        failures.append(("time", "no test was running when the program was ended: " + why if seen else why))
    elif not seen and proc.returncode == 77:
        words = [x for x in output.splitlines() if x.strip()]
        if words:
            skips.append(("all", words[-1]))
        else:
            failures.append(("all", "skipped without saying why"))
    elif not seen and proc.returncode == 0:
        passed = 1
    elif proc.returncode != 0 and not failures:
        failures.append(("exit", ending(proc.returncode) + (" with every test passed" if seen else "")))
    return Report(program, passed, failures, skips, output, time.monotonic() - began, machine.words(), proc.cpu_seconds)


def is_configured(name):
    return os.path.exists(os.path.join(OUT, name, "build.ninja"))


def configure(name):
    """(whether it is configured, the output)."""
    path = os.path.join(OUT, name)
    if is_configured(name):
        return True, ""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(OUT, exist_ok=True)
    p = subprocess.run(["meson", "setup", path, TOP] + BUILDS[name]["setup"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if p.returncode:
        shutil.rmtree(path, ignore_errors=True)
    return p.returncode == 0, p.stdout.decode("utf-8", "replace")


def build(name):
    """Configure and compile; the output on failure, else None."""
    path, (good, log) = os.path.join(OUT, name), configure(name)
    if not good:
        return log
    targets = ["all", "bench-programs"] if name == "plain" else []  # programs that the check does not run must compile too
    if name == "aarch64":
        subprocess.run(["ninja", "-C", path, "build.ninja"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        made = json.loads(subprocess.check_output(["meson", "introspect", "--targets", path]))
        files = [f for t in made if t["name"] == "godwit" or t["name"].startswith("print_") for f in t["filename"]]
        files += [p.argv[-1] for p in programs_of_meson(name, False) if not p.skipped]
        targets = [os.path.relpath(f, path) for f in files]
    p = subprocess.run(["ninja", "-C", path] + targets, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return log + p.stdout.decode("utf-8", "replace") if p.returncode else None


def lacking(name):
    """Why this build cannot be made on this machine; None: it can."""
    if name != "aarch64":
        return None
    for tool in ("aarch64-linux-gnu-gcc", EMULATOR[0]):
        if not shutil.which(tool):
            return "no %s (scripts/setup check installs it)" % tool
    p = subprocess.run([os.path.join(TOP, "scripts", "peers"), "aarch64"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    said = p.stderr.decode("utf-8", "replace").strip() or "scripts/peers aarch64 failed"
    return said.splitlines()[-1] if p.returncode else None


def prefix_of(name):
    """Sanitizers need a known layout of the address space, and on some kernels randomisation occasionally breaks it: it
    is turned off, if a process may do that. Programs for another architecture need an emulator."""
    if name == "aarch64":
        return EMULATOR
    setarch = shutil.which("setarch") if name in SANITIZED else None
    if setarch and subprocess.run([setarch, "-R", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        return [setarch, "-R"]
    return []


def sanitizer_env(name):
    env = dict(BUILDS[name]["env"])
    if name == "tsan" and os.path.exists(SUPPRESSIONS):
        env["TSAN_OPTIONS"] += ":suppressions=" + SUPPRESSIONS
    return env


def helpless(programs):
    """Why the sanitizer of this build works in no program on this machine; None: it does."""
    if not programs:
        return None
    report = run(min(programs, key=lambda p: p.timeout))
    found = HELPLESS.search(report.output) if report.failures else None
    return found and found.group(0).strip()


def listed(builds, soak):
    """The programs of these builds, none of which is made for it. One build that is configured knows the tests of all."""
    known = next((name for name in list(builds) + list(BUILDS) if is_configured(name)), None)
    if not known:
        known = "plain"
        good, said = configure(known)
        if not good:
            sys.exit(said + "check.py: cannot be configured, so the tests are not known")
    # New files since then: the list is made again, nothing is compiled.
    subprocess.run(["ninja", "-C", os.path.join(OUT, known), "build.ninja"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return [p for name in builds for p in programs_of_meson(name, soak, known)] + programs_of_python(builds, soak)


def programs_of_meson(name, soak, known=None):
    """known: the build to ask instead, for a list."""
    text = subprocess.check_output(["meson", "introspect", "--tests", os.path.join(OUT, known or name)]).decode()
    if known and known != name:
        text = text.replace(os.path.join(OUT, known) + "/", os.path.join(OUT, name) + "/")
    found = []
    for t in json.loads(text):
        if name == "aarch64" and known not in (None, name) and t["name"].startswith("machine/"):
            continue  # this build has no machine
        suites = {s.split(":")[-1] for s in t["suite"]}
        if ("soak" in suites) != soak or ("plain" in suites and name != "plain") or ("one-thread" in suites and name == "tsan"):
            continue
        label = "%s %s" % (name, t["name"])
        if name == "aarch64" and ("unit" not in suites or "native" in suites):
            if "unit" in suites:
                found.append(Program(label, ["sh", "-c", "echo its subject is the kernel, or it takes long in an emulator; exit 77"]))
                found[-1].skipped = True
            continue
        found.append(Program(label, prefix_of(name) + t["cmd"], dict(sanitizer_env(name), **t["env"]),
                             t["workdir"] or os.path.join(OUT, name),  # the working directory that `meson test` uses; tests get paths relative to it
                             t["timeout"], suites, limits_of(t["timeout"], BUILDS[name]["slower"], soak)))
    return found


def programs_of_python(builds, soak):
    """A file whose first lines have `# builds: plain asan tsan` runs against each of these, the others against plain. One that
    runs against aarch64 starts its programs by $GODWIT_EMULATOR."""
    folder = os.path.join(TOP, "tests", "soak" if soak else "")
    files = sorted(glob.glob(os.path.join(folder, "**", "test_*.py"), recursive=True))
    if not soak:
        files = [f for f in files if not f.startswith(os.path.join(TOP, "tests", "soak"))]
        files.insert(0, os.path.join(TOP, "tests", "layers.py"))
    found = []
    for path in files:
        with open(path) as f:
            m = re.search(r"^# builds: (.*)$", f.read(500), re.M)
        for name in m.group(1).split() if m else ["plain"]:
            if name not in builds:
                continue
            slower = BUILDS[name]["slower"]
            env = dict(sanitizer_env(name), GODWIT_BUILD=os.path.join(OUT, name), GODWIT_TOP=TOP, GODWIT_SLOW=str(slower),
                       PYTHONDONTWRITEBYTECODE="1")
            if name == "aarch64":  # Python runs natively; the programs it starts are emulated
                env["GODWIT_EMULATOR"] = " ".join(EMULATOR)
            argv = (prefix_of(name) if name != "aarch64" else []) + [sys.executable, "-u", os.path.join(TOP, "tools", "run_unittest.py"), path]
            timeout = PYTHON_TIMEOUT_S * (20 if soak else 1)
            found.append(Program("%s %s" % (name, os.path.relpath(path, TOP)), argv, env, timeout=timeout, limits=limits_of(
                timeout, slower, soak, 30 + PYTHON_SILENCE_S * slower)))
    return found


def say_report(r):
    words = "%d passed" % r.passed
    if r.failures:
        words += ", %d FAILED" % len(r.failures)
    if r.skips:
        words += ", %d skipped" % len(r.skips)
    print("  %-44s %s (%.1f s, CPU %.1f s%s)" % (r.program.label, words, r.seconds, r.cpu_seconds, "; " + r.machine if r.failures else ""),
          flush=True)


def steady_ground():
    """Resets state that was inherited from the parent, and that some programs would fail with."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft if soft >= 0 else most, 4096), most), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--only", default="", help="only programs whose label matches this regular expression")
    ap.add_argument("--builds", default=",".join(BUILDS))
    ap.add_argument("--soak", action="store_true", help="the long runs instead")
    ap.add_argument("--list", action="store_true", help="show what would run, without building anything")
    ap.add_argument("--jobs", type=int, help="always so many at a time; usual: one for each processor, and more while processors are idle")
    args = ap.parse_args()
    began = time.monotonic()
    reports, programs, built = [], [], []
    builds = [b for b in args.builds.split(",") if b]
    steady_ground()

    wrong = [b for b in builds if b not in BUILDS]
    if wrong or not builds:
        ap.error("--builds %s: possible are %s" % (",".join(wrong), ",".join(BUILDS)))
    if args.list or args.only:
        chosen = [p for p in listed(builds, args.soak) if re.search(args.only, p.label)]
        if not chosen:
            ap.error("--only '%s': no program has such a label in these builds; --list tells the labels" % args.only)
        if args.list:
            for p in chosen:
                print("%-44s %s" % (p.label, " ".join(p.argv)))
            return 0
    for name in builds:
        t0 = time.monotonic()
        why = lacking(name)
        if why:
            print("build %s: skipped: %s" % (name, why), flush=True)
            reports.append(Report(Program("build " + name, []), skips=[("all", why)]))
            continue
        trouble = build(name)
        print("build %s: %s (%.1f s)" % (name, "FAILED" if trouble else "done", time.monotonic() - t0), flush=True)
        if trouble:
            reports.append(Report(Program("build " + name, []), failures=[("build", "does not build")], output=trouble))
            continue
        own = programs_of_meson(name, args.soak)
        why = helpless(own) if name in SANITIZED else None
        if why:
            leaks = "LeakSanitizer" in why
            reports.append(Report(Program("build " + name, []), skips=[
                ("leaks" if leaks else "all", "the sanitizer does not work on this machine: " + why)]))
            if not leaks:
                continue
            BUILDS[name]["env"]["ASAN_OPTIONS"] += ":detect_leaks=0"
            own = programs_of_meson(name, args.soak)
        built.append(name)
        programs += own
    programs += programs_of_python(built, args.soak)
    programs = [p for p in programs if re.search(args.only, p.label)]

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, Running.end_all)
    # Long programs first, so that the check does not end with one of them; before them those that take time but no
    # processor.
    programs.sort(key=lambda p: (not p.waits, -p.limits.wall_s))
    # run() is on other threads: signals are delivered to this one, and their handler takes the lock that run() holds.
    for report in crowd.Crowd(args.jobs).run(run, programs):
        reports.append(report)
        say_report(report)

    for r in reports:
        if r.failures:
            print("\n==== %s (%s) ====\n%s" % (r.program.label, r.machine, telling(r.output, r.failures)))
    skips = [(r.program.label, n, why) for r in reports for n, why in r.skips]
    if skips:
        print("\nSkipped:")
        for label, n, why in skips:
            print("  %s %s: %s" % (label, n, why))
    failures = [(r.program.label, n, why) for r in reports for n, why in r.failures]
    if failures:
        print("\nFailed:")
        for label, n, why in failures:
            print("  %s %s: %s" % (label, n, why))
    passed = sum(r.passed for r in reports)
    if not passed and not failures:
        print("\nNothing ran.")
    print("\n%.0f s, CPU %.0f s" % (time.monotonic() - began, sum(r.cpu_seconds for r in reports)))
    print("%d passed, %d failed%s" % (passed, len(failures), ", %d skipped" % len(skips) if skips else ""))
    return 1 if failures or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
