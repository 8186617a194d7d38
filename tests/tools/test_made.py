# SPDX-License-Identifier: MIT
"""What tests/golden/made.py writes is what lies there, byte for byte, and nothing else lies beside it."""
import os
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GOLDEN = os.path.join(TOP, "tests", "golden")
sys.path.insert(0, GOLDEN)
import made  # noqa: E402


class Made(unittest.TestCase):
    def test_each_file_is_as_it_is_made(self):
        for (target, kind, name), (data, text) in made.FILES.items():
            path = os.path.join(GOLDEN, target, kind, name)
            with self.subTest(path):
                with open(path, "rb") as f:
                    self.assertEqual(f.read(), data)
                with open(path + ".txt", encoding="utf-8") as f:
                    self.assertEqual(f.read(), text + "\n")

    def test_no_other_file_lies_there(self):
        there = set()
        for target in {target for target, _, _ in made.FILES}:
            for kind in ("accept", "reject"):
                there |= {(target, kind, n) for n in os.listdir(os.path.join(GOLDEN, target, kind)) if not n.endswith(".txt")}
        self.assertEqual(there, set(made.FILES))


if __name__ == "__main__":
    unittest.main()
