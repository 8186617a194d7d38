# SPDX-License-Identifier: MIT
# builds: plain asan
"""Chains of qcow2 images whose backings are exports of NBD servers, or "json:" descriptions as qemu-img records them: we read what
qemu-img reads."""
import json
import os
import random
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PEERS, Case, built, fetched, read_file, wait_until, write_file  # noqa: E402
from places import listens  # noqa: E402
from test_nbd import setUpModule  # noqa: E402, F401  skips where there is no libnbd
from test_qcow2 import run  # noqa: E402
from versions import VERSIONS  # noqa: E402

SIZE = 4 << 20
NEWEST = VERSIONS[-1]


class Backing(Case):
    def setUp(self):
        super().setUp()
        self.tool = built("tests/unit/disk/node/qcow2_tool")
        dice = random.Random(8)
        write_file(self.path("base.raw"), b"".join(dice.randbytes(40000) + bytes(25536) for _ in range(SIZE // 65536 - 8)))

    def tools(self, version, program, *args):
        return run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), program, *args], self.folder)

    def scribble(self, version, image, seed):
        dice = random.Random(seed)
        commands = ["write -P %d %dk %dk" % (dice.randrange(1, 255), dice.randrange(3900), dice.randrange(1, 100)) for _ in range(6)]
        commands += ["write -z %dk 130k" % dice.randrange(3900), "discard %dk 64k" % (64 * dice.randrange(60))]
        self.tools(version, "qemu-io", "-f", "qcow2", *[w for c in commands for w in ("-c", c)], image)

    def create(self, version, image, backing, form, size=SIZE):
        """With what was written to it; one that is shorter than what it is over has that alone."""
        self.tools(version, "qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", form, image, str(size))
        if size == SIZE:
            self.scribble(version, image, len(image))

    def serve(self, name, *argv):
        """An export at a Unix socket, the server is this program."""
        at = self.path(name)
        if not shutil.which(argv[0]):
            self.skipTest(argv[0] + " is not installed")
        log = open(at + ".log", "wb")
        self.addCleanup(log.close)
        server = subprocess.Popen([a.replace("SOCKET", at) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until("the server listens", lambda: listens("unix:" + at) or server.poll() is not None)
        return at

    def equal(self, version, image):
        self.tools(version, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, "theirs")
        run([self.tool, "open", "ours", image], self.folder)
        self.assertEqual(read_file(self.path("ours")), read_file(self.path("theirs")))
        self.assertGreater(len(set(read_file(self.path("ours")))), 200)

    def refused(self, image):
        done = subprocess.run([self.tool, "open", "ours", image], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.returncode, 1, done)
        return done.stderr

    def test_json_files(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                base = {"driver": "raw", "file": {"driver": "file", "filename": self.path("base.raw")}}
                self.create(version, "middle" + version, "json:" + json.dumps(base), "raw", SIZE * 3 // 4)
                middle = {"driver": "qcow2", "file.driver": "file", "file.filename": self.path("middle" + version)}
                self.create(version, "top" + version, "json:" + json.dumps(middle), "qcow2")
                self.equal(version, "top" + version)

    def test_raw_export(self):
        at = self.serve("nbd", "nbdkit", "-f", "-r", "-U", "SOCKET", "file", "base.raw")
        for version in VERSIONS:
            for i, name in enumerate(("nbd+unix:///?socket=" + at, "nbd:unix:" + at, "json:" + json.dumps(
                    {"driver": "raw", "file": {"driver": "nbd", "server": {"type": "unix", "path": at}}}))):
                with self.subTest(version=version, name=name):
                    image = "image%d-%s" % (i, version)
                    self.create(version, image, name, "raw")
                    self.equal(version, image)

    def test_what_qemu_img_records(self):
        """rebase and commit write names by themselves, from the options that they were started with."""
        at = self.serve("nbd", "nbdkit", "-f", "-r", "-U", "SOCKET", "file", "base.raw")
        self.create(NEWEST, "image", "base.raw", "raw")
        self.tools(NEWEST, "qemu-img", "rebase", "-u", "-b", "nbd+unix:///x?socket=" + at, "-F", "raw", "image")
        self.equal(NEWEST, "image")
        told = json.loads(self.tools(NEWEST, "qemu-img", "info", "--output=json", "image"))
        self.assertIn("nbd", told["backing-filename"])

    def test_qcow2_export(self):
        """The bytes of a qcow2 image that has a file of this host below it, from qemu-nbd."""
        self.create(NEWEST, "middle", self.path("base.raw"), "raw")
        at = self.serve("nbd", "qemu-nbd", "-k", "SOCKET", "-f", "raw", "-t", "-r", "-e", "8", "-x", "an export", "middle")
        for i, name in enumerate(("nbd+unix:///an%20export?socket=" + at, "json:" + json.dumps(
                {"driver": "qcow2", "file": {"driver": "nbd", "server": {"type": "unix", "path": at}, "export": "an export"}}))):
            with self.subTest(name=name):
                image = "image%d" % i
                self.create(NEWEST, image, name, "qcow2")
                self.equal(NEWEST, image)

    def test_through_a_server(self):
        """What an exported image names is opened here, so a chain may go through several servers; it is over where one is gone."""
        raw = self.serve("raw", "nbdkit", "-f", "-r", "-U", "SOCKET", "file", "base.raw")
        self.create(NEWEST, "middle", "nbd+unix:///?socket=" + raw, "raw")
        middle = self.serve("image", "nbdkit", "-f", "-r", "-U", "SOCKET", "file", "middle")
        self.create(NEWEST, "top", "nbd+unix:///?socket=" + middle, "qcow2")
        self.equal(NEWEST, "top")
        self.tools(NEWEST, "qemu-img", "rebase", "-u", "-b", "nbd+unix:///?socket=" + self.path("nobody"), "-F", "raw", "middle")
        self.assertIn("nobody", self.refused("top"))

    def test_refused(self):
        for name, why in (("json:" + json.dumps({"driver": "https", "url": "https://host/x"}), "driver https is not supported"),
                          ("json:" + json.dumps({"driver": "raw", "offset": 512, "file.filename": self.path("base.raw")}), "option offset"),
                          ("https://host/x", "the protocol https"), ("ssh://host/x", "the protocol ssh")):
            with self.subTest(name=name):
                self.tools(NEWEST, "qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", "raw", "image", str(SIZE))
                self.assertIn(why, self.refused("image"))


if __name__ == "__main__":
    unittest.main()
