# SPDX-License-Identifier: MIT
"""How the command answers to what it does not do: one line that begins with its name, and a status that says so."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, with_machine  # noqa: E402

GODWIT = os.path.join(BUILD, "cli", "godwit")


def godwit(*argv, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([GODWIT, *argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=DEADLINE_S * SLOW, **options)


class Missing(unittest.TestCase):
    """What the manual of the whole has, and is not there yet."""

    def refused(self, command, *argv, why="yet"):
        r = godwit(command, *argv)
        self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
        self.assertRegex(r.stderr, r"\Agodwit %s: .*\n\Z" % command)
        self.assertIn(why, r.stderr)

    def test_commands(self):
        for command in ("relay", "guard"):
            self.refused(command)
            self.refused(command, "--help")
            self.refused(command, "a", "b", "--quiet")

    def test_options(self):
        self.refused("send", "a", "b", "--tls-creds", "x", why="TLS: not in this build")
        self.refused("receive", "a", "--output", "b", "--tls-creds=x", why="TLS: not in this build")


class Unknown(unittest.TestCase):
    def test_option(self):
        for command in ("convert", "diff", "extract", "inspect", "receive", "salvage", "send", "serve", "verify"):
            r = godwit(command, "--no-such-option")
            self.assertEqual(r.returncode, 2)
            self.assertTrue(r.stderr.startswith("godwit %s: " % command), r.stderr)


class Schema(unittest.TestCase):
    def setUp(self):
        with_machine()

    def test_help(self):
        for argv in (["--help"], ["dump", "--help"], ["check", "--help"]):
            r = godwit("schema", *argv)
            self.assertEqual((r.returncode, r.stderr), (0, ""))
            self.assertTrue(r.stdout.startswith("usage: godwit schema"))

    def test_cpus(self):
        for value in ("abc", "", "0", "-1", "1x", "33", "99999999999999999999"):
            r = godwit("schema", "dump", "--cpus", value)
            self.assertEqual((r.returncode, r.stdout), (2, ""), value)
            self.assertEqual(r.stderr, "godwit schema: --cpus %s: a number from 1 to 32 is expected\n" % value)
        self.assertEqual(godwit("schema", "dump", "--cpus", "2").returncode, 0)

    def test_full_disk(self):
        schema = godwit("schema", "dump").stdout
        with open("/dev/full", "w") as full:
            r = godwit("schema", "dump", stdout=full)
            self.assertEqual((r.returncode, r.stderr), (1, "godwit schema: writing: No space left on device\n"))
            with tempfile.NamedTemporaryFile("w") as f:
                f.write(schema)
                f.flush()
                for argv in ([], ["--json"]):
                    r = godwit("schema", "check", *argv, f.name, f.name, stdout=full)
                    self.assertEqual((r.returncode, r.stderr), (1, "godwit schema: writing: No space left on device\n"))
                self.assertEqual(godwit("schema", "check", "--quiet", f.name, f.name).returncode, 0)


if __name__ == "__main__":
    unittest.main()
