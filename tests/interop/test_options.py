# SPDX-License-Identifier: MIT
"""Common behaviour of all commands: options, errors in them, output that cannot be written."""
import gzip
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, built, read_file, with_machine, write_file  # noqa: E402

CAPTURES = os.path.join(TOP, "tests", "golden", "captures")


class Options(Case):
    def godwit(self, *argv, status, stdout=subprocess.PIPE):
        r = subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                           text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, status, "%s: %s%s" % (argv, r.stdout, r.stderr))
        return r

    def machine(self):
        return write_file(self.path("machine"), gzip.decompress(read_file(os.path.join(CAPTURES, "precopy-microvm-10.0.bin.gz"))))

    def test_options(self):
        """Long, short, joined, cut, behind the arguments; the last one counts."""
        m = self.machine()
        for argv in (["verify", "--quiet", m], ["verify", m, "-q"], ["verify", "--qui", m], ["verify", "-q", "--", m],
                     ["diff", "-q", m, m]):
            r = self.godwit(*argv, status=0)
            self.assertEqual((r.stdout, r.stderr), ("", ""), argv)
        out = self.path("out")
        for more in (["--level", "1", "--level=3"], ["--threads=2", "-f"], ["-fq"]):
            self.godwit("convert", m, out, "--force", "--format=stream", "--format", "parked", *more, status=0)
        self.assertEqual(self.godwit("diff", m, out, status=0).stdout, "no difference\n")
        self.assertEqual(self.godwit("extract", m, "--device", "timer", "--device=cpu", self.path("cpu"), "-q", status=0).stdout, "")
        self.assertEqual(os.path.getsize(self.path("cpu")), 1851)

    def test_mistakes(self):
        m, out = self.machine(), self.path("out")
        for argv, says in ((["verify", "--nonsense", m], "no option --nonsense"), (["diff", m], "godwit diff: B is missing"),
                           (["convert", m, out, "--format", "parked", "--level", "23"], "--level 23: a number up to 22 is expected"),
                           (["convert", m, out, "--format", "parked", "--level", "-1"], "--level -1: a number"),
                           (["convert", m, out, "--format", "parked", "--threads", "4x"], "--threads 4x: a number"),
                           (["convert", m, out, "--format", "memory"], "--format 'memory': parked, stream, mapped-ram or libvirt is expected"),
                           (["convert", m, out], "--format is missing"), (["convert", m, "--format"], "option --format: FORMAT is missing"),
                           (["receive", "unix:" + out, "-o", out, "--level", "much"], "--level much: a number up to 22"),
                           (["receive", "unix:" + out, "-o", out, "--log", "loud"], "--log 'loud': error, warning, info or debug is expected"),
                           (["send", m, "unix:" + out, "--capability", "events=maybe"], "--capability 'events=maybe'"),
                           (["convert", m, out, "--into", "x"], "surplus argument '%s'" % out),
                           (["convert", m, "--into", "x"], "--snapshot is missing"),
                           (["convert", m, "--into", "x", "--snapshot", "a", "--force"], "--force cannot be used with --into"),
                           (["snapshot", "list"], "list: DISK is missing"), (["snapshot", "delete", m], "delete: SNAPSHOT is missing"),
                           (["snapshot", "delete", m, "a", "--json"], "delete has no option --json"), (["snapshot", "make", m], "no command 'make'"),
                           (["send", m, "unix:" + out, "--snapshot", "a", "--remove"], "--remove cannot be used with --snapshot"),
                           (["extract", m, "--ram", out, "--xml", out], "--xml cannot be used with --ram"),
                           (["extract", m, "--elf", out, "--place", "ram"], "godwit extract: --place 'ram'"),
                           (["extract", m, "--ram", out, "--place", "ram=1"], "--place goes with --elf only"),
                           (["inspect", "--ram", "--against", m, m], "--ram cannot be used with --against"),
                           (["schema", "check", "--all", m, m], "no option --all"), (["schema", "explain", m], "explain: INTO is missing")):
            with self.subTest(argv):
                r = self.godwit(*argv, status=2)
                self.assertIn(says, r.stderr)
                self.assertEqual(r.stdout, "")
        self.assertFalse(os.path.exists(out))

    def test_one_line(self):
        """Only the error is printed: a page of help would hide it."""
        with_machine()
        for command in ("convert", "demo", "diff", "extract", "inspect", "map", "receive", "send", "serve", "snapshot", "verify", "vm"):
            for argv in ([command, "--no-such-option"], [command, "-Z"]):
                self.assertRegex(self.godwit(*argv, status=2).stderr, r"\Agodwit %s: [^\n]*\n\Z" % command)

    def test_help(self):
        with_machine()
        for command in ("convert", "ctl", "demo", "diff", "extract", "inspect", "map", "receive", "schema", "send", "serve", "snapshot", "verify", "vm"):
            for how in ("--help", "-h"):
                r = self.godwit(command, how, status=0)
                self.assertTrue(r.stdout.startswith("usage: godwit " + command), r.stdout)
                self.assertEqual(r.stderr, "")

    def test_output_that_cannot_be_written(self):
        """A disk that is full is told, by every command that prints what was asked for."""
        with_machine()
        m = self.machine()
        schema = write_file(self.path("schema"), self.godwit("schema", "dump", status=0).stdout.encode())
        for argv in (["inspect", m], ["inspect", m, "--json"], ["inspect", m, "--against", m], ["map", m], ["map", m, "--json"], ["verify", m], ["verify", m, "--json"],
                     ["diff", m, m], ["diff", m, m, "--json"], ["schema", "dump"], ["schema", "check", schema, schema],
                     ["schema", "explain", m, m], ["extract", m, "--device", "cpu"]):
            with self.subTest(argv), open("/dev/full", "w") as full:
                self.assertIn("No space left", self.godwit(*argv, status=1, stdout=full).stderr)


if __name__ == "__main__":
    unittest.main()
