# SPDX-License-Identifier: MIT
"""The page that `ctl migrate --report` writes, for migrations that are made up (sample.c): that it is well-formed, needs nothing from
elsewhere, keeps hostile texts as texts, and looks right in a real browser, on a desk and on a telephone, light and dark."""
import html.parser
import os
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
from harness import Case, built  # noqa: E402

CASES = ("none", "one", "some", "forecast", "many", "hostile", "failed")
SVG = "{http://www.w3.org/2000/svg}"


class Elements(html.parser.HTMLParser):
    """As a browser reads it: all elements with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


class Report(Case):
    def sample(self, case, form="html"):
        path = self.path("%s.%s" % (case, form))
        subprocess.run([built("tests/report/report_sample"), case, path], check=True)
        with open(path, encoding="utf-8") as f:
            return path, f.read()

    def words(self, root):
        return " ".join(" ".join(root.itertext()).split())


class Form(Report):
    def test_well_formed(self):
        for case in CASES:
            for form in "html", "svg":
                text = self.sample(case, form)[1]
                xml.etree.ElementTree.fromstring(text)
                for word in "nan", "-nan", "inf", "-inf":
                    self.assertNotRegex(text, r'[">\s(]%s["<\s)/]' % word, case)

    def test_nothing_from_elsewhere(self):
        for case in CASES:
            for form in "html", "svg":
                text = self.sample(case, form)[1]
                for tag, attrs in Elements(text).found:
                    self.assertNotIn(tag, ("script", "img", "iframe", "object", "image", "use", "base", "foreignobject"))
                    for name, value in attrs.items():
                        self.assertFalse(name.startswith("on"), (case, tag, attrs))
                        if name in ("href", "src", "xlink:href"):
                            self.assertEqual(value, "data:,")
                styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
                self.assertNotRegex(styles, r"url\(|@import|@font-face")

    def test_hostile_texts_are_texts(self):
        for form in "html", "svg":
            text = self.sample("hostile", form)[1]
            self.assertNotIn("<script", text)
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\u202e", text)
            said = self.words(xml.etree.ElementTree.fromstring(text))
            self.assertIn("</title></svg><script>alert(1)</script>\"'&amp;<!--\ufffd[31m\ufffd\ufffd%s%n", said)

    def test_figures(self):
        said = self.words(xml.etree.ElementTree.fromstring(self.sample("some")[1]))
        for words in ("Migrated a machine of 2.00 GiB in 5.4 s", "it was stopped for 20 ms", "Rounds over memory 7 converged", "limit 300 ms",
                      "db-prod-7: godwit 0.1.0 to tcp:host-b.example:4444", "last pages sent 13 ms 64 %", "400000 67 %", "123456789 bytes (118 MiB)",
                      "multifd on (capability)", "2.00 GiB at the start, 401 KiB when round 7 began.", "Made up.", "Nothing is missing."):
            self.assertIn(words, said)
        self.assertNotIn("Prediction", said)
        self.assertIn("cancelled after", self.words(xml.etree.ElementTree.fromstring(self.sample("failed")[1])))

    def test_prediction(self):
        root = xml.etree.ElementTree.fromstring(self.sample("forecast")[1])
        self.assertIn("Prediction and result predicted happened happened / predicted Total time 5.0 s 5.4 s 1.08 Downtime 25 ms 20 ms 0.80 "
                      "Sent not said 2.63 GiB Rounds 6 7 1.17", self.words(root))

    def test_few_rounds(self):
        self.assertIn("No round began.", self.words(xml.etree.ElementTree.fromstring(self.sample("none")[1])))
        root = xml.etree.ElementTree.fromstring(self.sample("one")[1])
        dots = [d for svg in root.iter(SVG + "svg") for d in svg.iter(SVG + "circle")]
        self.assertEqual(len(dots), 2)  # one in each of the two widths

    def test_many_rounds_are_thinned(self):
        for form in "html", "svg":
            path, text = self.sample("many", form)
            self.assertLess(os.path.getsize(path), 400000)
            self.assertIn("Up to 50 rounds are drawn as one." if form == "html" else "round 9951", text)
        rows = xml.etree.ElementTree.fromstring(self.sample("many")[1]).iter("{http://www.w3.org/1999/xhtml}tr")
        firsts = [row[0].text for row in rows if re.fullmatch(r"\d+-\d+", row[0].text or "")]
        self.assertEqual((len(firsts), firsts[0], firsts[-1]), (200, "1-50", "9951-10000"))


class Look(Report):
    """In a browser."""

    def test_the_look_sees(self):
        """What would be wrong is seen: else the others prove nothing."""
        path = self.path("bad.html")
        with open(path, "w", encoding="utf-8") as f:
            f.write("<!DOCTYPE html><html><head><title></title></head><body><script>console.error('loud')</script>"
                    "<svg width='100' height='40'><text x='5' y='20'>abc</text><text x='12' y='20'>def</text><text x='90' y='30'>ghijkl</text>"
                    "</svg></body></html>")
        self.assertIn("loud", " ".join(browser.shoot(self.folder, path, 500, 300)[1]))
        texts, wrong = browser.layout(self.folder, path, 500)
        self.assertEqual(texts, 3)
        self.assertIn("overlap: abc / def", wrong)
        self.assertIn("outside: ghijkl", wrong)

    def test_pictures(self):
        for case in "some", "failed":
            path = self.sample(case)[0]
            seen = {}
            for dark in False, True:
                picture, said = browser.shoot(self.folder, path, 500, 600, dark)
                self.assertEqual(said, [])
                width, height, counts = browser.pixels(picture)
                self.assertEqual((width, height), (500, 600))
                ground = max(counts, key=counts.get)
                self.assertGreater(len(counts), 50)  # letters have soft edges
                self.assertGreater(width * height - counts[ground], 10000)
                seen[dark] = ground
            self.assertEqual(seen, {False: b"\xff\xff\xff", True: b"\x12\x17\x1e"})
        picture, said = browser.shoot(self.folder, self.sample("some", "svg")[0], 700, 500)
        self.assertEqual(said, [])
        self.assertGreater(len(browser.pixels(picture)[2]), 50)

    def test_labels(self):
        for case in "forecast", "many", "hostile":
            path = self.sample(case)[0]
            for width in 1200, 400:
                texts, wrong = browser.layout(self.folder, path, width)
                self.assertEqual(wrong, "[]", (case, width))
                self.assertGreaterEqual(texts, 4)


if __name__ == "__main__":
    unittest.main()
