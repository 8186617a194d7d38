# SPDX-License-Identifier: MIT
# builds: plain
"""`godwit ctl plan` for a QEMU as the source: a Linux guest that writes is seen by QEMU's own calc-dirty-rate, and the
forecast says yes where the link carries it and no where it does not. docs/performance.md compares forecasts with
results."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import Guest  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, built, wait_until  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

MIB = 1 << 20
RATE = 40  # MiB/s of a set of 16 MiB


class Plan(Case):
    def ctl(self, path, *args, status=(0,)):
        p = subprocess.run([built("cli/godwit"), "ctl", path, *args], capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertIn(p.returncode, status, "%s\n%s\n%s" % (args, p.stdout, p.stderr))
        return p

    def plan(self, path, *args, status=(0,)):
        return json.loads(self.ctl(path, "plan", "unix:" + self.path("m"), "--json", *args, status=status).stdout)

    def run_one(self, version):
        control = self.path("control")
        guest = Guest(self, version, "guest", rate=RATE, parameters={"max-bandwidth": 8 * MIB, "downtime-limit": 100},
                      args=["-qmp", "unix:%s,server=on,wait=off" % control])
        guest.wait_beats(3)
        seen = {}

        def writes():
            """At least a fortieth of what the guest means to write: this host may be busy."""
            seen.update(self.plan(control, status=(0, 3, 5)))
            return any(p["bytes"] / p["ms"] * 1000 > MIB for p in seen["measured"]["dirty"])
        wait_until("what the guest writes is seen", writes)
        self.assertGreaterEqual(len(seen["measured"]["dirty"]), 3)
        # What it says of links that are far from what the guest writes.
        never = self.plan(control, "--parameter", "max-bandwidth=100000", status=(3,))
        self.assertEqual(never["forecast"]["converges"], "no")
        ever = self.plan(control, "--bandwidth", "10G", "--parameter", "max-bandwidth=0", "--parameter", "downtime-limit=2000")
        self.assertEqual(ever["forecast"]["converges"], "yes")
        self.assertIn("the share of zero pages", ever["unknown"])
        # A migration tells what its first pass found.
        self.ctl(control, "param", "max-bandwidth=0", "downtime-limit=2000")
        target = Guest(self, version, "target", incoming="unix:" + self.path("m"))
        self.ctl(control, "migrate", "unix:" + self.path("m"), "--detach")
        guest.wait()
        target.wait_beats(1)
        self.assertEqual(self.ctl(control, "qmp", "query-status").returncode, 0)
        self.ctl(control, "cont")  # two of them now, for this
        known = self.plan(control, status=(0, 3, 5))
        self.assertNotIn("the share of zero pages", known["unknown"])
        self.assertEqual(known["measured"]["link-from"], "what the last migration measured")


for _version in (v for v in VERSIONS if at_least(v, "6.2")):
    setattr(Plan, "test_%s" % _version.replace(".", "_"), lambda self, v=_version: self.run_one(v))


if __name__ == "__main__":
    unittest.main()
