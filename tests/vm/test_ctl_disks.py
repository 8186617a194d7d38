# SPDX-License-Identifier: MIT
"""`godwit ctl migrate --disks` between two machines of ours: memory, disk and bitmaps in one command, by precopy and by postcopy,
while the guest writes its disk and checks what it reads."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box  # noqa: E402
from harness import Case, DEADLINE_S, SLOW, wait_until, with_faults, with_machine  # noqa: E402

BYTES = 24 << 20


class Together(Case):
    def box(self, role, **options):
        path = self.path(role + ".disk")
        with open(path, "wb") as f:
            f.truncate(BYTES)
        return Box(self, role, ["--memory", "64M", "--workload", "disk", "--disk", path], **options)

    def both(self, capabilities=()):
        self.source, self.target = self.box("source"), self.box("target", incoming="defer")
        for box in self.source, self.target:
            box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": c, "state": True} for c in capabilities])
        self.target.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        disk = self.source.qmp.command("query-block")[0]["device"]
        self.source.qmp.command("block-dirty-bitmap-add", node=disk, name="backup")
        wait_until("the guest beats", lambda: len(self.source.beats()) > 2)
        self.source.qmp.sock.close()  # the monitor is for ctl
        self.source.qmp = None

    def ctl(self, *words):
        return [with_machine(), "ctl", self.source.qmp_path, *words]

    def migrate(self, *options):
        p = subprocess.run(self.ctl("migrate", self.target.address(), "--disks", "--json", *options), stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 0, p.stderr)
        info = json.loads(p.stdout)
        self.assertEqual((info["status"], info["disk"]["transferred"], info["disk"]["total"]), ("completed", BYTES, BYTES))
        return info

    def arrived(self):
        wait_until("the machine runs there", lambda: self.target.status() == "running")
        seen = len(self.target.beats())
        wait_until("it beats there", lambda: len(self.target.beats()) > seen + 1)
        self.assertEqual(self.target.beats()[-1][3], 0)
        bitmaps = self.target.qmp.command("query-block")[0]["inserted"]["dirty-bitmaps"]
        self.assertEqual([b["name"] for b in bitmaps], ["backup"])
        self.assertGreater(bitmaps[0]["count"], 0)
        self.assertEqual(self.target.quit(), 0)

    def test_precopy(self):
        self.both(["dirty-bitmaps"])
        self.migrate()
        # What was turned on for it is off again.
        said = subprocess.run(self.ctl("caps", "zero-blocks", "block"), capture_output=True, text=True, check=True).stdout
        self.assertNotIn("on", said.split())
        self.arrived()

    def test_postcopy(self):
        """Behind the disks, when memory is left for the other side to ask for."""
        with_faults()
        self.both(["dirty-bitmaps", "postcopy-ram"])
        p = subprocess.Popen(self.ctl("migrate", self.target.address(), "--disks", "--json", "--parameter", "downtime-limit=0"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        # Taken when the disks are there.
        wait_until("it began", lambda: self.migration().get("status") == "active" or p.poll() is not None)
        subprocess.run(self.ctl("postcopy"), check=True)
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 0, err)
        info = json.loads(out)
        self.assertEqual(info["disk"]["transferred"], BYTES)
        self.assertGreater(info["ram"]["postcopy-bytes"], 0)
        self.arrived()

    def migration(self):
        return json.loads(subprocess.run(self.ctl("status", "--json"), capture_output=True, text=True, check=True).stdout)["migration"]


if __name__ == "__main__":
    unittest.main()
