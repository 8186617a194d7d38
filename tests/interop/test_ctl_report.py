# SPDX-License-Identifier: MIT
"""`godwit ctl migrate --report` of real QEMUs: the values they report are on the page, and missing values are named."""
import json
import os
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "report"))
import browser  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, built, pattern, write_file  # noqa: E402
from places import exec_uri, wait_file  # noqa: E402

HTML = "{http://www.w3.org/1999/xhtml}"
SIZE = 16 << 20


class Report(Case):
    version = "7.2"

    def migrate(self, uri, status):
        vm_path = self.path("vm.ctl")
        self.qemu(self.version, "vm", memory=SIZE, ram=write_file(self.path("vm.ram"), pattern(SIZE)),
                  args=["-qmp", "unix:%s,server=on,wait=off" % vm_path, "-name", "an <old> machine"])
        page = self.path("report.html")
        p = subprocess.run([built("cli/godwit"), "ctl", vm_path, "migrate", uri, "--json", "--report", page], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, status, p.stderr)
        root = xml.etree.ElementTree.parse(page).getroot()
        rows = {row[0].text: "".join(row[1].itertext()) for row in root.iter(HTML + "tr") if len(row) > 1}
        return page, json.loads(p.stdout), " ".join(" ".join(root.itertext()).split()), rows

    def test_completed(self):
        out = self.path("out")
        page, info, words, rows = self.migrate(exec_uri(out, False), 0)
        wait_file(out)
        for key in "transferred", "remaining", "total", "duplicate", "normal", "dirty-sync-count", "page-size":
            self.assertEqual(rows["ram." + key].split()[0], str(info["ram"][key]))
        for key in "total-time", "downtime", "setup-time":
            self.assertEqual(rows[key].split()[0], str(info[key]))
        for text in ("it was stopped for", "an <old> machine: QEMU " + self.version, "The source was polled every 20 to 200 ms",
                     "the source does not report the causes" if info["downtime"] else "Not known.",
                     "Rounds over memory %d converged" % info["ram"]["dirty-sync-count"], "downtime-limit 300 ms"):
            self.assertIn(text, words)
        self.assertTrue(any(re.fullmatch(r"\d+(-\d+)?", r or "") for r in rows))

    def test_in_a_browser(self):
        browser.browser()
        page = self.migrate(exec_uri(self.path("out"), False), 0)[0]
        self.assertEqual(browser.shoot(self.folder, page, 500, 400)[1], [])
        for width in 1200, 400:
            self.assertEqual(browser.layout(self.folder, page, width)[1], "[]")

    def test_failed(self):
        page, info, words, rows = self.migrate("unix:" + self.path("nobody"), 1)
        self.assertEqual((info["status"], rows["status"]), ("failed", "failed"))
        self.assertIn("Migration failed after", words)
        self.assertIn(info.get("error-desc", "the source does not give the reason"), words)
        self.assertIn("The machine here is now running .", words)


class Report11(Report):
    version = "11.1"


if __name__ == "__main__":
    unittest.main()
