# SPDX-License-Identifier: MIT
# builds: plain
"""block-incremental with the QEMUs that have it, both ways, and between two godwits: disks are qcow2 layers over a base
that both sides have. Only data of the top layer is sent, including zeros that hide the base's data."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PEERS, fetched, wait_until  # noqa: E402
from test_block import MIB, WITH_BLOCK, Disks as Base  # noqa: E402
from versions import profile  # noqa: E402

SIZE = 24
# MiB of the disk: a whole chunk, a part of one, zeros over data of the base, over a hole of the base.
WRITTEN = {2: "write -P 7 2M 1M", 5: "write -P 9 5500k 64k", 7: "write -z 7M 1M", 9: "write -P 3 9M 4k", 20: "write -P 1 20M 1M"}


class Layers(Base):
    def tool(self, *args):
        run = subprocess.run([fetched(os.path.join(PEERS, "7.2", "run-tool"), "QEMU 7.2"), *args], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run)
        return run.stdout

    def layers(self):
        """The source's, with what it has written; the destination's, which has nothing."""
        base, images = self.image("base", SIZE, seed=1), [self.path("top.qcow2"), self.path("copy.qcow2")]
        for path in images:
            self.tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, path)
        self.tool("qemu-io", "-f", "qcow2", *[x for w in WRITTEN.values() for x in ("-c", w)], images[0])
        return images

    def allocated(self, image):
        """MiB of which the top layer has something."""
        runs = json.loads(self.tool("qemu-img", "map", "--output=json", image))
        return {m for r in runs if r["depth"] == 0
                for m in range(r["start"] // MIB, -(-(r["start"] + r["length"]) // MIB))}

    def drives(self, *images):
        return [x.replace("format=raw", "format=qcow2") for x in super().drives(*images)]

    def check(self, images, more=()):
        self.tool("qemu-img", "compare", *images)
        self.tool("qemu-img", "check", images[1])
        # A 7.2 sends what it finds in the top layer; chunks that were written meanwhile come whole.
        self.assertEqual(self.allocated(images[1]), set(WRITTEN) | set(more))


SETTINGS = dict(capabilities=("block", "zero-blocks"), parameters={"block-incremental": "on"})


class Incremental(Layers):
    def to_qemu(self, version, **more):
        images = self.layers()
        target = self.qemu(version, "target", incoming=self.uri(), **self.machine(images[1]))
        source = self.none_vm("source", "send", self.uri(), machine="microvm", peer=profile(version), images=self.named(images[0]),
                              **SETTINGS, **more)
        end = source.end()
        self.assert_ok(end)
        target.wait()
        target.qmp.command("quit")
        target.wait_exit()
        source.close()
        return images, end["stats"]["bytes-by"][6]

    def test_to_qemu(self):
        for version in WITH_BLOCK:
            with self.subTest(version=version):
                images, sent = self.to_qemu(version)
                self.check(images)
                self.assertLess(sent, 5 * MIB)

    def test_from_qemu(self):
        """Another MiB is written while the machine is stopped; it is sent whole."""
        for version in WITH_BLOCK:
            with self.subTest(version=version):
                images = self.layers()
                source = self.qemu(version, "source", capabilities=("block", "zero-blocks", "pause-before-switchover"),
                                   args=self.drives(images[0]), parameters={"downtime-limit": 0, "block-incremental": True})
                target = self.none_vm("target", "recv", self.uri(), images=self.named(images[1]))
                target.address()
                source.qmp.command("migrate", uri=self.uri())
                wait_until("the source stands", lambda: source.qmp.seen("MIGRATION", status="pre-switchover"))
                self.write(source, 0, 15, 3)
                source.qmp.command("migrate-continue", state="pre-switchover")
                self.assert_ok(target.end())
                source.wait()
                source.qmp.command("quit")
                source.wait_exit()
                target.close()
                self.check(images, [15])

    def test_between(self):
        images = self.layers()
        target = self.none_vm("target", "recv", self.uri(), images=self.named(images[1]))
        target.address()
        source = self.none_vm("source", "send", self.uri(), images=self.named(images[0]), **SETTINGS)
        end = source.end()
        self.assert_ok(end)
        self.assert_ok(target.end())
        source.close()
        target.close()
        self.check(images)
        self.assertLess(end["stats"]["bytes-by"][6], 5 * MIB)


if __name__ == "__main__":
    unittest.main()
