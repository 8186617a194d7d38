# SPDX-License-Identifier: MIT
"""The documentation is run: the commands of the README, and each option of --help stands in its manual page."""
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shell import GODWIT, TOP, read, run  # noqa: E402
from harness import with_machine  # noqa: E402


class Readme(unittest.TestCase):
    def test_by_hand(self):
        with_machine()
        section = read("README.md").split("## Trying it by hand")[1].split("\n## ")[0]
        commands = re.findall(r"^    (godwit .*)$", section, re.M)
        self.assertGreaterEqual(len(commands), 5)
        said = run(self, commands)
        self.assertIn("completed", said[0])
        self.assertIn("running", said[1])

    def test_links(self):
        for page in ["README.md"] + ["docs/" + f for f in os.listdir(os.path.join(TOP, "docs")) if f.endswith(".md")]:
            for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
                path = os.path.normpath(os.path.join(TOP, os.path.dirname(page), target))
                self.assertTrue(os.path.exists(path), "%s points at %s" % (page, target))


class Manual(unittest.TestCase):
    def test_options(self):
        with_machine()
        listed = subprocess.run([GODWIT, "help"], capture_output=True, text=True, check=True).stdout
        commands = re.findall(r"^  (\w+) ", listed, re.M)
        self.assertIn("vm", commands)
        for command in commands:
            text = subprocess.run([GODWIT, command, "--help"], capture_output=True, text=True, check=True).stdout
            page = read("docs/man/godwit-%s.1" % command).replace("\\-", "-")
            for option in set(re.findall(r"--[a-z][a-z-]+", text)):
                self.assertIn(option, page, "godwit-%s.1 does not mention %s" % (command, option))
            self.assertIn("godwit-" + command, read("docs/man/godwit.1"))


if __name__ == "__main__":
    unittest.main()
