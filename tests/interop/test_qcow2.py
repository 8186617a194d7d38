# SPDX-License-Identifier: MIT
# builds: plain asan
"""qcow2 images: QEMU's tools find godwit's images clean and read the same contents, and godwit reads and writes
QEMU's."""
import json
import os
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PEERS, Case, built, fetched, peer, read_file, wait_until, write_file  # noqa: E402

VERSIONS = ["5.2", "7.2", "10.0", "11.1"]
NEWEST = "11.1"
SIZE = 4 << 20


def run(argv, cwd, allowed=(0,)):
    done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in allowed:
        raise AssertionError("%s: %d\n%s%s" % (" ".join(argv), done.returncode, done.stdout, done.stderr))
    return done.stdout if allowed == (0,) else done.returncode


class Images(Case):
    def setUp(self):
        super().setUp()
        self.tool = built("tests/unit/disk/node/qcow2_tool")

    def qemu(self, version, program, *args, allowed=(0,)):
        return run([fetched(os.path.join(PEERS, version, "run-tool"), "QEMU " + version), program, *args], self.folder, allowed)

    def img(self, version, *args, **more):
        return self.qemu(version, "qemu-img", *args, **more)

    def io(self, version, image, *commands):
        return self.qemu(version, "qemu-io", "-f", "qcow2", *[w for c in commands for w in ("-c", c)], image)

    def ours(self, *args):
        return run([self.tool, *args], self.folder)

    def reads_equal(self, version, image, *chain):
        """Both read the image as the same bytes."""
        self.img(version, "convert", "-f", "qcow2", "-O", "raw", image, "theirs")
        self.ours("read", "ours", image, *chain)
        self.assertEqual(read_file(self.path("ours")), read_file(self.path("theirs")))

    def clean(self, image, version=NEWEST):
        self.img(version, "check", "-f", "qcow2", image)
        self.assertEqual(self.ours("check", image).split()[:3], ["0", "0", "0"])

    # ---- ours ----

    def test_ours_after_random_calls(self):
        """All widths of refcounts, sizes of clusters, snapshots, both versions."""
        os.mkdir(self.path("all"))
        self.ours("model", "all", "100", "40")
        for name in sorted(os.listdir(self.path("all"))):
            image = "all/%s/image" % name
            version = VERSIONS[int(name) % len(VERSIONS)]
            self.img(version, "check", "-f", "qcow2", image)
            self.img(version, "compare", "-f", "qcow2", "-F", "raw", image, "all/%s/disk" % name)

    def test_ours_of_a_writer_that_was_killed(self):
        """At most leaks (3), which their repair takes away."""
        leaks = 0
        os.mkdir(self.path("all"))
        self.ours("crash", "all", "200", "30")
        for name in sorted(os.listdir(self.path("all"))):
            image = "all/%s/image" % name
            leaks += self.img(NEWEST, "check", "-f", "qcow2", image, allowed=(0, 3)) == 3
            self.img(NEWEST, "check", "-f", "qcow2", "-r", "leaks", image)
            self.clean(image)
        self.assertTrue(leaks)

    # ---- theirs ----

    def create(self, version, options, *more):
        self.img(version, "create", "-f", "qcow2", "-o", options, *more, "image", str(SIZE))

    def options(self, version):
        """What this version makes."""
        yield "compat=0.10"
        yield "compat=0.10,cluster_size=512"
        for bits in (1, 2, 4, 8, 16, 32, 64):
            yield "compat=1.1,refcount_bits=%d,cluster_size=%d" % (bits, 512 << bits % 5)
        yield "lazy_refcounts=on,cluster_size=2M"
        yield "preallocation=metadata"
        yield "preallocation=falloc,cluster_size=4k"
        yield "extended_l2=on"
        yield "extended_l2=on,cluster_size=16k"

    def scribble(self, version, seed):
        """Their writes, zeros and discards."""
        dice, commands = random.Random(seed), []
        for _ in range(40):
            at, size = dice.randrange(SIZE // 512) * 512, 512 * (1 + dice.randrange(300))
            size = min(size, SIZE - at)
            commands.append(dice.choice(["write -P %d" % dice.randrange(1, 256), "write -P %d" % dice.randrange(1, 256), "write -z",
                                         "write -z -u", "discard"]) + " %d %d" % (at, size))
        self.io(version, "image", *commands)

    def test_theirs_are_read(self):
        for version in VERSIONS:
            for i, options in enumerate(self.options(version)):
                if version in VERSIONS[1:-1] and i % 4 != 1:
                    continue  # the oldest and the newest make all of them
                with self.subTest(version=version, options=options):
                    self.create(version, options)
                    self.scribble(version, i)
                    self.reads_equal(version, "image")
                    self.assertEqual(self.ours("check", "image").split()[:3], ["0", "0", "0"])

    def test_theirs_are_written(self):
        """Random writes of ours to an image that they have made and written; what it reads as is the same for both."""
        for version in ("5.2", NEWEST):
            for i, options in enumerate(o for o in self.options(version) if "extended" not in o):
                with self.subTest(version=version, options=options):
                    self.create(version, options)
                    self.scribble(version, i)
                    if "refcount_bits=1," not in options:
                        self.img(version, "snapshot", "-c", "theirs", "image")
                    self.ours("fill", "image", str(i))
                    self.reads_equal(version, "image")
                    self.clean(image="image", version=version)

    def test_compressed(self):
        for version, kinds in (("5.2", ["zlib"]), ("7.2", ["zstd"]), (NEWEST, ["zlib", "zstd"])):  # that 5.2 was built without zstd
            for kind in kinds:
                for size in ("512", "64k", "2M") if kind == "zlib" else ("64k",):
                    with self.subTest(version=version, kind=kind, size=size):
                        dice = random.Random(5)
                        write_file(self.path("raw"), b"".join(bytes([dice.randrange(256)] * 300 + [i % 256] * 212) for i in range(SIZE // 512)))
                        self.img(version, "convert", "-c", "-O", "qcow2", "-o", "compression_type=%s,cluster_size=%s" % (kind, size), "raw", "image")
                        self.ours("read", "ours", "image")
                        self.assertEqual(read_file(self.path("ours")), read_file(self.path("raw")))
                        self.img(version, "snapshot", "-c", "one", "image")
                        self.ours("fill", "image", "3")  # compressed clusters are copied to plain ones, and freed
                        self.clean("image", version)
                        self.reads_equal(version, "image")
                        self.ours("apply", "image", "one")
                        self.ours("read", "ours", "image")
                        self.assertEqual(read_file(self.path("ours")), read_file(self.path("raw")))
                        self.ours("delete", "image", "one")
                        self.clean("image", version)

    def test_chain(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                write_file(self.path("base"), os.urandom(SIZE // 2))
                self.img(version, "create", "-f", "qcow2", "-b", "base", "-F", "raw", "middle", str(SIZE * 3 // 4))
                self.io(version, "middle", "write -P 1 100k 300k", "write -z 1M 65k")
                self.img(version, "create", "-f", "qcow2", "-b", "middle", "-F", "qcow2", "image", str(SIZE))
                self.io(version, "image", "write -P 2 50k 100k", "write -z 2M 1M", "discard 200k 64k")
                self.reads_equal(version, "image", "middle", "base")

    # ---- snapshots ----

    def test_snapshots_of_both(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                self.create(version, "cluster_size=4k")
                self.scribble(version, 1)
                self.img(version, "snapshot", "-c", "theirs", "image")
                before = self.read("image")
                self.ours("fill", "image", "1")
                self.ours("take", "image", "ours")
                self.clean("image", version)
                middle = self.read("image")
                self.scribble(version, 2)
                self.assertEqual(self.ours("snapshots", "image"), "1 theirs 0 %d\n2 ours 0 %d\n" % (SIZE, SIZE))
                self.assertTrue(re.search(r"^2 +ours ", self.img(version, "snapshot", "-l", "image"), re.M))
                self.img(version, "snapshot", "-a", "ours", "image")
                self.assertEqual(self.read("image"), middle)
                self.ours("apply", "image", "theirs")
                self.clean("image", version)
                self.assertEqual(self.read("image"), before)
                self.ours("delete", "image", "theirs")
                self.clean("image", version)
                self.img(version, "snapshot", "-d", "ours", "image")
                self.clean("image", version)
                self.assertEqual(self.read("image"), before)

    def monitor(self, version, *commands):
        """A machine that does not run, with the image; what it says to these commands."""
        run_it = [peer(version), "-machine", "microvm,accel=tcg", "-m", "16", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio",
                  "-blockdev", "driver=file,filename=image,node-name=f", "-blockdev", "driver=qcow2,file=f,node-name=d"]
        words = [{"execute": "qmp_capabilities"}]
        words += [{"execute": "human-monitor-command", "arguments": {"command-line": c}} for c in commands] + [{"execute": "quit"}]
        with subprocess.Popen(run_it, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
            try:
                p.stdin.write("".join(json.dumps(w) + "\n" for w in words))
                p.stdin.flush()
                wait_until("the machine is gone", lambda: p.poll() is not None)
            finally:
                p.kill()
            said = [json.loads(line) for line in p.stdout.read().splitlines()]
        return [a["return"] for a in said if "return" in a][1:1 + len(commands)]

    def test_state_of_a_machine(self):
        """A machine that QEMU saved in the image: we read it, and write it as another snapshot, which QEMU loads."""
        for version in VERSIONS:
            with self.subTest(version=version):
                self.create(version, "cluster_size=64k")
                self.scribble(version, 7)
                before = self.read("image")
                self.assertEqual(self.monitor(version, "savevm one"), [""])
                state_bytes = int(self.ours("snapshots", "image").split()[2])
                self.assertGreater(state_bytes, 10000)
                self.ours("again", "image", "one", "two")
                self.clean("image", version)
                self.scribble(version, 8)
                self.assertEqual(self.monitor(version, "loadvm two"), [""])
                self.assertEqual(self.read("image"), before)
                self.ours("state", "state", "image", str(state_bytes))
                self.assertTrue(read_file(self.path("state")).startswith(b"QEVM"))
                self.clean("image", version)

    def read(self, image):
        self.ours("read", "ours", image)
        return read_file(self.path("ours"))

    # ---- bitmaps ----

    def test_bitmaps_of_both(self):
        for version in VERSIONS[1:]:
            with self.subTest(version=version):
                self.create(version, "cluster_size=64k")
                self.img(version, "bitmap", "--add", "-g", "64k", "image", "theirs")
                self.img(version, "bitmap", "--add", "--disable", "-g", "4k", "image", "still")
                self.io(version, "image", "write 128k 64k", "write 1M 192k")
                self.assertEqual(self.ours("bitmaps", "image"), "theirs 2 16 2+1,16+3,\nstill 0 12 \n")
                self.ours("add", "image", "mine", "16", "5", "2")
                self.clean("image", version)
                self.io(version, "image", "write 640k 64k")
                self.assertEqual(self.ours("bitmaps", "image"), "theirs 2 16 2+1,10+1,16+3,\nstill 0 12 \nmine 2 16 5+2,10+1,\n")
                self.clean("image", version)

    def test_bitmaps_that_were_not_loaded(self):
        """A write by godwit without tracking: bitmaps that must record all writes become invalid, the others stay
        valid."""
        self.create(NEWEST, "cluster_size=64k")
        self.img(NEWEST, "bitmap", "--add", "-g", "64k", "image", "auto")
        self.img(NEWEST, "bitmap", "--add", "--disable", "-g", "64k", "image", "still")
        self.ours("fill", "image", "1")
        self.assertEqual(self.ours("bitmaps", "image"), "auto 3 16 \nstill 0 16 \n")
        self.assertIn("in-use", self.img(NEWEST, "info", "image"))
        self.clean("image")


if __name__ == "__main__":
    unittest.main()
