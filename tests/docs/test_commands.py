# SPDX-License-Identifier: MIT
"""The documentation is run: the commands of the README."""
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


if __name__ == "__main__":
    unittest.main()
