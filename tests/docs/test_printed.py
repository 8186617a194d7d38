# SPDX-License-Identifier: MIT
"""Pages that are printed from the code, or show code, are up to date."""
import os
import re
import subprocess
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")


def read(name):
    with open(os.path.join(TOP, name)) as f:
        return f.read()


class Printed(unittest.TestCase):
    def compare(self, tool, page):
        printed = subprocess.run([os.path.join(BUILD, "tools", tool)], capture_output=True, text=True, check=True)
        self.assertEqual(printed.stdout, read(page), "build/tools/%s > %s" % (tool, page))

    def test_phases(self):
        self.compare("print_phases", "docs/phases.md")

    def test_features(self):
        self.compare("print_features", "docs/features.md")

    def test_frames(self):
        self.compare("print_frames", "docs/formats/frames.md")

    def test_tracing(self):
        self.compare("print_trace", "docs/tracing.md")

    def test_embedding_shows_the_examples(self):
        """Behind ```c stands the file that the code is from, where it is not the first example's."""
        blocks = re.findall(r"^```c(?: (\S+))?\n(.*?)^```$", read("docs/embedding.md"), re.M | re.S)
        self.assertGreaterEqual(len(blocks), 10)
        for name, block in blocks:
            self.assertIn(block.rstrip(), read("examples/" + (name or "migrate_self.c")))

    def test_example_is_short(self):
        self.assertLess(read("examples/migrate_self.c").count("\n"), 150)

    def test_extension_bytes(self):
        """The numbers in the document are those of the code."""
        numbers = read("src/wire/numbers.h")
        page = read("docs/formats/extensions.md")
        for name, in_page in (("0x67647774", "0x67647774"), ("0x6777", "0x6777"), ("0x6778", "67 78 00 00"),
                              ("0x6701", "08 67 01 00 00"), ("0x6702", "08 67 02 00 00"), ("0x67647770", "67 64 77 70")):
            self.assertIn(name, numbers)
            self.assertIn(in_page, page)


if __name__ == "__main__":
    unittest.main()
