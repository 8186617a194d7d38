# SPDX-License-Identifier: MIT
"""The page of bench/run.py, from results that are made up."""
import os
import sys
import unittest
import xml.etree.ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(HERE)), "bench"))
import browser  # noqa: E402
import figures  # noqa: E402
import run  # noqa: E402
from harness import Case  # noqa: E402


def result(turn, ms, cpu, **more):
    return dict({"turn": turn, "wall_ms": ms, "src_cpu_s": cpu, "dst_cpu_s": cpu, "bytes": 1000, "noisy": False}, **more)


def groups():
    a = run.Group("unix", "Idle machine over <unix> & so on", {"godwit": [], "pair": [], "QEMU 7.2": [], "QEMU 10.0": []})
    for turn in range(3):
        a.results["godwit"].append(result(turn, 100 + turn, 0.5, gap_ms=1))
        a.results["pair"].append(result(turn, 90, 0.5))
        a.results["QEMU 7.2"].append(result(turn, 200 + 2 * turn, 2, gap_ms=300))
        a.results["QEMU 10.0"].append(result(turn, 50, 0.5))
    b = run.Group("none", "No QEMU here", {"godwit": []})
    b.results["godwit"].append(result(0, 1, 1))
    return [a, b]


class Figures(Case):
    def test_rows(self):
        rows = {(what, whom): v for _, what, whom, v in run.beside_qemu(groups())}
        self.assertEqual(rows["time", "QEMU 7.2"], [0.5, 0.5, 0.5])
        self.assertEqual(rows["time", "QEMU 10.0"], [2.0, 2.02, 2.04])
        self.assertEqual(rows["CPU time, both sides", "QEMU 7.2"], [0.25] * 3)
        self.assertEqual(rows["bytes sent", "QEMU 10.0"], [1.0] * 3)
        self.assertIn(("gap of the guest", "QEMU 7.2"), rows)
        self.assertNotIn(("gap of the guest", "QEMU 10.0"), rows)
        self.assertEqual(len(rows), 7)

    def test_page(self):
        text = figures.page(run.beside_qemu(groups()), "2 CPUs & <more>")
        words = " ".join(" ".join(xml.etree.ElementTree.fromstring(text).itertext()).split())
        for part in ("less than QEMU in 3 of 7 rows", "Idle machine over <unix> & so on time QEMU 7.2 0.50 0.50 0.50 3", "2.02 2.00 2.04 3", "2 CPUs & <more>"):
            self.assertIn(part, words)
        for word in "<script", "url(", "@import", "src=":
            self.assertNotIn(word, text)
        self.assertIn("no QEMU", figures.page(run.beside_qemu(groups()[1:]), ""))

    def test_in_a_browser(self):
        path = self.path("bench.html")
        with open(path, "w", encoding="utf-8") as f:
            f.write(figures.page(run.beside_qemu(groups()) + [("extreme", "time", "QEMU", [1e-9, 1e9])], "2 CPUs"))
        picture, said = browser.shoot(self.folder, path, 500, 500)
        self.assertEqual(said, [])
        self.assertGreater(len(browser.pixels(picture)[2]), 50)
        for width in 1200, 400:
            texts, wrong = browser.layout(self.folder, path, width)
            self.assertEqual(wrong, "[]")
            self.assertGreater(texts, 16)


if __name__ == "__main__":
    unittest.main()
