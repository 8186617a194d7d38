# SPDX-License-Identifier: MIT
# builds: plain asan
"""Names from outside on the operator's terminal: the terminal executes none of their control characters, and none
starts a new line."""
import gzip
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, built, read_file, write_file  # noqa: E402
import test_ctl_monitors  # noqa: E402

HOSTILE = os.path.join(TOP, "tests", "golden", "hostile")
CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin")
BAD = "\x1b]0;own\x07\x9b31m\x7f\nforged line"
OBEYED = re.compile(rb"[\x00-\x08\x0b-\x1f]|\xc2[\x80-\x9f]")  # a terminal does nothing for DEL


class Names(Case):
    def command(self, *args, environment=None, **options):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=DEADLINE_S * SLOW, **options)
        for what in r.stdout, r.stderr:
            self.assertIsNone(OBEYED.search(what), (args, what[:600]))
            self.assertNotRegex(what, rb"(?m)^(forged|pc-i440fx-10.0 is at)", args)
            what.decode()
            self.assertNotIn(b"Sanitizer", what)
        if "--json" in args:
            self.assertTrue(r.stdout.isascii(), args)
        return r

    def files(self):
        for name in sorted(os.listdir(HOSTILE)):
            if name.endswith((".parked.gz", ".stream.gz")):
                with gzip.open(os.path.join(HOSTILE, name)) as f:
                    yield name, write_file(self.path(name[:-3]), f.read())

    def test_files(self):
        """Every command that reads one, with and without --json and traces."""
        for name, file in self.files():
            good = self.path("good")
            self.command("convert", CAPTURE, good, "--format", "parked", "--force")
            for args in (("inspect", file), ("inspect", file, "--json"), ("inspect", file, "--all"), ("map", file), ("map", file, "--json"),
                         ("verify", file), ("verify", file, "--json"),
                         ("diff", file, good), ("diff", good, file), ("diff", good, file, "--json"),
                         ("extract", file, "--ram", "r", self.path("out"), "--force"),
                         ("extract", file, "--elf", self.path("out"), "--force"),
                         ("convert", file, self.path("out"), "--format", "stream", "--force"),
                         ("convert", file, self.path("out"), "--format", "parked", "--force"),
                         ("send", file, "exec:cat >/dev/null", "--force", "--trace", "*"),
                         ("send", file, "exec:cat >/dev/null", "--force", "--json"),
                         ("schema", "explain", file, good), ("schema", "explain", good, file, "--json"),
                         ("receive", "exec:cat " + file, "--output", self.path("parked"), "--force", "--trace", "*", "--log",
                          "info"),
                         ("receive", "exec:cat " + file, "--output", self.path("parked"), "--force", "--json")):
                with self.subTest(args):
                    self.command(*args)

    def test_refused(self):
        """Files with such names inside are not written by godwit; none of them is accepted as valid."""
        for name, file in self.files():
            r = self.command("verify", file)
            self.assertNotEqual(r.returncode, 0, name)

    def test_names_of_files(self):
        name = self.path("a\x1b[31m\nforged line")
        self.command("convert", CAPTURE, name, "--format", "parked")
        for args in (("verify", name), ("inspect", name), ("send", name, "exec:cat >/dev/null"), ("diff", name, CAPTURE),
                     ("verify", name + "no"), ("inspect", name + "no"), ("send", name + "no", "exec:true"),
                     ("diff", name + "no", name), ("convert", name, name, "--format", "parked"),
                     ("schema", "explain", name, CAPTURE)):
            with self.subTest(args[0]):
                self.command(*args)

    def test_schemas(self):
        with gzip.open(os.path.join(HOSTILE, "schema-esc.json.gz")) as f:
            bad = write_file(self.path("bad"), f.read())
        with gzip.open(os.path.join(HOSTILE, "schema-base.json.gz")) as f:
            base = write_file(self.path("base"), f.read())
        for more in (), ("--json",):
            self.command("schema", "check", base, bad, *more)
            self.command("schema", "check", bad, base, *more)


class Monitors(Names):
    """A monitor's text is as untrusted as a file."""
    monitor = test_ctl_monitors.CtlMonitors.monitor

    test_files = test_refused = test_names_of_files = test_schemas = None

    def test_monitor(self):
        info = {"status": BAD, "error-desc": BAD, "ram": {"total": 1, "transferred": 1, "remaining": 0}, BAD: BAD}
        answers = {"query-migrate": [info], "query-status": [{"status": BAD, "running": True}],
                   "query-migrate-capabilities": [[{"capability": BAD, "state": True}]],
                   "query-migrate-parameters": [{BAD: BAD, "max-bandwidth": 1}], "query-name": [{"name": BAD}],
                   "query-version": [{"package": BAD}]}
        for args in (("status",), ("capabilities",), ("parameters",), ("qmp", "query-name"), ("status", "--json"),
                     ("capabilities", "--json"), ("parameters", "--json")):
            with self.subTest(args):
                path, _ = self.monitor(answers)
                self.command("ctl", path, *args)


if __name__ == "__main__":
    unittest.main()
