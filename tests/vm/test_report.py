# SPDX-License-Identifier: MIT
"""`ctl migrate --report` of machines in the box: the figures are those of query-migrate, whatever the end."""
import json
import os
import re
import subprocess
import sys
import threading
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "report"))
import browser  # noqa: E402
from box import Box  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, built, wait_until  # noqa: E402

HTML = "{http://www.w3.org/1999/xhtml}"


class Report(Case):
    def start(self, *options):
        box = Box(self, "vm0", ["--memory", "64M", "--workload", "uniform,rate=1M", *options])
        wait_until("the first heartbeat", box.beats)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0, "downtime-limit": 1000000})
        return box

    def ctl(self, box, *args, status=0):
        p = subprocess.run([built("cli/godwit"), "ctl", box.qmp_path, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, status, p.stderr)
        return p

    def read(self, path):
        """(all words, the value of each row of a table by its first cell)."""
        self.assertEqual([n for n in os.listdir(self.folder) if ".part" in n], [])
        root = xml.etree.ElementTree.parse(path).getroot()
        rows = {row[0].text: "".join(row[1].itertext()) for row in root.iter(HTML + "tr") if len(row) > 1}
        return " ".join(" ".join(root.itertext()).split()), rows

    def check_figures(self, rows, info):
        """All of query-migrate, at any depth, is in the table."""
        count = 0

        def walk(prefix, value):
            nonlocal count
            for key, v in value.items():
                if isinstance(v, dict):
                    walk(prefix + key + ".", v)
                elif isinstance(v, float):
                    self.assertAlmostEqual(float(rows[prefix + key].split()[0]), v, delta=abs(v) * 1e-4, msg=key)
                elif not isinstance(v, list):
                    self.assertEqual(rows[prefix + key].split()[0], str(v).split()[0])
                    count += 1
        walk("", info)
        self.assertGreater(count, 20)

    def test_completed(self):
        box, to = self.start("--name", "<box & son>"), Box(self, "vm1", ["--memory", "64M"], incoming=True)
        page = self.path("report.html")
        said = self.ctl(box, "migrate", to.address(), "--report", page, "--json", "--capability", "xbzrle")
        info = json.loads(said.stdout)
        words, rows = self.read(page)
        self.assertEqual(info["status"], "completed")
        del info["run-state"]
        self.check_figures(rows, info)
        for text in ("Migrated a machine of 64.0 MiB in ", "it was stopped for ", "<box & son>: godwit ", "device states sent", "xbzrle on (capability)",
                     "no limit", "Rounds over memory %d converged" % info["ram"]["dirty-sync-count"], "the source's own records"):
            self.assertIn(text, words)
        history = box.qmp.command("x-godwit-query-history")
        shown = [r for r in rows if re.fullmatch(r"\d+(-\d+)?", r or "")]
        self.assertEqual(len(shown), min(len(history["rounds"]), 200))
        causes = info["x-godwit"]["downtime-by-cause-us"]
        self.assertTrue(0 <= info["x-godwit"]["downtime-us"] - sum(causes.values()) <= 7, causes)
        self.assertEqual(to.quit(), 0)

    def test_in_a_browser(self):
        browser.browser()
        box, page = self.start(), self.path("report.html")
        self.ctl(box, "migrate", "file:" + self.path("state"), "--report", page)
        self.assertEqual(browser.shoot(self.folder, page, 500, 400)[1], [])
        for width in 1200, 400:
            self.assertEqual(browser.layout(self.folder, page, width)[1], "[]")

    def test_picture(self):
        box = self.start()
        path = self.path("a.svg")
        self.ctl(box, "migrate", "file:" + self.path("state"), "--report", path)
        words = " ".join(xml.etree.ElementTree.parse(path).getroot().itertext())
        for text in ("Migrated a machine of 64.0 MiB", "Bandwidth and dirty rate", "Downtime by cause"):
            self.assertIn(text, words)

    def test_refused_by_the_destination(self):
        box, to = self.start(), Box(self, "vm1", ["--memory", "32M"], incoming=True)
        page = self.path("report.html")
        said = self.ctl(box, "migrate", to.address(), "--report", page, status=1).stderr
        words, rows = self.read(page)
        why = box.migration()["error-desc"]
        self.assertIn("Migration failed after ", words)
        self.assertIn(" ".join(why.split()), words)
        self.assertIn(why, said)
        self.assertIn("The machine here is now running .", words)
        self.assertIn("did not end", words)
        self.assertNotIn("it was stopped", words)
        self.assertEqual(rows["status"], "failed")

    def test_cancelled(self):
        box, to = self.start(), Box(self, "vm1", ["--memory", "64M"], incoming=True)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 17})
        page = self.path("report.html")
        told = []
        ctl = threading.Thread(target=lambda: told.append(self.ctl(box, "migrate", to.address(), "--report", page, status=1)))
        ctl.start()
        wait_until("something sent", lambda: box.migration().get("ram", {}).get("transferred", 0) > 100000)
        box.qmp.command("migrate_cancel")
        ctl.join()
        self.assertEqual(len(told), 1)
        words, rows = self.read(page)
        self.assertIn("Migration cancelled after ", words)
        self.assertEqual(rows["status"], "cancelled")
        self.assertIn("1", rows)  # what there was of the first round
        self.assertGreater(int(rows["ram.transferred"].split()[0]), 0)

    def test_what_cannot_be_written(self):
        box = self.start()
        for name, status, why in (("report.txt", 2, ".html or .svg"), (".html", 2, ".html or .svg"),
                                  ("none/report.html", 1, "nothing was started")):
            said = self.ctl(box, "migrate", "file:" + self.path("state"), "--report", self.path(name) if name != ".html" else name,
                            status=status).stderr
            self.assertIn(why, said)
        self.assertIn("--detach", self.ctl(box, "migrate", "exec:true", "--report", "a.html", "--detach", status=2).stderr)
        self.assertEqual(box.migration(), {})
        # What is refused at once leaves no file, and the one that was there.
        kept = self.path("kept.html")
        with open(kept, "w", encoding="utf-8") as f:
            f.write("mine")
        self.ctl(box, "migrate", "nonsense:", "--report", kept, status=1)
        with open(kept, encoding="utf-8") as f:
            self.assertEqual(f.read(), "mine")
        self.assertEqual([n for n in os.listdir(self.folder) if ".part" in n], [])


if __name__ == "__main__":
    import unittest
    unittest.main()
