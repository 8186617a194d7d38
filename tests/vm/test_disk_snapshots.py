# SPDX-License-Identifier: MIT
"""Internal snapshots of the machine in the box: snapshot-save, snapshot-load and snapshot-delete over its control socket. Its guest
checks what it wrote to its memory and to its disks, so a load that brings back one without the other is a wrong byte."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import DEADLINE_S, PEERS, SLOW, QmpError, built, fetched  # noqa: E402
from versions import VERSIONS  # noqa: E402

DISKS = ("disk0", "disk1")


class DiskSnapshots(Journey):
    def tool(self, version, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), "qemu-img", *args],
                             stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run)
        return run.stdout

    def ctl(self, box, *argv, status=0):
        r = subprocess.run([built("cli/godwit"), "ctl", box.qmp_path, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, status, "%s\n%s%s\n%s" % (argv, r.stdout, r.stderr, box.text()))
        return r.stdout + r.stderr

    def box(self, role="vm", images=DISKS, workload="disk", more=()):
        self.images = [self.path(i + ".qcow2") for i in images]
        for image in self.images:
            if not os.path.exists(image):
                self.tool(VERSIONS[-1], "create", "-q", "-f", "qcow2", image, "32M")
        options = ["--memory", "16M", "--accel", "unicorn", *more]
        for image in self.images:
            options += ["--disk", image]
        box = Box(self, role, [*options, "--workload", workload + ",rate=8M,seed=7"])
        wait_until("the first heartbeat", box.beats)
        return box

    def goes_on(self, box):
        seen = len(box.beats())
        wait_until("two heartbeats", lambda: len(box.beats()) > seen + 1)
        self.assertEqual(box.beats()[-1][3], 0, box.text())

    def end(self, box):
        self.assertEqual(box.quit(), 0, box.text())
        box.close()
        self.processes.remove(box)

    def check_images(self, *names):
        """Whole, and with these snapshots in this order, as each QEMU sees it."""
        for version in VERSIONS:
            for i, image in enumerate(self.images):
                self.tool(version, "check", "-q", image)
                listed = json.loads(self.tool(version, "info", "--output=json", image)).get("snapshots", [])
                self.assertEqual([s["name"] for s in listed], list(names))
                for s in listed:
                    self.assertEqual(s["vm-state-size"] > 0, i == 0, listed)
                    self.assertGreater(s["vm-clock-sec"] + s["vm-clock-nsec"], 0)

    def test_back_and_forth(self):
        box = self.box()
        self.ctl(box, "snapshot", "save", "one", "disk0", *DISKS)
        self.goes_on(box)
        self.ctl(box, "snapshot", "save", "two", "disk0", *DISKS)
        self.goes_on(box)
        for name in ("one", "two", "one"):
            at = box.beats()[-1][1]
            self.ctl(box, "snapshot", "load", name, "disk0", *DISKS)
            self.assertEqual(box.status(), "running")
            self.goes_on(box)
            self.assertTrue(any(b[1] < a[1] for a, b in zip(box.beats(), box.beats()[1:])), "its clock did not go back from %d" % at)
        self.ctl(box, "snapshot", "delete", "one", *DISKS)
        self.ctl(box, "snapshot", "delete", "one", *DISKS)
        self.assertIn("has no snapshot 'one'", self.ctl(box, "snapshot", "load", "one", "disk0", *DISKS, status=1))
        self.goes_on(box)
        box.qmp.command("stop")
        self.ctl(box, "snapshot", "load", "two", "disk0", *DISKS)
        self.assertEqual(box.status(), "paused")
        box.qmp.command("cont")
        self.goes_on(box)
        self.end(box)
        self.check_images("two")

    def test_refused(self):
        """Nothing is left of what fails, and the machine runs on."""
        raw, narrow = self.path("c.raw"), self.path("disk1.qcow2")
        with open(raw, "wb") as f:
            f.truncate(16 << 20)
        self.tool(VERSIONS[-1], "create", "-q", "-f", "qcow2", "-o", "refcount_bits=1", narrow, "32M")
        box = self.box(more=("--disk", raw + ",id=raw"), images=DISKS)
        names = ("disk1", "disk2")
        self.assertIn("disk raw can have no snapshots: it is raw", self.ctl(box, "snapshot", "save", "s", "disk1", "disk1", "raw", status=1))
        self.assertIn("refcounts of 1 bits are too narrow", self.ctl(box, "snapshot", "save", "s", "disk1", *names, status=1))
        self.assertIn("is none of the devices", self.ctl(box, "snapshot", "save", "s", "raw", "disk1", status=1))
        self.goes_on(box)
        nodes = {n["device"]: n["inserted"]["image"] for n in box.qmp.command("query-block")}
        self.assertNotIn("snapshots", nodes["disk1"])
        self.assertEqual(nodes["raw"]["format"], "raw")
        self.ctl(box, "snapshot", "save", "s", "disk1", "disk1")
        nodes = {n["device"]: n["inserted"]["image"] for n in box.qmp.command("query-block")}
        self.assertEqual([n["name"] for n in nodes["disk1"]["snapshots"]], ["s"])
        self.assertGreater(nodes["disk1"]["snapshots"][0]["vm-state-size"], 65536)
        self.goes_on(box)
        box.qmp.command("block-dirty-bitmap-add", node="disk1", name="b0")
        self.assertIn("has the dirty bitmap b0", self.ctl(box, "snapshot", "load", "s", "disk1", "disk1", status=1))
        self.goes_on(box)
        self.end(box)
        for image in self.images:
            self.tool(VERSIONS[-1], "check", "-q", image)

    def refused(self, *more, memory="16M"):
        """Why a machine does not even start."""
        argv = [built("cli/godwit"), "vm", "--memory", memory, "--accel", "unicorn", "--serial", "null", *more]
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(run.returncode, 1, run)
        return run.stderr

    def test_loadvm(self):
        """A machine begins where another one was; what does not is told, and changes nothing."""
        box = self.box()
        self.ctl(box, "snapshot", "save", "one", "disk0", *DISKS)
        self.goes_on(box)
        self.ctl(box, "snapshot", "save", "half", "disk1", "disk1")
        box.qmp.command("stop")
        wrote = box.beats()[-1][1]
        self.end(box)
        disks = [a for image in self.images for a in ("--disk", image)]
        before = [self.tool(VERSIONS[-1], "snapshot", "-l", image) for image in self.images]
        self.assertIn("no disk has a machine in a snapshot of this name. What all disks have: one", self.refused(*disks, "--loadvm", "none"))
        self.assertIn("not all disks have this snapshot. What all disks have: one", self.refused(*disks, "--loadvm", "half"))
        self.assertIn("no disk that can be written to", self.refused("--loadvm", "one"))
        read_only = [d + ",readonly" if d[0] != "-" else d for d in disks]
        self.assertIn("no disk that can be written to", self.refused(*read_only, "--loadvm", "one"))
        raw = self.path("c.raw")
        with open(raw, "wb") as f:
            f.truncate(16 << 20)
        self.assertIn("not all disks have this snapshot", self.refused(*disks, "--disk", raw, "--loadvm", "one"))
        self.tool(VERSIONS[-1], "create", "-q", "-f", "qcow2", "-o", "extended_l2=on", self.path("sub"), "16M")
        self.assertIn("subclusters", self.refused("--disk", self.path("sub")))
        self.assertIn("--loadvm one: ", self.refused(*disks, "--loadvm", "one", memory="8M"))
        self.assertEqual([self.tool(VERSIONS[-1], "snapshot", "-l", image) for image in self.images], before)
        box = Box(self, "again", ["--memory", "16M", "--accel", "unicorn", *disks, "--loadvm", "one", "--paused"])
        self.assertEqual(box.status(), "paused")
        box.qmp.command("cont")
        self.goes_on(box)
        self.assertLess(box.beats()[0][1], wrote)
        self.end(box)

    def garble(self, what, by):
        """In the image, whose machine is gone."""
        with open(self.images[0], "r+b") as f:
            data = f.read()
            self.assertIn(what, data)
            f.seek(0)
            f.write(data.replace(what, by))

    def test_damaged(self):
        box = self.box(workload="idle")
        self.ctl(box, "snapshot", "save", "head", "disk0", *DISKS)
        self.end(box)
        self.garble(b"QEVM", b"QEVN")
        box = self.box("again", workload="idle")
        self.ctl(box, "snapshot", "save", "half", "disk0", *DISKS)
        self.end(box)
        self.garble(b"virtio-blk", b"virtio-blX")
        box = self.box("last", workload="idle")
        self.ctl(box, "snapshot", "save", "whole", "disk0", *DISKS)
        told = self.ctl(box, "snapshot", "load", "head", "disk0", *DISKS, status=1)
        self.assertNotIn("cannot run", told)
        self.goes_on(box)
        told = self.ctl(box, "snapshot", "load", "half", "disk0", *DISKS, status=1)
        self.assertIn("the machine was changed and cannot run", told)
        self.assertEqual(box.status(), "restore-vm")
        for command, more in ("cont", {}), ("migrate", {"uri": "tcp:127.0.0.1:1"}):
            with self.assertRaisesRegex(QmpError, "only in part"):
                box.qmp.command(command, **more)
        self.ctl(box, "snapshot", "load", "whole", "disk0", *DISKS)
        self.assertEqual(box.status(), "paused")
        box.qmp.command("cont")
        self.goes_on(box)
        self.end(box)

    def test_moved(self):
        """The disks go with the machine, their snapshots too: they are loaded where it is then."""
        box = self.box()
        self.ctl(box, "snapshot", "save", "s", "disk0", *DISKS)
        options = box.argv[box.argv.index("--memory"):box.argv.index("--workload")]
        to = Box(self, "there", options, incoming=True)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        box.qmp.command("migrate", uri=to.address())
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed")
        self.assertIn("belongs to another host", self.ctl(box, "snapshot", "delete", "s", *DISKS, status=1))
        box = self.arrived(box, to)
        self.goes_on(box)
        self.ctl(box, "snapshot", "load", "s", "disk0", *DISKS)
        self.goes_on(box)
        self.end(box)
        self.check_images("s")


if __name__ == "__main__":
    unittest.main()
