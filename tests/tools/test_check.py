# SPDX-License-Identifier: MIT
"""tools/check.py counts what really happened: nothing that was lost on the way may look like a success."""
import contextlib
import io
import os
import re
import shlex
import signal
import sys
import tempfile
import time
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import check  # noqa: E402
import watch  # noqa: E402

CMOCKA = """[==========] Running 4 test(s).
[ RUN      ] fine
[       OK ] fine
[ RUN      ] wrong
[  ERROR   ] --- 0x1 != 0x2
[   LINE   ] --- t.c:8: error: Failure!
[  FAILED  ] wrong
[ RUN      ] left_out
no /dev/kvm here
[  SKIPPED ] left_out
[ RUN      ] silent
[  SKIPPED ] silent
[==========] 4 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] left_out
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] wrong

 1 FAILED TEST(S)
"""


def limits(silence_s=150, cpu_s=1000, wall_s=1000):
    return watch.Limits(silence_s, cpu_s, wall_s)


def shell(script, **numbers):
    return check.run(check.Program("t", ["/bin/sh", "-c", script], limits=limits(**numbers)))


@contextlib.contextmanager
def end_signals_kept():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    kept = [signal.getsignal(n) for n in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, kept):
            signal.signal(number, handler)


class Outcomes(unittest.TestCase):
    def test_cmocka_output(self):
        passed, failures, skips, seen = check.read_outcomes(CMOCKA)
        self.assertTrue(seen)
        self.assertEqual(passed, 1)
        self.assertEqual([n for n, _ in failures], ["wrong", "silent"])
        self.assertEqual(skips, [("left_out", "no /dev/kvm here")])

    def test_a_crash_in_a_test_is_a_failure(self):
        r = shell("echo '[ RUN      ] one'; kill -SEGV $$")
        self.assertEqual((r.passed, r.failures), (0, [("one", "ended without an outcome (killed by signal 11)")]))

    def test_a_bad_exit_after_good_tests_is_a_failure(self):
        r = shell("echo '[ RUN      ] one'; echo '[       OK ] one'; exit 3")
        self.assertEqual((r.passed, len(r.failures)), (1, 1))

    def test_a_program_without_tests_is_one_test(self):
        self.assertEqual(shell("true").passed, 1)
        self.assertEqual(len(shell("false").failures), 1)
        self.assertEqual(shell("echo no peer; exit 77").skips, [("all", "no peer")])
        self.assertEqual(len(shell("exit 77").failures), 1)

    def test_what_it_cost_is_counted(self):
        """Its own work, and that of its children."""
        idle = shell("true").cpu_seconds
        self.assertGreater(shell("sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; true").cpu_seconds, idle)

    def test_a_hang_is_named_and_all_of_it_is_ended(self):
        with tempfile.TemporaryDirectory() as d:
            mark = os.path.join(d, "pid")
            r = shell("echo '[ RUN      ] good'; echo '[       OK ] good'; echo '[ RUN      ] stuck'; sleep 1000 & echo $! >%s; wait"
                      % shlex.quote(mark), silence_s=2)
            self.assertEqual(r.passed, 1)
            self.assertEqual(len(r.failures), 1)
            self.assertRegex(str(r.failures[0]), r"'stuck', 'was running when the program was ended: no sign of life for 2 s")
            self.assertRegex(r.output, r"(?m)^  \d+/\d+ sleep S ")  # what was there
            with open(mark) as f:
                pid = int(f.read())
            for _ in range(3000):
                try:
                    with open("/proc/%d/stat" % pid) as f:
                        if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                            return
                except OSError:
                    return
                time.sleep(0.02)
            self.fail("the child outlived the hang")

    def test_a_hang_outside_of_tests(self):
        r = shell("sleep 1000", silence_s=1)
        self.assertRegex(str(r.failures), r"^\[\('time', 'no sign of life for 1 s'\)\]$")
        r = shell("echo '[ RUN      ] one'; echo '[       OK ] one'; exec sleep 1000", silence_s=1)
        self.assertEqual(r.passed, 1)
        self.assertRegex(str(r.failures), r"^\[\('time', 'no test was running when the program was ended: no sign of life")
        r = shell("sleep 1000 & exit 0", silence_s=1)  # one that was left with the output
        self.assertRegex(str(r.failures), "no sign of life")
        r = shell("exec >&- 2>&-; sleep 1000", silence_s=1)  # and one that has closed it
        self.assertRegex(str(r.failures), "no sign of life")

    def test_stack_traces_of_a_hang(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "test_x.py")
            with open(path, "w") as f:
                f.write("import time, unittest\n"
                        "class T(unittest.TestCase):\n"
                        "    def test_stuck(self):\n"
                        "        time.sleep(1000)\n")
            argv = [sys.executable, os.path.join(TOP, "tools", "run_unittest.py"), path]
            r = check.run(check.Program("t", argv, limits=limits(silence_s=5)))
            self.assertRegex(str(r.failures), r"'T.test_stuck', 'was running")
            self.assertIn("test_x.py\", line 4 in test_stuck", r.output)

    def test_one_that_spins_is_ended(self):
        r = shell("echo '[ RUN      ] spin'; while :; do :; done", cpu_s=1)
        self.assertRegex(str(r.failures), r"'spin', 'was running when .*: nothing printed while it used \d+ s of processor time")

    def test_one_that_prints_for_ever_is_ended(self):
        r = shell("while :; do echo more; sleep 0.01; done", silence_s=1, wall_s=2)
        self.assertRegex(str(r.failures), r"'time', 'not done after 2 s")

    def test_who_works_or_prints_lives(self):
        # Each for several times the limit: by lines, by processor time, in a session of its own, and by the last in turn.
        for script in ("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.5; done",
                       "exec timeout 6 sh -c 'while :; do :; done'",
                       "setsid -w timeout 6 sh -c 'while :; do :; done'"):
            r = shell(script + "; true", silence_s=2)
            self.assertNotIn("sign of life", str(r.failures), script)

    def test_signs_of_life(self):
        """With numbers of our own: no time passes here."""
        limits = watch.Limits(100, 50, 1000)
        life = watch.Life(limits)
        life.busy.share = lambda: 1.0
        cpu = {}

        def look(used_s, passed_s=5):
            cpu[0] = cpu.get(0, 0) + int(used_s * watch.TICKS)
            return life.look(passed_s, {-1: [b"0"] * 11 + [b"%d" % cpu[0], b"0", b"0", b"0"]})

        for _ in range(19):
            self.assertIsNone(look(0.1))
        self.assertIsNone(look(1))  # worked again
        for _ in range(19):
            self.assertIsNone(look(0.1))
        life.output()
        for _ in range(19):
            self.assertIsNone(look(0))
        self.assertEqual(look(0), "no sign of life for 100 s")
        # This process was not let run for an hour: that is nobody's silence.
        life = watch.Life(limits)
        life.busy.share = lambda: 1.0
        cpu.clear()
        for _ in range(9):
            self.assertIsNone(look(0, 3600))
        # Processor time without a line; lines that never end.
        life = watch.Life(limits)
        life.busy.share = lambda: 0.5
        cpu.clear()
        for _ in range(9):
            self.assertIsNone(look(5))
        self.assertEqual(look(5), "nothing printed while it used 50 s of processor time")
        for _ in range(389):
            life.output()
            self.assertIsNone(look(1))
        life.output()
        self.assertEqual(look(1), "not done after 1000 s")

    def test_one_who_wants_a_processor_is_not_silent(self):
        life = watch.Life(watch.Limits(100, 50, 1000))
        kept, watch.threads = watch.threads, lambda pids: [("S", ""), ("R", "")]
        try:
            for _ in range(100):
                self.assertIsNone(life.look(5, {}))
        finally:
            watch.threads = kept

    def test_whatever_it_left_behind_is_ended(self):
        with tempfile.TemporaryDirectory() as d:
            r = shell("cd %s; setsid sh -c 'touch here; exec sleep 100' >/dev/null 2>&1 & "
                      "until [ -e %s/here ]; do sleep 0.02; done" % (shlex.quote(d), shlex.quote(d)))
            self.assertIn("left behind, and ended now: ", r.output)
            self.assertEqual((r.passed, r.failures), (1, []))

    def test_nothing_is_run_twice(self):
        """One that fails the first time only has failed."""
        with tempfile.TemporaryDirectory() as d:
            runs = shlex.quote(os.path.join(d, "runs"))
            once = check.Program("t", ["/bin/sh", "-c", "echo >>%s; [ $(wc -l <%s) -gt 1 ]" % (runs, runs)], suites=["timed", "alone"])
            with contextlib.redirect_stdout(io.StringIO()) as said:
                kept = check.build, check.programs_of_meson, check.programs_of_python, sys.argv
                check.build, check.programs_of_meson = (lambda name: None), (lambda name, soak: [once])
                check.programs_of_python, sys.argv = (lambda builds, soak: []), ["check.py", "--builds", "plain"]
                try:
                    with end_signals_kept():
                        status = check.main()
                finally:
                    check.build, check.programs_of_meson, check.programs_of_python, sys.argv = kept
            self.assertEqual(status, 1)
            self.assertTrue(said.getvalue().endswith("0 passed, 1 failed\n"), said.getvalue())
            self.assertRegex(said.getvalue(), r"load [\d.]+ on \d+ processor")

    def listed(self, *argv):
        """Standard output of --list and the like, in a world where nothing can be built. Its exit status, if it is no return."""
        kept = check.build, sys.argv

        def no_build(name):
            raise AssertionError("%s was built" % name)
        check.build, sys.argv = no_build, ["check.py", *argv]
        try:
            with end_signals_kept(), contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(said):
                try:
                    status = check.main()
                except SystemExit as e:
                    status = e.code
        finally:
            check.build, sys.argv = kept
        return status, said.getvalue()

    def test_a_list_needs_no_build(self):
        status, said = self.listed("--list")
        labels = [re.split(r"  +", line)[0] for line in said.splitlines()]
        self.assertEqual(status, 0, said)
        for label in ("plain base/bitmap", "asan base/bitmap", "tsan base/bitmap", "aarch64 base/bitmap", "plain tests/layers.py"):
            self.assertEqual(labels.count(label), 1, label)
        status, said = self.listed("--list", "--builds", "tsan")
        self.assertTrue(said and all(line.startswith("tsan ") for line in said.splitlines()), said)
        self.assertNotIn("/plain/", said)

    def test_nothing_to_check_is_an_error(self):
        for argv in (["--builds", ""], ["--builds", "plain,fast"], ["--only", "tests/layers", "--builds", "tsan"]):
            status, said = self.listed(*argv)
            self.assertEqual(status, 2, said)
            self.assertIn(argv[0], said)

    def test_what_is_shown_of_a_long_output(self):
        lines = []
        for name in ("good", "bad", "worse", "last"):
            lines += ["[ RUN      ] " + name] + ["%s %d" % (name, i) for i in range(1000)]
            lines += [] if name == "last" else ["[ %8s ] %s" % ("OK" if name == "good" else "FAILED", name), "---- log of " + name]
        shown = check.telling("\n".join(lines), [("bad", "failed"), ("worse", "failed"), ("last", "ended without an outcome")])
        for text in ("bad 0\n", "bad 999\n", "---- log of bad\n", "---- log of worse\n", "last 999"):
            self.assertIn(text, shown)
        for text in ("good 0\n", "good 999\n", "bad 500\n"):
            self.assertNotIn(text, shown)
        self.assertLess(shown.count("\n"), 3 * check.TELLING_LINES + 10)
        self.assertEqual(check.telling("a\nb\n", [("x", "failed")]), "a\nb")

    def test_a_sanitizer_that_cannot_work_is_told_from_one_that_finds_something(self):
        for text, helpless in (("FATAL: ThreadSanitizer: unexpected memory mapping 0x5a-0x5b", True),
                               ("WARNING: ThreadSanitizer: data race (pid=1)", False),
                               ("==1==LeakSanitizer has encountered a fatal error.", True),
                               ("AddressSanitizer:DEADLYSIGNAL", False)):
            program = check.Program("t", ["/bin/sh", "-c", "echo '%s'; exit 66" % text])
            self.assertEqual(bool(check.helpless([program])), helpless, text)
        self.assertIsNone(check.helpless([check.Program("t", ["/bin/sh", "-c", "echo 'Sanitizer failed to allocate'"])]))

    def test_unittest_runner_speaks_the_same_form(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "test_x.py")
            with open(path, "w") as f:
                f.write("import unittest\n"
                        "class T(unittest.TestCase):\n"
                        "    def test_ok(self): pass\n"
                        "    def test_bad(self): self.assertTrue(False)\n"
                        "    def test_skip(self): self.skipTest('because')\n"
                        "    def test_sub(self):\n"
                        "        for i in range(3):\n"
                        "            with self.subTest(i): self.assertNotEqual(i, 1)\n"
                        "    def test_sub_skip(self):\n"
                        "        with self.subTest(0): self.skipTest('lacks')\n"
                        "    def test_sub_skip_bad(self):\n"
                        "        for i in range(2):\n"
                        "            with self.subTest(i): self.fail() if i else self.skipTest('lacks')\n"
                        "class S(unittest.TestCase):\n"
                        "    @classmethod\n"
                        "    def setUpClass(cls): raise RuntimeError('no')\n"
                        "    def test_never(self): pass\n")
            r = check.run(check.Program("t", [sys.executable, os.path.join(TOP, "tools", "run_unittest.py"), path], timeout=60))
            self.assertEqual(r.passed, 1, r.output)
            self.assertEqual(r.skips, [("T.test_skip", "because"), ("T.test_sub_skip", "T.test_sub_skip [0]: lacks")], r.output)
            self.assertEqual(len(r.failures), 4, r.output)


if __name__ == "__main__":
    unittest.main()
