# SPDX-License-Identifier: MIT
"""tools/check.py counts what really happened: nothing that was lost on the way may look like a success."""
import os
import sys
import tempfile
import time
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import check  # noqa: E402

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


def shell(script, timeout=60):
    return check.run(check.Program("t", ["/bin/sh", "-c", script], timeout=timeout))


class Outcomes(unittest.TestCase):
    def test_cmocka_output(self):
        passed, failures, skips, seen = check.read_outcomes(CMOCKA)
        self.assertTrue(seen)
        self.assertEqual(passed, 1)
        self.assertEqual([n for n, _ in failures], ["wrong", "silent"])
        self.assertEqual(skips, [("left_out", "no /dev/kvm here")])

    def test_a_crash_in_a_test_is_a_failure(self):
        r = shell("echo '[ RUN      ] one'; kill -SEGV $$")
        self.assertEqual((r.passed, r.failures), (0, [("one", "ended without an outcome")]))

    def test_a_bad_exit_after_good_tests_is_a_failure(self):
        r = shell("echo '[ RUN      ] one'; echo '[       OK ] one'; exit 3")
        self.assertEqual((r.passed, len(r.failures)), (1, 1))

    def test_a_program_without_tests_is_one_test(self):
        self.assertEqual(shell("true").passed, 1)
        self.assertEqual(len(shell("false").failures), 1)
        self.assertEqual(shell("echo no peer; exit 77").skips, [("all", "no peer")])
        self.assertEqual(len(shell("exit 77").failures), 1)

    def test_time_out_kills_all_of_it(self):
        with tempfile.TemporaryDirectory() as d:
            mark = os.path.join(d, "pid")
            for timeout in (0.5, 5, 50):  # the shell has to have come so far
                r = shell("sleep 100 & echo $! >%s; wait" % mark, timeout=timeout)
                self.assertEqual(r.failures[-1][0], "time")
                if os.path.exists(mark) and os.path.getsize(mark):
                    break
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
            self.fail("the child outlived the time-out")

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
                        "class S(unittest.TestCase):\n"
                        "    @classmethod\n"
                        "    def setUpClass(cls): raise RuntimeError('no')\n"
                        "    def test_never(self): pass\n")
            r = check.run(check.Program("t", [sys.executable, os.path.join(TOP, "tools", "run_unittest.py"), path], timeout=60))
            self.assertEqual(r.passed, 1, r.output)
            self.assertEqual(r.skips, [("T.test_skip", "because")], r.output)
            self.assertEqual(len(r.failures), 3, r.output)


if __name__ == "__main__":
    unittest.main()
