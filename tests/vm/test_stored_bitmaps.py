# SPDX-License-Identifier: MIT
"""Persistent dirty bitmaps in the qcow2 disks of the machine in the box, beside QEMU: names, granularity, flags and each bit are what the
other one left there; they go with the image to another host; a killed machine leaves them inconsistent."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import PEERS, QmpClosed, QmpError, fetched  # noqa: E402
from versions import VERSIONS  # noqa: E402


class StoredBitmaps(Journey):
    def tool(self, version, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), "qemu-img", *args],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run)
        return run.stdout

    def image(self):
        path = self.path("disk.qcow2")
        self.tool(VERSIONS[-1], "create", "-q", "-f", "qcow2", path, "8M")
        return path

    def box(self, role, image, workload="idle"):
        self.options = ["--memory", "16M", "--accel", "unicorn", "--disk", image]
        box = Box(self, role, [*self.options, "--workload", workload + ",rate=1M,seed=3"])
        wait_until("the first heartbeat", box.beats)
        return box

    def end(self, box):
        self.assertEqual(box.quit(), 0, box.text())
        box.close()
        self.processes.remove(box)

    def bitmaps(self, box):
        found = box.qmp.command("query-block")[0]["inserted"]["dirty-bitmaps"]
        return {b["name"]: b for b in found}

    def in_image(self, version, image):
        info = json.loads(self.tool(version, "info", "-U", "--output=json", image))
        return {b["name"]: (b["granularity"], sorted(b["flags"])) for b in info["format-specific"]["data"].get("bitmaps", [])}

    def in_qemu(self, version, role, image, lines=(), add=()):
        """What a QEMU has of them, with a hash of all bits; it stores them again."""
        args = ["-blockdev", "driver=file,filename=%s,node-name=f" % image, "-blockdev", "driver=qcow2,file=f,node-name=d"]
        qemu = self.qemu(version, role, memory=16 << 20, machine="microvm,accel=tcg", paused=True, args=args)
        for name, more in add:
            qemu.qmp.command("block-dirty-bitmap-add", node="d", name=name, persistent=True, **more)
        for line in lines:
            self.assertNotIn("rror", qemu.qmp.command("human-monitor-command", **{"command-line": "qemu-io d \"%s\"" % line}))
        nodes = [n for n in qemu.qmp.command("query-named-block-nodes") if n["node-name"] == "d"]
        found = {}
        for b in nodes[0].get("dirty-bitmaps", []):
            found[b["name"]] = (b["granularity"], b["count"], b["recording"], b.get("inconsistent", False))
            if not b.get("inconsistent"):
                told = qemu.qmp.command("x-debug-block-dirty-bitmap-sha256", node="d", name=b["name"])
                found[b["name"]] += (told["sha256"],)
        try:
            qemu.qmp.command("quit")
        except QmpClosed:
            pass
        qemu.wait_exit()
        qemu.close()
        self.processes.remove(qemu)
        return found

    def test_theirs(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                image = self.image()
                add = (("big", {"granularity": 1 << 20}), ("small", {"granularity": 512}), ("off", {"disabled": True}))
                lines = ("write -P 3 100k 50k", "write -P 4 5M 512", "write -P 5 8191k 1k")
                theirs = self.in_qemu(version, "makes" + version, image, lines, add)
                self.assertGreater(theirs["small"][1], 0)
                flags = self.in_image(VERSIONS[-1], image)
                box = self.box("box" + version, image)
                ours = self.bitmaps(box)
                self.assertEqual({n: (b["granularity"], b["count"], b["recording"], b.get("inconsistent", False)) for n, b in ours.items()},
                                 {n: t[:4] for n, t in theirs.items()})
                self.assertTrue(all("in-use" in f for _, f in self.in_image(VERSIONS[-1], image).values()))
                self.end(box)
                self.assertEqual(self.in_image(VERSIONS[-1], image), flags)
                self.assertEqual(self.in_qemu(version, "looks" + version, image), theirs)

    def test_ours(self):
        """The guest writes; a machine that went elsewhere and came on has them there."""
        image = self.image()
        box = self.box("here", image, workload="disk")
        box.qmp.command("block-dirty-bitmap-add", node="disk0", name="b", persistent=True, granularity=65536)
        box.qmp.command("block-dirty-bitmap-add", node="disk0", name="gone", persistent=False)
        wait_until("writes", lambda: self.bitmaps(box)["b"]["count"])
        to = Box(self, "there", self.options, incoming=True)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        box.qmp.command("migrate", uri=to.address())
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed")
        wait_until("the machine runs there", lambda: to.status() == "running")
        self.assertEqual(list(self.bitmaps(to)), ["b"])
        self.assertTrue(self.bitmaps(to)["b"]["recording"])
        self.assertEqual(list(self.bitmaps(box)), ["gone"])
        self.end(box)
        to.qmp.command("stop")
        count = self.bitmaps(to)["b"]["count"]
        self.end(to)
        self.assertEqual(self.in_image(VERSIONS[-1], image), {"b": (65536, ["auto"])})
        for version in VERSIONS:
            self.assertEqual(self.in_qemu(version, "looks" + version, image)["b"][:4], (65536, count, True, False))
            self.tool(version, "check", "-q", image)

    def test_killed(self):
        image = self.image()
        box = self.box("one", image)
        box.qmp.command("block-dirty-bitmap-add", node="disk0", name="b", persistent=True)
        self.end(box)
        box = self.box("two", image)
        box.proc.kill()
        box.proc.wait()
        self.assertEqual(self.in_image(VERSIONS[-1], image), {"b": (65536, ["auto", "in-use"])})
        box = self.box("three", image)
        self.assertTrue(self.bitmaps(box)["b"]["inconsistent"])
        with self.assertRaisesRegex(QmpError, "inconsistent"):
            box.qmp.command("block-dirty-bitmap-clear", node="disk0", name="b")
        box.qmp.command("block-dirty-bitmap-remove", node="disk0", name="b")
        self.end(box)
        self.assertEqual(self.in_image(VERSIONS[-1], image), {})

    def test_raw(self):
        path = self.path("disk.raw")
        with open(path, "wb") as f:
            f.truncate(8 << 20)
        box = self.box("raw", path)
        with self.assertRaisesRegex(QmpError, "disk0 can have no persistent bitmaps: it is raw"):
            box.qmp.command("block-dirty-bitmap-add", node="disk0", name="b", persistent=True)
        box.qmp.command("block-dirty-bitmap-add", node="disk0", name="b")
        self.end(box)


if __name__ == "__main__":
    unittest.main()
