# SPDX-License-Identifier: MIT
"""The page that `inspect --html` writes, of captures and of a machine with all kinds of pages: as test_page.py looks at reports."""
import json
import os
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import browser  # noqa: E402
import ram_map  # noqa: E402
from harness import DEADLINE_S, SLOW, TOP, Case, built, write_file  # noqa: E402
from test_page import Elements  # noqa: E402

GOLDEN = os.path.join(TOP, "tests", "golden")
CASES = {"pc": "captures/precopy-pc-10.0.bin.gz", "parked": "parked/accept/arrived.park", "multifd": "captures/multifd-10.0.main.src2dst.bin",
         "bitmaps": "captures/dirty-bitmaps-precopy-10.0.bin.gz"}
SVG = "{http://www.w3.org/2000/svg}"


class Inspect(Case):
    def godwit(self, *argv, status=0, **options):
        r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, text=True, timeout=DEADLINE_S * SLOW, **options)
        self.assertEqual(r.returncode, status, r.stderr)
        return r.stdout + r.stderr

    def page(self, case):
        path = self.path(case + ".html")
        self.assertEqual(self.godwit("inspect", "--html", path, os.path.join(GOLDEN, CASES[case])), "")
        with open(path, encoding="utf-8") as f:
            return path, f.read()

    def words(self, text):
        return " ".join(" ".join(xml.etree.ElementTree.fromstring(text).itertext()).split())


class Form(Inspect):
    def test_nothing_from_elsewhere(self):
        for case in CASES:
            text = self.page(case)[1]
            xml.etree.ElementTree.fromstring(text)  # well-formed
            for tag, attrs in Elements(text).found:
                self.assertNotIn(tag, ("script", "img", "iframe", "object", "image", "use", "base", "foreignobject"))
                for name, value in attrs.items():
                    self.assertFalse(name.startswith("on"), (case, tag, attrs))
                    if name in ("href", "src", "xlink:href"):
                        self.assertEqual(value, "data:,")
            styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
            self.assertNotRegex(styles, r"url\(|@import|@font-face")
            self.assertIn("prefers-color-scheme:dark", styles)
            self.assertNotRegex(text, r'[">\s(]-?(nan|inf)["<\s)/]')

    def test_words(self):
        said = self.words(self.page("pc")[1])
        told = json.loads(self.godwit("inspect", "--json", os.path.join(GOLDEN, CASES["pc"])))
        for words in ("Machine %s with 16.5 MiB of RAM" % told["machine"], "Devices %d " % len(told["devices"]), "Map of RAM", "pc.bios 256 KiB",
                      "A square is 4.00 KiB", "Entropy of the pages", "Where the bytes go", "Compressed with gzip"):
            self.assertIn(words, said)
        said = self.words(self.page("parked")[1])
        self.assertIn("20.0 KiB shared by pages", said)
        self.assertIn("Kind of file parked", said)
        said = self.words(self.page("multifd")[1])
        self.assertIn("There is none: ", said)
        self.assertIn("multifd", said)
        self.assertIn("Dirty bitmap n0/bm0 one bit for 65536 bytes, enabled", self.words(self.page("bitmaps")[1]))

    def test_map_of_ram(self):
        """As many squares of contents as there are pages with contents: each square is a page here."""
        text = self.page("pc")[1]
        wide = [s for s in xml.etree.ElementTree.fromstring(text).iter(SVG + "svg")
                if s.get("class") == "wide" and s.get("aria-label").startswith("RAM of pc.bios")]
        self.assertEqual(len(wide), 1)
        squares = {"z": 0, "contents": 0}
        for path in wide[0].iter(SVG + "path"):
            strips = re.findall(r"M[0-9.]+ [0-9.]+h([0-9.]+)v", path.get("d"))
            squares["z" if path.get("class") == "z" else "contents"] += sum(round((float(w) + 1) / 7) for w in strips)
        runs = json.loads(self.godwit("map", "--json", os.path.join(GOLDEN, CASES["pc"])))
        pages = {kind: sum(r["length"] // 4096 for r in runs if r["block"] == "pc.bios" and (r["kind"] == "zero") == (kind == "z"))
                 for kind in squares}
        self.assertEqual(squares, pages)

    def test_hostile_names_are_texts(self):
        name = b"</title><script>alert(1)</script>\"'&amp;<!--%s"
        file = write_file(self.path("hostile"), ram_map.stream(b"abcd" * 4096, name, name[::-1]))
        self.godwit("inspect", "--html", self.path("a.html"), file)
        with open(self.path("a.html"), encoding="utf-8") as f:
            text = f.read()
        self.assertNotIn("<script", text)
        said = self.words(text)
        self.assertIn("Machine %s with 16.0 KiB of RAM" % name.decode(), said)
        self.assertIn(name[::-1].decode() + " 16.0 KiB", said)

    def test_where_it_goes(self):
        path, pc = self.path("a.html"), os.path.join(GOLDEN, CASES["pc"])
        write_file(path, b"before")
        self.assertIn("standard input", self.godwit("inspect", "--html", path, "-", status=1, stdin=subprocess.DEVNULL))
        self.assertIn("none", self.godwit("inspect", "--html", path, self.path("none"), status=1))
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"before")  # nothing failed over it
        self.assertIn("folder", self.godwit("inspect", "--html", self.path("folder/a.html"), pc, status=1))
        self.godwit("inspect", "--html", path, pc)
        with open(path, "rb") as f:
            self.assertTrue(f.read().startswith(b"<!DOCTYPE html>"))
        self.assertEqual(os.listdir(self.folder), ["a.html"])


class Look(Inspect):
    """In a browser."""

    def test_pictures(self):
        path, seen = self.page("pc")[0], {}
        for dark in False, True:
            picture, said = browser.shoot(self.folder, path, 500, 600, dark)
            self.assertEqual(said, [])
            counts = browser.pixels(picture)[2]
            self.assertGreater(len(counts), 50)
            seen[dark] = max(counts, key=counts.get)
        self.assertEqual(seen, {False: b"\xff\xff\xff", True: b"\x12\x17\x1e"})

    def test_labels(self):
        for case in "pc", "multifd":
            path = self.page(case)[0]
            for width in 1200, 400:
                texts, wrong = browser.layout(self.folder, path, width)
                self.assertEqual(wrong, "[]", (case, width))
                self.assertGreater(texts, 20)


if __name__ == "__main__":
    unittest.main()
