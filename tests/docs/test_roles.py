# SPDX-License-Identifier: MIT
"""docs/README.md sends each role to a page that begins with an example: it is run."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from shell import TOP, first_block, read, run  # noqa: E402
from harness import with_faults, with_machine  # noqa: E402

ROLES = {"operate": "docs/operations.md", "write a VMM": "docs/embedding.md", "package": "docs/packaging.md",
         "contribute": "CONTRIBUTING.md", "analyse": "docs/analysis.md"}


class Roles(unittest.TestCase):
    def test_index(self):
        """Each role has its page, which begins with an example."""
        rows = dict(re.findall(r"^\| \*\*([\w ]+)\*\*[^|]*\| \[[^]]*\]\(([^)]+)\)", read("docs/README.md"), re.M))
        self.assertEqual({r: os.path.normpath(os.path.join("docs", p)) for r, p in rows.items()}, ROLES)
        for page in ROLES.values():
            head = "\n".join(read(page).splitlines()[:25])
            self.assertRegex(head, r"(?m)^    \S", "%s does not begin with an example" % page)

    def test_operate(self):
        with_machine()
        said = run(self, first_block("docs/operations.md"))
        self.assertRegex("\n".join(said), r"migration +completed")

    def test_analyse(self):
        with_machine()
        with_faults()
        said = run(self, first_block("docs/analysis.md"))
        self.assertIn("whole", said[4])
        self.assertIn("RAM ram0", said[5])

    def test_contribute(self):
        """What it tells to run is there."""
        for target in re.findall(r"^    make (\w+)", read("CONTRIBUTING.md"), re.M):
            self.assertRegex(read("Makefile"), r"(?m)^%s:" % target)
        for tool in re.findall(r"tools/\w+\.py", read("CONTRIBUTING.md")):
            self.assertTrue(os.path.exists(os.path.join(TOP, tool)), tool)


if __name__ == "__main__":
    unittest.main()
