# SPDX-License-Identifier: MIT
"""The rules of the house that a machine can check: who includes whom, sizes, names, no global state, documented headers."""
import os
import re
import shutil
import subprocess
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
MAX_LINES = 500
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
SOURCES = (".c", ".h", ".S", ".ld", ".py", ".def")

# Written so that this file does not contain what it looks for.
FORBIDDEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK|Clau" r"de|Anthro" r"pic|Chat" r"GPT|LL" r"M)\b|/wo" r"rk/")
# What a library that does not print, exit or look at its environment has no use for.
UNWELCOME = {"printf", "vprintf", "fprintf", "vfprintf", "puts", "putchar", "fputs", "perror", "exit", "abort", "getenv",
             "secure_getenv", "stdout", "stderr", "__printf_chk", "__fprintf_chk", "__vfprintf_chk"}

# Sources without a unit test of their own, and why. A new one needs a test at the mirrored path instead: src/a/b.c has
# tests/unit/a/test_b.c. Short lists stay short: an entry whose test is there is a mistake too.
UNMIRRORED = {
    "engine/guest_here.c": "glue: four calls that go on to others",
}

# Files that are longer than MAX_LINES. One that is split leaves this list, and none joins it.
LONG = {
    "src/engine/send.c",
    "src/ram/lane/lanes.c",
    "tests/errors/test_strangers.c",
    "tests/interop/harness.py",
    "tests/interop/none_vm.c",
    "tests/interop/test_ctl.py",
    "tests/sim/test_memory.c",
    "tests/sim/test_snapshot.c",
    "tests/unit/channel/test_listen.c",
    "tests/unit/control/fake_engine.c",
    "tests/unit/image/parked/test_stage.c",
    "tests/unit/image/parked/test_write.c",
}

# Who may look which capabilities are on: plan.c and its parts decide what a session is made of, and the others see what was planned.
# Beside them, so many times in these: what this machine or this address cannot do is refused before there is a plan.
DECIDERS = re.compile(r"src/engine/(plan\w*|options\w*|features)\.[ch]$")
LOOK_BEFORE = {"src/engine/preempt.c": 1, "src/engine/send.c": 4}

# What a C++ program does with the headers.
CPP = """
static int stop(void *, gw_error *) { return 0; }
static bool running(void *) { return false; }

int main()
{
    gw_vm_ops ops = {};
    gw_vm_config config = {};
    gw_send_config to = {};
    gw_stats stats = {};
    gw_error err = GW_ERROR_INIT;
    gw_vm *vm = nullptr;
    gw_send *send = nullptr;

    ops.bytes = sizeof ops;
    ops.stop = ops.start = stop;
    ops.running = running;
    config.machine = "m";
    config.page_bytes = 4096;
    config.ops = &ops;
    config.clock = &gw_clock_real;
    to.uri = "tcp:localhost:4444";
    if (gw_vm_new(&config, &vm, &err) == 0 && gw_send_start(vm, &to, &send, &err) == 0)
        gw_send_stats(send, &stats);
    return (int)stats.rounds;
}
"""


def files():
    if os.path.exists(os.path.join(TOP, ".git")):
        out = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, text=True).splitlines()
    else:  # a source archive
        out = [os.path.relpath(os.path.join(d, f), TOP) for d, _, names in os.walk(TOP) for f in names]
        out = [f for f in out if not f.startswith("build") and "__pycache__" not in f]
    return sorted(f for f in out if os.path.isfile(os.path.join(TOP, f)))


def some(paths):
    """A rule for which there is nothing to check would always hold."""
    paths = list(paths)
    assert paths, "there is nothing to check"
    return paths


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def layers():
    """layer name -> rank; equal ranks may not include each other."""
    ranks, rank = {}, 0
    for line in read("tools/layers.txt").splitlines():
        words = line.split("#")[0].split()
        if words:
            rank += 1
            ranks.update((w, rank) for w in words)
    return ranks


def layer_of(path, ranks):
    """The layer of a file, told relative to src/: the longest folder above it that layers.txt names, or None."""
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in ranks:
        parts.pop()
    return "/".join(parts) or None


def no_comments(text):
    return re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)


class Layers(unittest.TestCase):
    def none(self, wrong):
        self.assertFalse(wrong, "\n  " + "\n  ".join(wrong))

    def test_src_includes_downward_only(self):
        ranks, wrong = layers(), []
        for path in some(f for f in files() if f.startswith("src/") and f.endswith((".c", ".h", ".def"))):
            own = layer_of(path[len("src/"):], ranks)
            if own is None:
                wrong.append("%s: no folder above it is in tools/layers.txt" % path)
                continue
            for inc in INCLUDE.findall(no_comments(read(path))):
                if inc.startswith("godwit/"):
                    continue
                if os.path.isfile(os.path.join(TOP, os.path.dirname(path), inc)):
                    inc = os.path.relpath(os.path.join(os.path.dirname(path), inc), "src")
                elif not os.path.isfile(os.path.join(TOP, "src", inc)):
                    continue  # generated by the build
                other = layer_of(inc, ranks)
                if other != own and not (other in ranks and ranks[other] < ranks[own]):
                    wrong.append('%s: "%s": %s may not include %s' % (path, inc, own, other))
        self.none(wrong)

    def test_programs_use_the_public_api_only(self):
        wrong = []
        for path in some(f for f in files() if f.startswith(("cli/", "machine/", "examples/")) and f.endswith((".c", ".h"))):
            folder = path.split("/")[0]
            for inc in INCLUDE.findall(no_comments(read(path))):
                own = any(os.path.isfile(os.path.join(TOP, d, inc)) for d in (os.path.dirname(path), folder))
                if folder == "cli" and inc.startswith("machine/"):
                    own = True  # `godwit vm` is the command's face of the machine
                if not inc.startswith("godwit/") and not own and os.path.exists(os.path.join(TOP, "src", inc)):
                    wrong.append('%s: "%s" is internal to the library' % (path, inc))
        self.none(wrong)

    def test_public_headers_include_public_headers_only(self):
        wrong = []
        for path in some(f for f in files() if f.startswith("include/")):
            wrong += ['%s: "%s"' % (path, i) for i in INCLUDE.findall(read(path)) if not i.startswith("godwit/")]
        self.none(wrong)

    def test_no_file_is_too_long(self):
        wrong = []
        sources = some(f for f in files() if f.endswith(SOURCES) or f.startswith("scripts/"))
        for path in sources:
            n = read(path).count("\n")
            if n > MAX_LINES and path not in LONG:
                wrong.append("%s: %d lines, at most %d" % (path, n, MAX_LINES))
            elif n <= MAX_LINES and path in LONG:
                wrong.append("%s: %d lines: it is no exception (LONG) any more" % (path, n))
        wrong += ["%s: an exception for a file that is not there" % f for f in sorted(LONG) if f not in sources]
        self.none(wrong)

    def test_every_source_has_a_unit_test_that_mirrors_it(self):
        wrong, sources = [], some(f[len("src/"):-len(".c")] for f in files() if f.startswith("src/") and f.endswith(".c"))
        for source in sources:
            folder, name = os.path.split(source)
            test = os.path.join("tests/unit", folder, "test_%s.c" % name)
            there, excepted = os.path.isfile(os.path.join(TOP, test)), source + ".c" in UNMIRRORED
            if not there and not excepted:
                wrong.append("src/%s.c: there is no %s" % (source, test))
            elif there and excepted:
                wrong.append("%s is there: src/%s.c is no exception any more" % (test, source))
        wrong += ["%s: an exception for a source that is not there" % e for e in UNMIRRORED if e[:-len(".c")] not in sources]
        self.none(wrong)

    def test_every_unit_test_is_built(self):
        """One that no meson.build names would never fail."""
        wrong = []
        for path in some(f for f in files() if re.match(r"tests/unit/(.*/)?test_[^/]*\.c$", f)):
            folder, name = os.path.split(path)
            builds = [b for b in (os.path.join(folder, "meson.build"), os.path.join(os.path.dirname(folder), "meson.build"))
                      if os.path.isfile(os.path.join(TOP, b))]
            if not any(re.search(r"'%s'|test_%s\.c'" % (name[len("test_"):-2], name[len("test_"):-2]), read(b)) for b in builds):
                wrong.append(path)
        self.none(wrong)

    def test_only_the_plan_looks_what_is_on(self):
        wrong, found = [], 0
        for path in some(f for f in files() if f.startswith("src/") and f.endswith((".c", ".h"))):
            n = len(re.findall(r"\bgw_options_cap\(", no_comments(read(path))))
            found += n
            if not DECIDERS.match(path) and n != LOOK_BEFORE.get(path, 0):
                wrong.append("%s looks %d times which capabilities are on, and should %d times: put it into gw_plan_ways (plan.h)"
                             % (path, n, LOOK_BEFORE.get(path, 0)))
        self.assertTrue(found)
        self.none(wrong)

    def test_every_fuzz_target_that_judges_has_files_to_judge(self):
        """tests/golden/TARGET/accept and reject: files, each with a .txt that says where it is from and what is wrong with it."""
        wrong, all_files = [], files()
        targets = {os.path.basename(f)[len("fuzz_"):-2] for f in all_files if re.match(r"tests/fuzz/fuzz_\w+\.c$", f)}
        judges = {t for t in targets if re.search(r"FUZZ_VERDICT\(|return fuzz_image\(", read("tests/fuzz/fuzz_%s.c" % t))}
        folders = {}
        for path in all_files:
            m = re.match(r"tests/golden/([^/]+)/(accept|reject)/(.+)$", path)
            if m:
                folders.setdefault(m.group(1), {}).setdefault(m.group(2), set()).add(m.group(3))
        self.assertTrue(judges)
        for target in sorted(judges):
            for kind in ("accept", "reject"):
                if not folders.get(target, {}).get(kind):
                    wrong.append("tests/golden/%s/%s: no file, and fuzz_%s.c says what it thinks of its input" % (target, kind, target))
        for target, kinds in sorted(folders.items()):
            if target not in judges:
                wrong.append("tests/golden/%s: fuzz_%s.c does not say what it thinks of its input (verdict.h)" % (target, target))
            for kind, names in kinds.items():
                wrong += ["tests/golden/%s/%s/%s: no %s.txt beside it" % (target, kind, n, n)
                          for n in names if not n.endswith(".txt") and n + ".txt" not in names]
                wrong += ["tests/golden/%s/%s/%s: of nothing" % (target, kind, n)
                          for n in names if n.endswith(".txt") and n[:-4] not in names]
        self.none(wrong)

    def test_every_file_says_its_licence(self):
        wrong = []
        for path in some(f for f in files() if f.endswith(SOURCES) or f.startswith("scripts/") or f == "Makefile"):
            if "SPDX-License-Identifier: MIT" not in "\n".join(read(path).splitlines()[:4]):
                wrong.append(path)
        self.none(wrong)

    def test_no_forbidden_words(self):
        wrong = []
        for path in some(f for f in files() if not f.endswith((".bin", ".gz", ".zst", ".png"))):
            for i, line in enumerate(read(path).splitlines(), 1):
                if FORBIDDEN.search(line):
                    wrong.append("%s:%d: %s" % (path, i, line.strip()[:100]))
        self.none(wrong)


class PublicHeaders(unittest.TestCase):
    def headers(self):
        return some(f for f in files() if f.startswith("include/") and f.endswith(".h"))

    def test_every_function_is_documented(self):
        """A comment directly before the declaration or in the same paragraph."""
        wrong = []
        for path in self.headers():
            for paragraph in re.split(r"\n\s*\n", read(path)):
                if re.search(r"^GW_API\b", paragraph, re.M) and "/*" not in paragraph:
                    wrong.append("%s: %s" % (path, paragraph.strip().splitlines()[0]))
        self.assertFalse(wrong, "\n  " + "\n  ".join(wrong))

    def test_each_compiles_alone(self):
        for path in self.headers():
            with self.subTest(path):
                p = subprocess.run(["cc", "-x", "c", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-include",
                                    path[len("include/"):], "-I", "include", "/dev/null"], cwd=TOP, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
                self.assertEqual(p.returncode, 0, p.stdout)

    def test_all_compile_as_cpp(self):
        """All of them in one C++ program that calls the inline functions. Tables of fields (state.h) are made in C."""
        compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
        if not compiler:
            self.skipTest("no C++ compiler")
        program = "#include <godwit/godwit.h>\n" + CPP
        for standard in ("c++11", "c++17", "c++20"):
            p = subprocess.run([compiler, "-x", "c++", "-std=" + standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                                "-fsyntax-only", "-I", "include", "-"], cwd=TOP, input=program, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
            self.assertEqual(p.returncode, 0, "%s: %s" % (standard, p.stdout))


class Library(unittest.TestCase):
    """What the built library has in it."""

    def archive(self):
        path = os.path.join(BUILD, "src", "libgodwit.a")
        self.assertTrue(os.path.exists(path), "%s is not built" % path)
        return path

    def symbols(self):
        """(member, name, type, section) of the archive."""
        out = subprocess.check_output(["nm", "-f", "sysv", self.archive()], text=True)
        member = ""
        for line in out.splitlines():
            m = re.match(r"^(?:Symbols|Undefined symbols) from (.*):$", line)
            if m:
                member = m.group(1).split("[")[-1].rstrip("]")
                continue
            cells = [c.strip() for c in line.split("|")]
            if len(cells) == 7:
                yield member, cells[0], cells[2], cells[6]

    def test_no_mutable_statics(self):
        wrong = []
        for member, name, kind, section in some(self.symbols()):
            constant = section.startswith((".rodata", ".data.rel.ro", ".text"))
            if kind in "dDbBCsSgG" and kind and not constant:
                wrong.append("%s: %s lies in %s" % (member, name, section or "common"))
        self.assertFalse(wrong, "\n  " + "\n  ".join(wrong))

    def test_does_not_print_exit_or_read_the_environment(self):
        wrong = ["%s: uses %s" % (m, n) for m, n, kind, _ in some(self.symbols()) if kind == "U" and n in UNWELCOME]
        self.assertFalse(wrong, "\n  " + "\n  ".join(wrong))

    def test_exports_what_the_headers_declare_and_nothing_else(self):
        """Both ways: nothing is exported that no header declares, and nothing is declared that a program cannot link."""
        path = os.path.join(BUILD, "src", "libgodwit.so")
        out = subprocess.check_output(["nm", "-D", "--defined-only", path], text=True)
        lines = [line.split() for line in out.splitlines()]
        exported = {name for _, kind, name in lines if kind in "TDBRVW" and not name.startswith("GODWIT_")}
        text = "".join(no_comments(read(f)) for f in files() if f.startswith("include/"))
        declared = set(re.findall(r"GW_API[^;{]*?\b(gw_\w+)\s*(?:\(|;|\[)", text))
        self.assertTrue(exported and declared)
        self.assertFalse(sorted(n for n in exported if not re.fullmatch(r"gw_\w+@@GODWIT_\d+\.\d+", n)),
                         "exported with a foreign name, or without a version")
        exported = {n.split("@")[0] for n in exported}
        self.assertFalse(sorted(exported - declared), "exported, in no public header")
        self.assertFalse(sorted(declared - exported), "in a public header, but not exported: src/libgodwit.map")

    def test_versions_of_the_map_exist(self):
        """A block is named for a version up to the headers' own: a symbol cannot come with a version before its time."""
        text = read("include/godwit/version.h")
        own = tuple(int(re.search(r"#define GW_VERSION_%s (\d+)" % part, text).group(1)) for part in ("MAJOR", "MINOR"))
        blocks = [tuple(map(int, m)) for m in re.findall(r"^GODWIT_(\d+)\.(\d+) \{", read("src/libgodwit.map"), re.M)]
        self.assertTrue(blocks)
        self.assertEqual(blocks, sorted(blocks))
        self.assertLessEqual(blocks[-1], own)


if __name__ == "__main__":
    unittest.main()
