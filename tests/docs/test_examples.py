# SPDX-License-Identifier: MIT
"""The examples of the manual are run, word for word, with files of the names that they use. Addresses of other hosts and paths in /run
become sockets in a folder of the test's own; what needs a QEMU is run elsewhere."""
import gzip
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shell import GODWIT, TOP, read  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, with_faults, with_machine, write_file  # noqa: E402
sys.path.insert(0, os.path.join(TOP, "tests", "vm"))
from box import Box  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-pc-10.0.bin.gz")
XML = b"<domain type='kvm'><name>guest</name></domain>\n"
# Those of these pages run until somebody ends them, or are run by tests of their own (tests/vm, test_commands.py, test_readme_park.py).
ELSEWHERE = {"demo", "receive", "salvage", "send", "serve", "vm"}
# What an example may say besides 0: that something differs or was left out, is not known, or is not there on this host.
STATUS = {"check": (0, 1, 3), "diff": (0, 3), "extract": (0, 3), "plan": (0, 3, 5), "explain": (0, 3, 5), "against": (0, 3, 5)}


def examples(page):
    """The lines of the section that begin with a command of ours."""
    section = re.split(r"\n\.SH EXAMPLES?\n", read("docs/man/" + page).replace("\\-", "-"))[1].split("\n.SH ")[0]
    return re.findall(r"^ *(godwit .*)$", section, re.M)


class Examples(Case):
    def shell(self, command, status=(0,)):
        environment = dict(os.environ, PATH=os.path.dirname(GODWIT) + ":" + os.environ["PATH"], TMPDIR=self.folder)
        r = subprocess.run(command, shell=True, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertIn(r.returncode, status, "%s\n%s%s" % (command, r.stdout, r.stderr))
        return r.stdout

    def files(self):
        with gzip.open(CAPTURE) as f:
            write_file(self.path("guest.stream"), f.read())
        write_file(self.path("guest.xml"), XML)
        self.shell("godwit convert guest.stream guest.parked --format parked && godwit schema dump --qemu > old.json && cp old.json new.json")
        self.shell("for f in before after a b; do cp guest.parked $f.parked; done; cp guest.stream there.stream")
        for disk, names in (("disk", ["yesterday", "monday", "friday", "before-upgrade"]), ("system", []), ("data", [])):
            self.shell("qemu-img create -q -f qcow2 %s.qcow2 1M" % disk)
            for name in names:
                self.shell("godwit convert guest.parked --into %s.qcow2 --snapshot %s" % (disk, name))

    def run_example(self, line):
        kind = [k for k in STATUS if re.search(r"\bgodwit %s\b|\b%s\b" % (k, k), line)]
        command = re.sub(r"/var/lib/machines", self.folder, line)
        if "jq" in command and not shutil.which("jq"):
            command = command.split("|")[0]
        words = command.split()
        out = words[3] if words[1] == "convert" and "--into" not in words else None
        if out and os.path.exists(self.path(out)):  # an example is not there to replace what another one made
            os.unlink(self.path(out))
        return self.shell(command, STATUS[kind[0]] if kind else (0,))

    def test_of_files(self):
        with_machine()
        if not shutil.which("qemu-img"):
            self.skipTest("no qemu-img")
        self.files()
        ran = 0
        for page in sorted(os.listdir(os.path.join(TOP, "docs", "man"))):
            name = page[len("godwit-"):-2]
            if name in ELSEWHERE or name == "ctl":
                continue
            for line in examples(page):
                if " tcp:" in line:
                    continue
                with self.subTest(page + ": " + line):
                    self.run_example(line)
                    ran += 1
        self.assertGreater(ran, 20)

    def test_of_machines(self):
        here = Box(self, "here", ["--memory", "32M", "--accel", "unicorn"])
        there = Box(self, "there", ["--memory", "32M", "--accel", "unicorn"], incoming="unix:" + self.path("there.sock"))
        lines = examples("godwit-ctl.1")
        self.assertGreaterEqual(len(lines), 6)
        for line in sorted(lines, key=lambda line: " migrate " in line):  # that one last: it leaves
            with self.subTest(line):
                if " snapshot " in line:
                    with_faults()
                self.run_example(line.replace("/run/vm.qmp", here.qmp_path).replace("tcp:10.0.0.2:4444", "unix:" + self.path("there.sock")))
        self.assertTrue(os.path.getsize(self.path("moved.html")))
        self.assertEqual(there.status(), "running")


if __name__ == "__main__":
    unittest.main()
