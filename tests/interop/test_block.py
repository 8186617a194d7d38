# SPDX-License-Identifier: MIT
# builds: plain
"""Disks that go with the machine (block migration), to and from the QEMUs that still do that, and between two godwits: holes,
disks that are written all the while, only the top layer, what the destination does not have."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, read_file, wait_until  # noqa: E402
from versions import VERSIONS, at_least, profile  # noqa: E402

MIB = 1 << 20
WITH_BLOCK = [v for v in VERSIONS if not at_least(v, "9.1")]
WITHOUT_BLOCK = [v for v in VERSIONS if at_least(v, "9.1")]


class Disks(Case):
    def uri(self):
        return "unix:" + self.path("m")

    def image(self, name, mib, seed=0, holes=True):
        """A raw file: every third MiB is a hole, the others are noise; seed 0: nothing but a hole."""
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(mib * MIB)
            for i in range(mib if seed else 0):
                if not holes or i % 3:
                    f.seek(i * MIB)
                    f.write(random.Random(seed + i).randbytes(MIB))
        return path

    def drives(self, *images):
        args = []
        for i, path in enumerate(images):
            args += ["-drive", "if=none,id=d%d,format=raw,auto-read-only=off,file=%s" % (i, path)]
        return args

    def machine(self, *images):
        """A QEMU whose disks are in use, since else it cannot write to them. The state of its devices is not sent to it."""
        args = self.drives(*images)
        for i in range(len(images)):
            args += ["-device", "virtio-blk-device,drive=d%d" % i]
        return {"machine": "microvm", "args": args, "paused": True}

    def named(self, *images):
        return [("d%d" % i, path) for i, path in enumerate(images)]

    def assert_same_disk(self, got, expected):
        a, b = read_file(got), read_file(expected)
        self.assertEqual(len(a), len(b))
        wrong = [i for i in range(0, len(a), 4096) if a[i:i + 4096] != b[i:i + 4096]]
        self.assertEqual(wrong, [], "%d pages differ" % len(wrong))

    def write(self, qemu, drive, mib, seed):
        """Writes as a guest would: through the block layer, where dirty tracking is."""
        qemu.qmp.command("human-monitor-command",
                         **{"command-line": 'qemu-io d%d "write -P %d %d 4k"' % (drive, seed % 255 + 1, mib * MIB + seed * 4096 % MIB)})



class FromQemu(Disks):
    """A QEMU of these versions may end before its disks are copied, and not say so, if what it counts as left fits its downtime
    limit. With a limit of 0 it does not."""

    def write_until_it_stands(self, source):
        """It waits there while it still owns its disks, and they are written once more. Not continuously: then it would
        never finish copying them."""
        for k in range(30):
            self.write(source, k % 2, k % 3, k)
        wait_until("the source stands", lambda: source.qmp.seen("MIGRATION", status="pre-switchover"))
        for k in range(30, 36):
            self.write(source, k % 2, 2 - k % 3, k)
        source.qmp.command("migrate-continue", state="pre-switchover")

    def receive(self, version, writes=False, arguments=None, capabilities=(), holes=False):
        images = self.image("a", 9, seed=1, holes=holes), self.image("b", 3, seed=50, holes=holes)
        copies = self.image("c", 9), self.image("d", 3, seed=90, holes=False)
        capabilities = (*capabilities, *(["pause-before-switchover"] if writes else []))
        source = self.qemu(version, "source", capabilities=capabilities, args=self.drives(*images),
                           parameters={"downtime-limit": 0, "max-bandwidth": 16 * MIB if writes else 1 << 40})
        target = self.none_vm("target", "recv", self.uri(), images=self.named(*copies))
        target.address()
        source.qmp.command("migrate", uri=self.uri(), **(arguments or {}))
        if writes:
            self.write_until_it_stands(source)
        self.assert_ok(target.end())
        source.wait()
        source.qmp.command("quit")
        source.wait_exit()
        end = target.seen("end")
        target.close()
        for a, b in zip(images, copies):
            self.assert_same_disk(b, a)
        self.assertEqual(end["stats"]["disk"], 12 * MIB)
        return [os.stat(path).st_blocks * 512 for path in copies]

    def test_written(self):
        for version in WITH_BLOCK:
            with self.subTest(version=version):
                self.receive(version, writes=True, arguments={"blk": True})

    def test_holes(self):
        """Zeros, sent as a flag or as bytes, become a hole here, also where there was data."""
        for version in WITH_BLOCK:
            for capabilities in (("block",), ("block", "zero-blocks")):
                with self.subTest(version=version, capabilities=capabilities):
                    a, b = self.receive(version, capabilities=capabilities, holes=True)
                    self.assertLessEqual(a, 6 * MIB + 64 * 1024)
                    self.assertLessEqual(b, 2 * MIB + 64 * 1024)


class ToQemu(Disks):
    def send(self, version, rate=0, capabilities=("block",), parameters=None):
        images = self.image("a", 9, seed=1), self.image("b", 3, seed=50)
        copies = self.image("c", 9), self.image("d", 3, seed=90, holes=False)
        target = self.qemu(version, "target", incoming=self.uri(), **self.machine(*copies))
        parameters = dict({"max-bandwidth": 16 * MIB, "downtime-limit": 1} if rate else {}, **(parameters or {}))
        source = self.none_vm("source", "send", self.uri(), machine="microvm", peer=profile(version), rate=rate,
                              working_set=MIB, capabilities=capabilities, parameters=parameters, images=self.named(*images))
        if rate:
            source.settle()
            source.tell("max-bandwidth=0")
            source.tell("downtime-limit=2000")
        end = source.end()
        self.assert_ok(end)
        target.wait()
        target.qmp.command("quit")
        target.wait_exit()
        source.close()
        for a, b in zip(images, copies):
            self.assert_same_disk(b, a)
        self.assertEqual(end["stats"]["disk"], 12 * MIB)
        self.assertEqual(end["stats"]["disk-total"], 12 * MIB)
        return end["stats"]["bytes-by"][6]

    def test_quiet(self):
        for version in WITH_BLOCK:
            with self.subTest(version=version):
                self.assertGreaterEqual(self.send(version), 12 * MIB)
                self.assertLess(self.send(version, capabilities=("block", "zero-blocks")), 9 * MIB)

    def test_written(self):
        for version in WITH_BLOCK:
            with self.subTest(version=version):
                self.assertGreater(self.send(version, rate=300, capabilities=("block", "zero-blocks")), 12 * MIB)

    def test_gone(self):
        """Those that have no block migration any more: refused before anything is sent."""
        image = self.image("a", 1, seed=1)
        for version in WITHOUT_BLOCK:
            source = self.none_vm("source", "send", self.uri(), peer=profile(version), capabilities=("block",),
                                  images=self.named(image))
            self.assertIn("QEMU 9.1 and later do not take them", source.wait_event("refused")["text"])
            source.close()


class Between(Disks):
    def both(self, images, copies, ours=None, **options):
        target = self.none_vm("target", "recv", self.uri(), images=copies)
        target.address()
        source = self.none_vm("source", "send", self.uri(), capabilities=("block", "zero-blocks"), images=images, working_set=MIB,
                              **options)
        return source, target

    def test_written(self):
        images = self.image("a", 9, seed=1), self.image("b", 3, seed=50)
        copies = self.image("c", 9), self.image("d", 3, seed=90, holes=False)
        source, target = self.both(self.named(*images), self.named(*copies), rate=300,
                                   parameters={"max-bandwidth": 16 * MIB, "downtime-limit": 1})
        source.settle()
        source.tell("max-bandwidth=0")
        source.tell("downtime-limit=2000")
        self.assert_ok(source.end())
        self.assert_ok(target.end())
        for a, b in zip(images, copies):
            self.assert_same_disk(b, a)

    def refused(self, images, copies, text):
        source, target = self.both(images, copies)
        end = source.end()
        self.assertFalse(end["ok"])
        self.assertTrue(end["running"])
        self.assertIn(text, end["error"])
        source.close()
        target.close()

    def test_refused(self):
        image, copy, short = self.image("a", 3, seed=1, holes=False), self.image("c", 3), self.image("d", 2)
        self.refused([("d0", image)], [("d1", copy)], "the source sends a disk d0, and this machine has none of that name")
        self.refused([("d0", image)], [("d0", short)], "a chunk of disk d0 begins at its byte 2097152, and it has 2097152 bytes")
        self.refused([("d0", image)], [], "section block")


if __name__ == "__main__":
    unittest.main()
