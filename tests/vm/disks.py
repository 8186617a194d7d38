# SPDX-License-Identifier: MIT
"""Journeys of a machine with its disk, which it writes and reads all the while. Each process has a file of its own."""
import os
import subprocess

from box import Box, Journey
from harness import PEERS, fetched, read_file, wait_until

DISK_BYTES = 24 << 20
GRANULARITY = 65536


class DiskJourney(Journey):
    format = "raw"
    bitmap = False  # one that was there before the first write goes along
    arguments, capabilities = {}, ("block", "zero-blocks")

    def image_tool(self, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, "7.2", "run-tool"), "QEMU 7.2"), "qemu-img", *args],
                             stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    @property
    def options(self):
        """Of the next process: its disk has nothing of the machine's."""
        self.files = getattr(self, "files", 0) + 1
        self.file = self.path("disk%d" % self.files)
        if self.format == "raw":
            with open(self.file, "wb") as f:
                f.truncate(DISK_BYTES)
        else:
            self.image_tool("create", "-q", "-f", self.format, self.file, str(DISK_BYTES))
        bitmaps = ["--capability", "dirty-bitmaps"] if self.bitmap else []
        return [*self._options, *bitmaps, "--disk", "%s,format=%s" % (self.file, self.format)]

    @options.setter
    def options(self, options):
        self._options = options

    def file_of(self, box):
        return box.argv[box.argv.index("--disk") + 1].split(",")[0]

    def disk(self, workload):
        return []

    def turn_on(self, box):
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": c, "state": True} for c in self.capabilities])

    def start(self, workload, accel="unicorn", more=()):
        if not self.bitmap:
            return super().start(workload, accel, more)
        self.options = ["--memory", self.MEMORY, "--accel", accel, *more]
        box = Box(self, "vm0", [*self.options, "--paused", "--workload", "%s,rate=20M,seed=%d" % (workload, self.seed)])
        box.qmp.command("block-dirty-bitmap-add", node="disk0", name="all", granularity=GRANULARITY)
        box.qmp.command("cont")
        wait_until("the first heartbeat", box.beats)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        return box

    def attempt_cancelled(self, box, role):
        self.turn_on(box)
        here = super().attempt_cancelled(box, role)
        if here is box:
            os.unlink(self.file)
        return here

    def arrived(self, box, to):
        here = super().arrived(box, to)
        os.unlink(self.file_of(box))
        return here

    def migrate(self, box, to):
        self.turn_on(box)
        box.qmp.command("migrate", uri=to.address(), **self.arguments)
        info = wait_until("an end", box.ended)
        if info["status"] == "completed":
            self.assertEqual(info["disk"]["transferred"], DISK_BYTES)
            self.assertEqual(info["disk"]["total"], DISK_BYTES)
        return info

    def at_end(self, box):
        """The disk began as zeros, and the guest writes none: the bitmap has what is not zeros now, and nothing else."""
        if not self.bitmap:
            return
        box.qmp.command("stop")
        bitmap, = box.qmp.command("query-block")[0]["inserted"]["dirty-bitmaps"]
        path = self.file_of(box)
        self.assertEqual(box.quit(), 0, box.text())
        if self.format != "raw":
            self.image_tool("convert", "-f", self.format, "-O", "raw", path, path + ".raw")
            path += ".raw"
        data = read_file(path)
        written = sum(any(data[i:i + GRANULARITY]) for i in range(0, DISK_BYTES, GRANULARITY))
        self.assertTrue(bitmap["recording"] and not bitmap["busy"], bitmap)
        self.assertEqual(bitmap["count"], written * GRANULARITY)
        self.assertGreater(written, 0)
