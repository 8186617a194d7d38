# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""examples/small_vmm moves to another instance of itself while it runs, and from its first release to the present one."""
import os
import subprocess
import unittest

import box  # noqa: F401  finds the harness
from harness import DEADLINE_S, SLOW, Case, Program, Qmp, QmpError, built, wait_until

STEPS = 400  # of the guest's program on each side: every device is in use from the twelfth on


class Small(Program):
    def __init__(self, case, name, *argv):
        self.incoming, self.qmp = "unix:" + case.path(name + ".sock"), None
        super().__init__(case, name, [built("examples/small_vmm"), "--qmp", "unix:" + case.path(name + ".qmp"), *argv])
        self.qmp = Qmp(self.alive, case.path(name + ".qmp"))

    def close(self):
        if self.qmp:
            try:
                self.qmp.command("quit")
                self.process.wait(DEADLINE_S * SLOW)  # leak check and all
            except (QmpError, OSError, subprocess.TimeoutExpired):
                pass
            self.qmp.sock.close()
        super().close()

    def report(self):
        return self.qmp.command("x-report")

    def go_on(self):
        """Waits until the guest has made some more steps. What it reports then."""
        first = self.report()["steps"]
        wait_until("steps of the guest", lambda: self.report()["steps"] >= first + STEPS)
        return self.report()

    def migrate(self, uri):
        self.qmp.command("migrate", uri=uri)
        wait_until("the end of the migration",
                   lambda: self.qmp.command("query-migrate")["status"] in ("completed", "failed", "cancelled"))
        return self.qmp.command("query-migrate")


class SmallVmm(Case):
    def waiting(self, name, *argv):
        return Small(self, name, *argv, "--incoming", "unix:" + self.path(name + ".sock"))

    def assert_right(self, report):
        self.assertEqual(report["wrong"], 0, report)

    def arrives(self, source, destination):
        """It is migrated, and goes on there where it stood here. What it reports when it has come."""
        before = source.go_on()
        self.assertEqual(source.migrate(destination.incoming)["status"], "completed")
        self.assertEqual(source.qmp.command("query-status")["status"], "postmigrate")
        came = destination.report()
        self.assertEqual(destination.qmp.command("query-status")["status"], "running")
        for what in ("steps", "ms", "rang"):
            self.assertGreaterEqual(came[what], before[what])
        self.assert_right(destination.go_on())
        return came

    def test_to_itself_and_on(self):
        machines = [Small(self, "one"), self.waiting("two"), self.waiting("three")]
        for here, there in zip(machines, machines[1:]):
            self.assertEqual(self.arrives(here, there)["mcr"], 3)
        self.assertEqual(machines[0].report()["wrong"], 0)
        self.assertGreater(machines[2].report()["rang"], 0)

    def test_the_subsection_goes_when_it_is_needed(self):
        one, two = Small(self, "one"), self.waiting("two")
        one.qmp.command("x-hold-line")
        came = self.arrives(one, two)
        self.assertEqual((came["mcr"], came["break"]), (11, True))

    def test_from_the_first_release_to_this_one(self):
        """What the first did not send has the value that stands for it."""
        came = self.arrives(Small(self, "old", "--old"), self.waiting("new"))
        self.assertEqual((came["mcr"], came["break"]), (8, False))

    def test_not_back(self):
        """The first release refuses what it cannot know, by name, and the machine runs on where it was."""
        new, old = Small(self, "new"), self.waiting("old", "--old")
        new.go_on()
        end = new.migrate(old.incoming)
        self.assertEqual(end["status"], "failed")
        self.assertRegex(end["error-desc"], r"uart.*version 2")
        self.assertEqual(new.qmp.command("query-status")["status"], "running")
        self.assert_right(new.go_on())

    def test_stop_and_cont(self):
        one = Small(self, "one")
        one.go_on()
        one.qmp.command("stop")
        self.assertEqual(one.qmp.command("query-status")["status"], "paused")
        stands = one.report()
        self.assertEqual(one.report(), stands)
        one.qmp.command("cont")
        self.assert_right(one.go_on())


if __name__ == "__main__":
    unittest.main()
