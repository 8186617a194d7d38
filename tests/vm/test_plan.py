# SPDX-License-Identifier: MIT
"""`godwit ctl plan` of machines in the box: its shape, and what must hold whatever the host does."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, built, wait_until  # noqa: E402

SHOWN = ("to", "memory", "writes", "link", "converges", "best")


class Plan(Case):
    def box(self, role, workload, *more, incoming=False):
        box = Box(self, role, ["--memory", "32M", "--accel", "unicorn", "--workload", workload, *more], incoming=incoming)
        if not incoming:
            wait_until("the first heartbeat", box.beats)
        return box

    def ctl(self, box, *args, status=0):
        p = subprocess.run([built("cli/godwit"), "ctl", box.qmp_path, *args], capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        if status is not None:
            self.assertEqual(p.returncode, status, "%s\n%s\n%s" % (args, p.stdout, p.stderr))
        return p

    def incoming(self):
        """Where a destination waits that has a monitor, and the box."""
        to = self.box("to", "idle", incoming="unix:" + self.path("in"))
        return "unix:" + self.path("in"), to

    def test_idle(self):
        """Over a measured link, by its monitor: converges. The text fits a screen."""
        box = self.box("from", "idle,set=8M,fill=on")
        uri, to = self.incoming()
        text = self.ctl(box, "plan", uri, "--destination", to.qmp_path, "--measure", "0.5", "--parameter", "max-bandwidth=0",
                        "--parameter", "downtime-limit=100000").stdout
        for word in SHOWN:
            self.assertRegex(text, r"(?m)^%s  +\S" % word)
        self.assertIn("measured to the destination", text)
        self.assertRegex(text, r"(?m)^converges   yes: in \d+ of 100")
        self.assertNotIn("was not asked", text)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 80, text)
        self.assertLessEqual(len(text.splitlines()), 40, text)
        # It waits as before.
        self.assertEqual(to.status(), "inmigrate")
        doc = json.loads(self.ctl(box, "plan", uri, "--peer", "godwit", "--measure", "0.5", "--parameter", "max-bandwidth=0",
                                  "--parameter", "downtime-limit=100000", "--json").stdout)
        f = doc["forecast"]
        self.assertEqual(f["converges"], "yes")
        for what in "total-ms", "downtime-ms", "bytes":
            self.assertLessEqual(0, f[what]["low"])
            self.assertLessEqual(f[what]["low"], f[what]["typical"])
            self.assertLessEqual(f[what]["typical"], f[what]["high"])
        self.assertGreater(doc["measured"]["link-bytes-per-second"], 0)
        self.assertGreaterEqual(f["bytes"]["high"], 8 << 20)
        names = [c["name"] for c in doc["choices"]]
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertEqual(names[0], doc["best"])
        for name in "plain", "xbzrle", "multifd", "auto-converge":
            self.assertIn(name, names)
        # Nothing was set by it.
        self.assertEqual(box.qmp.command("query-migrate-parameters")["max-bandwidth"], 128 << 20)

    def test_never(self):
        """A byte each second is not enough for a guest that writes, whatever is tried."""
        box = self.box("from", "uniform,rate=8M,set=8M,fill=on")
        p = self.ctl(box, "plan", "tcp:127.0.0.1:1", "--measure", "0.5", "--parameter", "max-bandwidth=1", "--json", status=3)
        doc = json.loads(p.stdout)
        self.assertEqual(doc["forecast"]["converges"], "no")
        self.assertEqual(doc["forecast"]["certainty"], 0)
        self.assertNotIn("probe-error", doc["measured"])  # nobody said that a godwit is there
        self.assertIn("the throughput of the link: max-bandwidth is assumed", doc["unknown"])
        text = self.ctl(box, "plan", "tcp:127.0.0.1:1", "--measure", "0.5", "--parameter", "max-bandwidth=1", status=3).stdout
        self.assertRegex(text, r"(?m)^converges   no: in 0 of 100")

    def test_what_is_not_known(self):
        box = self.box("from", "idle")
        self.assertIn("--bandwidth", self.ctl(box, "plan", "tcp:127.0.0.1:1", "--measure", "0.5", "--parameter", "max-bandwidth=0",
                                              status=5).stderr)
        # Nobody listens there: said, and told by the way.
        p = self.ctl(box, "plan", "unix:" + self.path("nobody"), "--measure", "0.5", "--peer", "godwit", "--parameter",
                     "downtime-limit=100000")
        self.assertIn("it could not be measured:", p.stdout)
        for args in (["--bandwidth", "much"], ["--bandwidth", "0"], ["--measure", "soon"], ["--capability", "nonsense"],
                     ["--parameter", "nonsense"]):
            self.ctl(box, "plan", "tcp:127.0.0.1:1", *args, status=2)
        self.assertIn("out of range", self.ctl(box, "plan", "tcp:127.0.0.1:1", "--measure", "0.1", status=1).stderr)

    def test_beside_what_happened(self):
        for how in [], ["--json"]:
            box = self.box("from%d" % len(how), "idle,set=4M,fill=on")
            to = self.box("to%d" % len(how), "idle", incoming="unix:" + self.path("in%d" % len(how)))
            out = self.ctl(box, "migrate", "unix:" + self.path("in%d" % len(how)), "--plan", "--peer", "godwit", "--measure", "0.5",
                           "--parameter", "downtime-limit=100000", *how).stdout
            if how:
                f = json.loads(out)["x-godwit-forecast"]
                self.assertEqual(f["converges"], "yes")
                self.assertTrue(f["happened"]["converged"])
                self.assertEqual(f["happened"]["bytes"], json.loads(out)["ram"]["transferred"])
            else:
                self.assertRegex(out, r"(?m)^ +predicted .* happened$")
                self.assertRegex(out, r"(?m)^converges +yes \(\d+ of 100\) +yes$")
                self.assertRegex(out, r"(?m)^bytes +.* (as predicted|less|more)$")
            wait_until("the machine runs there", lambda to=to: to.status() == "running")


if __name__ == "__main__":
    unittest.main()
