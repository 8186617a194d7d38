# SPDX-License-Identifier: MIT
"""A self-checking machine moves with its disk, which it writes and reads all the while: each process has a file of its own."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Journey  # noqa: E402
from harness import wait_until  # noqa: E402

BYTES = 24 << 20


class Disks(Journey):
    arguments, capabilities = {}, ("block", "zero-blocks")

    @property
    def options(self):
        """Of the next process: its disk has nothing of the machine's."""
        self.files = getattr(self, "files", 0) + 1
        path = self.path("disk%d" % self.files)
        with open(path, "wb") as f:
            f.truncate(BYTES)
        return [*self._options, "--disk", path]

    @options.setter
    def options(self, options):
        self._options = options

    def disk(self, workload):
        return []

    def turn_on(self, box):
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": c, "state": True} for c in self.capabilities])

    def attempt_cancelled(self, box, role):
        self.turn_on(box)
        return super().attempt_cancelled(box, role)

    def migrate(self, box, to):
        self.turn_on(box)
        box.qmp.command("migrate", uri=to.address(), **self.arguments)
        info = wait_until("an end", box.ended)
        if info["status"] == "completed":
            self.assertEqual(info["disk"]["transferred"], BYTES)
            self.assertEqual(info["disk"]["total"], BYTES)
        return info

    def test_capability(self):
        self.journey("disk", 4, cancel_every=2)

    def test_arguments(self):
        """For one migration only; refused beside what says so for all."""
        self.arguments, self.capabilities = {"blk": True}, ()
        self.journey("disk", 2, cancel_every=0)


if __name__ == "__main__":
    unittest.main()
