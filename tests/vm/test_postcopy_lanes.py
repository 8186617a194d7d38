# SPDX-License-Identifier: MIT
"""A self-checking machine goes by postcopy over several multifd channels: by `ctl` at random moments; each connection dies alone."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from between import Between  # noqa: E402
from box import Box, Program, QmpError, built, wait_until  # noqa: E402
from followed import Postcopy  # noqa: E402

LANES = 4


class Lanes(Postcopy):
    ON = (*Postcopy.ON, "multifd")

    def box(self, role, incoming="tcp:127.0.0.1:0", options=(), more=()):
        box = Box(self, role, [*self.options, *options], incoming="defer")
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in (*self.ON, *more)])
        box.qmp.command("migrate-set-parameters", **{"multifd-channels": LANES})
        box.qmp.command("migrate-incoming", uri=incoming)
        return box

    def begin(self, workload="uniform", more=()):
        box = super().begin(workload, more)
        box.qmp.command("migrate-set-parameters", **{"multifd-channels": LANES})
        return box


class There(Lanes):
    def ctl(self, box, to, role, preempt):
        on = [word for name in (*self.ON[:1], "multifd", *preempt) for word in ("--capability", name)]
        return Program(self, role, [built("cli/godwit"), "ctl", box.qmp_path, "migrate", *on,
                                    "--parameter", "multifd-channels=%d" % LANES, "--parameter", "max-bandwidth=4M",
                                    "--parameter", "downtime-limit=1", to.address()])

    def go(self, preempt=()):
        random.seed(os.environ.get("GODWIT_SEED", 11))
        box = self.begin()
        for i in range(2):
            to = self.box("to%d" % i, more=preempt)
            went = self.ctl(box, to, "ctl%d" % i, preempt)
            at = random.randrange(1 << 16, 6 << 20)
            wait_until("some of it went", lambda b=box, n=at: b.migration().get("ram", {}).get("transferred", 0) >= n)
            box.qmp.command("migrate-start-postcopy")
            self.assertEqual(went.wait_exit(), 0, went.text() + to.text())
            wait_until("all has come", lambda t=to: t.qmp.seen("MIGRATION", status="completed"))
            self.assertTrue(to.qmp.seen("MIGRATION", status="postcopy-active"))
            ram = box.migration()["ram"]
            self.assertGreater(ram["multifd-bytes"], ram["transferred"] // 2)
            box = self.arrived(box, to)
        self.ends_well(box)

    def test_ctl(self):
        self.go()

    def test_ctl_with_a_channel_for_what_is_asked_for(self):
        self.go(["postcopy-preempt"])


class Lost(Lanes):
    def lose(self, k, more=()):
        """Connection k is cut when the machine runs there: both sides pause, and the main one brings the rest."""
        box = self.begin("uniform,rate=512K,verify=512K")
        for name in more:
            box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": name, "state": True}])
        to = self.box("to", more=more)
        link = Between(self, to.address())
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 256 << 10})
        box.qmp.command("migrate", uri=link.uri)
        box.qmp.command("migrate-start-postcopy")
        wait_until("it asks", lambda: box.migration().get("ram", {}).get("postcopy-requests", 0) > 5)
        self.assertEqual(len(link.pairs), 1 + LANES + len(more))
        link.cut(k)
        for side in (box, to):
            wait_until("it is lost", lambda s=side: s.migration()["status"] == "postcopy-paused")
        self.assertNotEqual(box.status(), "running")
        before = box.migration()["ram"]["multifd-bytes"]
        to.qmp.command("migrate-recover", uri="unix:" + self.path("r"))
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        box.qmp.command("migrate", uri="unix:" + self.path("r"), resume=True)
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed", box.text())
        self.assertEqual(box.migration()["ram"]["multifd-bytes"], before)
        self.ends_well(self.arrived(box, to))

    def test_a_lane(self):
        self.lose(2)

    def test_a_lane_beside_urgent_ones(self):
        self.lose(1, ["postcopy-preempt"])

    def test_the_main_one(self):
        self.lose(0)


class Refused(Lanes):
    def test_a_peer_that_cannot(self):
        """Before anything starts."""
        box = self.begin()
        with self.assertRaisesRegex(QmpError, "only a godwit takes pages of postcopy on multifd channels"):
            box.qmp.command("migrate", uri="tcp:127.0.0.1:1", **{"x-godwit-peer": "10.0"})


if __name__ == "__main__":
    unittest.main()
