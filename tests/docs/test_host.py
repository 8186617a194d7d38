# SPDX-License-Identifier: MIT
"""`godwit check` against what Python sees of this host, and `godwit --version` against what was built."""
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import BUILD, DEADLINE_S, SLOW, built  # noqa: E402

USERFAULTFD, IO_URING_SETUP, SO_ZEROCOPY = {"x86_64": (323, 425, 60), "aarch64": (282, 425, 60)}[os.uname().machine]


def godwit(*argv, **options):
    return subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S * SLOW, **options)


def call(number, *arguments):
    """A system call that makes a descriptor: whether it does."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def can_open(path, flags):
    try:
        os.close(os.open(path, flags, 0o600))
    except OSError:
        return False
    return True


def zero_copy():
    with socket.socket() as s:
        try:
            s.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
        except OSError:
            return False
    return True


class Host(unittest.TestCase):
    def report(self, *argv, **options):
        r = godwit("check", "--json", *argv, **options)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        return json.loads(r.stdout)

    def facts(self, *argv, **options):
        return {f["name"]: f for f in self.report(*argv, **options)["host"]}

    def test_what_is_there(self):
        facts = self.facts()
        self.assertEqual(facts["kvm"]["there"], can_open("/dev/kvm", os.O_RDWR))
        self.assertEqual(facts["io-uring"]["there"], call(IO_URING_SETUP, 1, bytes(120)))
        self.assertEqual(facts["zero-copy"]["there"], zero_copy())
        if call(USERFAULTFD, os.O_CLOEXEC):
            self.assertTrue(facts["userfaultfd"]["there"], facts["userfaultfd"])
        release = tuple(map(int, re.match(r"(\d+)\.(\d+)", os.uname().release).groups()))
        if facts["pagemap-scan"]["there"]:
            self.assertGreaterEqual(release, (6, 7))

    def test_what_is_missing_has_a_reason(self):
        for name, f in self.facts("--directory", "/nowhere").items():
            self.assertTrue(f["for"] and f["detail"], name)
            if not f["there"] and name != "soft-dirty":
                self.assertTrue(f["advice"], name)
        self.assertFalse(f["there"])
        self.assertIn("/nowhere", f["detail"])

    def test_one_line_each(self):
        r = godwit("check")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        names = re.findall(r"^(?:yes|no ) (\S+)", r.stdout, re.M)
        self.assertEqual(names, list(self.facts()))
        self.assertLess(r.stdout.count("\n"), 45)
        for line in r.stdout.splitlines():
            self.assertLessEqual(len(line), 100 if line.startswith(("yes", "no ")) else 80, line)

    def test_needs(self):
        """One that is there and one that is not, whatever this host is: no files can be made in /proc."""
        for argv, status in (([], 0), (["--need", "jansson"], 0), (["--need", "jansson", "--need", "direct-io"], 3)):
            r = godwit("check", "--directory", "/proc", *argv)
            self.assertEqual(r.returncode, status, argv)
            self.assertEqual("NEEDED" in r.stdout, status == 3)
        r = godwit("check", "--quiet", "--directory", "/proc", "--need", "direct-io")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (3, "", ""))
        r = godwit("check", "--json", "--directory", "/proc", "--need", "direct-io")
        self.assertIs(json.loads(r.stdout)["all_needed_there"], False)

    def test_wrong_usage(self):
        r = godwit("check", "--need", "wings")
        self.assertEqual((r.returncode, r.stdout), (2, ""))
        self.assertEqual(r.stderr.count("\n"), 1)
        self.assertIn("wings", r.stderr)
        self.assertEqual(godwit("check", "surplus").returncode, 2)

    def test_leaves_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            self.facts("--directory", folder, cwd=folder)
            self.assertEqual(os.listdir(folder), [])

    def test_a_user_who_may_less(self):
        """With hardly any descriptors left it still tells everything."""
        r = subprocess.run(["sh", "-c", "ulimit -n 4; exec \"$@\"", "sh", built("cli/godwit"), "check", "--json"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        if "error while loading" not in r.stderr:
            self.assertEqual(r.returncode, 0, r.stderr)
            self.assertEqual([f["name"] for f in json.loads(r.stdout)["host"]], list(self.facts()))


class BuiltIn(unittest.TestCase):
    def test_version(self):
        r = godwit("--version")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        first, *lines = r.stdout.splitlines()
        with open(os.path.join(TOP, "meson.build")) as f:
            self.assertEqual(first, "godwit " + re.search(r"version: '([^']+)'", f.read()).group(1))
        told = {line.split()[0]: line.split()[1] for line in lines}
        for name, version in told.items():
            self.assertRegex(version, r"^(no|yes|\d+\.\d+.*)$", name)
        self.assertEqual(told["unicorn"] != "no", os.path.exists(os.path.join(BUILD, "machine", "libmachine.a.p", "accel_unicorn.c.o")))
        report = json.loads(godwit("check", "--json").stdout)
        self.assertEqual({p["name"]: p["there"] for p in report["built_in"]}, {n: v != "no" for n, v in told.items()})


if __name__ == "__main__":
    unittest.main()
