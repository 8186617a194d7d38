# SPDX-License-Identifier: MIT
"""Every link between the documents leads somewhere, and every file that the text names is there."""
import glob
import os
import re
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Links(unittest.TestCase):
    def documents(self):
        found = glob.glob(os.path.join(TOP, "*.md")) + glob.glob(os.path.join(TOP, "docs", "**", "*.md"), recursive=True)
        self.assertTrue(found)
        return found

    def test_links_lead_somewhere(self):
        wrong = []
        for path in self.documents():
            with open(path) as f:
                text = re.sub(r"```.*?```", "", f.read(), flags=re.S)
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if "://" not in target and not os.path.exists(os.path.join(os.path.dirname(path), target)):
                    wrong.append("%s: %s" % (os.path.relpath(path, TOP), target))
        self.assertFalse(wrong, "\n  " + "\n  ".join(wrong))

    def test_every_document_is_in_the_index(self):
        with open(os.path.join(TOP, "docs", "README.md")) as f:
            text = f.read()
        wrong = []
        for path in glob.glob(os.path.join(TOP, "docs", "**", "*.md"), recursive=True):
            name = os.path.relpath(path, os.path.join(TOP, "docs"))
            if name != "README.md" and not name.startswith("decisions/") and "(%s)" % name not in text:
                wrong.append(name)
        self.assertFalse(wrong, "not in docs/README.md: %s" % wrong)


if __name__ == "__main__":
    unittest.main()
