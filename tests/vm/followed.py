# SPDX-License-Identifier: MIT
"""Journeys by postcopy: what their tests share."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import with_faults  # noqa: E402


class Postcopy(Journey):
    MEMORY, ON = "32M", ("postcopy-ram", "events")

    def setUp(self):
        super().setUp()
        with_faults()

    def box(self, role, incoming="tcp:127.0.0.1:0", options=(), more=()):
        box = Box(self, role, [*self.options, *options], incoming="defer")
        box.qmp.command("migrate-set-capabilities",
                        capabilities=[{"capability": name, "state": True} for name in (*self.ON, *more)])
        box.qmp.command("migrate-incoming", uri=incoming)
        return box

    def begin(self, workload="uniform", more=()):
        self.seed = 5
        box = self.start(workload, more=more)
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in self.ON])
        return box

    def beats_on(self, box):
        n = len(box.beats())
        wait_until("it goes on", lambda: len(box.beats()) > n + 1)

    def ends_well(self, box):
        self.beats_on(box)
        self.assertEqual([b for b in box.beats() if b[3]], [])
        self.assertEqual(box.quit(), 0, box.text())
        self.processes.remove(box)
        box.close()

    def there(self, workload, moves=2, more=(), least=1 << 20):
        """Moves while it writes more than the link carries, so that it would never get there otherwise. least: bytes that go before the
        switch; 0 for one that might be there by then."""
        box = self.begin(workload, more)
        for i in range(moves):
            to = self.box("to%d" % i)
            box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 4 << 20, "downtime-limit": 1})
            box.qmp.command("migrate", uri=to.address())
            wait_until("some of it went", lambda b=box: b.migration().get("ram", {}).get("transferred", 0) >= least)
            box.qmp.command("migrate-start-postcopy")
            info = wait_until("an end", box.ended)
            self.assertEqual(info["status"], "completed", "%s\n%s\n%s" % (info, box.text(), to.text()))
            self.assertTrue(to.qmp.seen("MIGRATION", status="postcopy-active"))
            wait_until("all has come", lambda t=to: t.qmp.seen("MIGRATION", status="completed"))
            box = self.arrived(box, to)
        self.ends_well(box)
