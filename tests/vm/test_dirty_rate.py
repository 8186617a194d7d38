# SPDX-License-Identifier: MIT
"""The dirty rate of a guest that writes a new page each time, against what it says that it wrote, by its own count."""
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box  # noqa: E402
from harness import Case, wait_until  # noqa: E402

MIB = 1 << 20
MODES = ("page-sampling", "dirty-bitmap", "dirty-ring")


class DirtyRate(Case):
    def box(self, workload, *more):
        return Box(self, "vm", ["--memory", "256M", "--accel", "unicorn", "--workload", workload, *more])

    def written(self, box):
        """Pages, as the last heartbeat said."""
        with open(box.serial, errors="replace") as f:
            found = re.findall(r"^beat \d+ .* written_pages (\d+) .*$", f.read(), re.M)
        return int(found[-1]) if found else None

    def next_beat(self, box, after):
        return wait_until("a heartbeat", lambda: (self.written(box) or 0) > after and self.written(box))

    def ask(self, box):
        return box.qmp.command("query-dirty-rate", **{"calc-time-unit": "millisecond"})

    def measure(self, box, during=None, **args):
        """The answer, and how many pages the guest says it wrote: within the time, and from the beat before to the one after it."""
        before = self.written(box)
        box.qmp.command("calc-dirty-rate", **args)
        inside = []  # what was told after the beginning and before the end
        at_start = self.written(box)
        if during:
            during()
        while True:
            now = self.written(box)
            r = self.ask(box)
            if r["status"] != "measuring":
                break
            if now > at_start:
                inside.append(now)
            time.sleep(0.01)
        self.assertEqual(r["status"], "measured", r)
        after = self.next_beat(box, self.written(box))
        return r, inside[-1] - inside[0] if inside else 0, after - before

    def check(self, box, mode, **more):
        args = {"calc-time": 3, "mode": mode}
        if mode == "page-sampling":
            args["sample-pages"] = 16384
        r, least, most = self.measure(box, **more, **args)
        pages = r["dirty-rate"] * MIB * r["calc-time"] / 1000 / 4096
        rounded = MIB * r["calc-time"] / 1000 / 4096  # a MiB each second
        # Besides its set the guest writes tables and a mailbox. Of 4096 samples 6 % change: a fifth is five deviations.
        error = most / 3 if mode == "page-sampling" else 0
        print("%s: %d to %d pages, measured %d" % (mode, least, most, pages))
        self.assertGreaterEqual(pages + rounded + error, least, r)
        self.assertLessEqual(pages, most + 256 + error, r)
        self.assertEqual("vcpu-dirty-rate" in r, mode == "dirty-ring")
        self.assertGreaterEqual(r["calc-time"], 3000)

    def test_modes(self):
        box = self.box("sequential,rate=16M,set=200M")
        self.next_beat(box, 0)
        for mode in MODES:
            self.check(box, mode)
        self.assertEqual(box.quit(), 0)

    def test_beside_a_migration(self):
        """It begins and is cancelled while the rate is measured. The guest's own checks hold."""
        box = self.box("sequential,rate=16M,set=200M")
        self.next_beat(box, 0)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 20})

        def migrate():
            box.qmp.command("migrate", uri="exec:cat > /dev/null")
            wait_until("active", lambda: box.migration().get("status") == "active")
            self.next_beat(box, self.written(box))
            box.qmp.command("migrate_cancel")
            wait_until("an end", box.ended)

        for mode in MODES:
            self.check(box, mode, during=migrate)
        self.assertEqual(box.quit(), 0)

    def test_limits(self):
        """A vCPU that may dirty little does; what it does is told."""
        box = self.box("sequential,rate=64M,set=200M")
        self.next_beat(box, 0)
        self.assertEqual(box.qmp.command("query-vcpu-dirty-limit"), [])
        box.qmp.command("set-vcpu-dirty-limit", **{"dirty-rate": 2})
        limit = box.qmp.command("query-vcpu-dirty-limit")
        self.assertEqual([(v["cpu-index"], v["limit-rate"]) for v in limit], [(0, 2)])
        r, _, _ = self.measure(box, **{"calc-time": 2, "mode": "dirty-ring"})
        self.assertLessEqual(r["dirty-rate"], 3, r)
        box.qmp.command("cancel-vcpu-dirty-limit", **{"cpu-index": 0})
        self.assertEqual(box.qmp.command("query-vcpu-dirty-limit"), [])
        self.assertEqual(box.quit(), 0)


if __name__ == "__main__":
    unittest.main()
