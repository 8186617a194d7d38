# SPDX-License-Identifier: MIT
# builds: plain asan
"""`godwit ctl migrate --disks` between two QEMUs: their disks are the same afterwards though they were written
continuously, also where the QEMUs have no block migration; if it fails or is interrupted anywhere, the source runs on
and nothing is left behind."""
import json
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, QmpError, built, pattern, read_file, wait_until, write_file  # noqa: E402
from qmp_proxy import QmpProxy  # noqa: E402
from versions import VERSIONS  # noqa: E402

MIB = 1 << 20
DISK, MEMORY = 4 * MIB, 32 * MIB


class Disks(Case):
    version = "10.0"

    def disks(self, role, seed):
        """A qcow2 with a drive's name, and a raw file whose device alone has one."""
        raw, cow = self.path(role + ".raw"), self.path(role + ".qcow2")
        rnd = random.Random(seed)
        write_file(raw, b"".join(rnd.choice((bytes(65536), rnd.randbytes(65536))) for _ in range(DISK // 65536)))
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, cow], check=True)
        return raw, cow

    def machine(self, role, seed, **options):
        raw, cow = self.disks(role, seed)
        # Only the source's are written to from outside; a destination's device must not start beside another writer.
        share = "on" if role == "source" else "off"
        args = ["-drive", "if=none,id=d0,format=qcow2,file=" + cow, "-device", "virtio-blk-pci,share-rw=%s,drive=d0" % share,
                "-blockdev", "driver=raw,node-name=%s-raw,file.driver=file,file.filename=%s" % (role, raw),
                "-device", "virtio-blk-pci,share-rw=%s,id=d1,drive=%s-raw" % (share, role),
                "-qmp", "unix:%s,server=on,wait=off" % self.path(role + ".ctl")]
        qemu = self.qemu(self.version, role, machine="q35", memory=MEMORY, args=args,
                         ram=write_file(self.path(role + ".ram"), pattern(MEMORY) if role == "source" else bytes(MEMORY)), **options)
        qemu.disks = raw, cow
        return qemu

    def pair(self, **parameters):
        self.source = self.machine("source", 1, parameters={"downtime-limit": 1000, **parameters})
        self.arrive()

    def arrive(self):
        self.target = self.machine("target", 2, incoming="unix:" + self.path("m"))

    def ctl(self, *options, source="source.ctl", target="target.ctl"):
        argv = [built("cli/godwit"), "ctl", self.path(source), "migrate", "unix:" + self.path("m"), "--disks", "--destination",
                self.path(target), "--json", *options]
        p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def end(self, p, status=0):
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, status, err)
        return json.loads(out) if status == 0 else err

    def open_for_writes(self):
        """The source writes to its disks for a client from outside, beside its guest: as a guest would, by requests that are under way
        while the monitor is served. (The monitor's own qemu-io command stops everything else, and with it the mirrors.)"""
        q = self.source.qmp.command
        q("nbd-server-start", addr={"type": "unix", "data": {"path": self.path("writes")}})
        for n, disk in enumerate(q("query-block")):
            q("block-export-add", type="nbd", id="w%d" % n, node_name=disk["inserted"]["node-name"], name="w%d" % n, writable=True)

    def write(self, seed):
        """In few places, so that the mirrors come to an end."""
        for disk in range(2):
            words = [w for n in range(20) for w in ("-c", "write -P %d %d 4k" % ((seed + n) % 250 + 1, n % 8 * 65536 + (seed + n) * 4096 % 65536))]
            subprocess.run(["qemu-io", "-f", "raw", *words, "nbd+unix:///w%d?socket=%s" % (disk, self.path("writes"))], check=True,
                           stdout=subprocess.DEVNULL)

    def jobs(self):
        return self.source.qmp.command("query-block-jobs")

    def assert_clean(self, target=True):
        q = self.source.qmp.command
        self.assertEqual(q("query-jobs"), [])
        self.assertEqual([n["node-name"] for n in q("query-named-block-nodes") if "godwit" in n["node-name"]], [])
        capabilities = {c["capability"]: c["state"] for c in q("query-migrate-capabilities")}
        self.assertFalse(capabilities["pause-before-switchover"])
        if target:
            self.assertEqual(self.target.qmp.command("query-block-exports"), [])
            self.assertRaisesRegex(QmpError, "not running", self.target.qmp.command, "nbd-server-stop")

    def assert_same_disks(self):
        for qemu in self.source, self.target:
            qemu.qmp.command("quit")
            qemu.wait_exit()
        self.assertEqual(read_file(self.source.disks[0]), read_file(self.target.disks[0]))
        subprocess.run(["qemu-img", "compare", self.source.disks[1], self.target.disks[1]], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["qemu-img", "check", "-q", self.target.disks[1]], check=True)


class Whole(Disks):
    def written(self, *options):
        """While the disks are copied, and while memory is: it takes a minute until the limit is lifted."""
        self.pair(**{"max-bandwidth": 512 << 10})
        self.open_for_writes()
        p = self.ctl(*options)
        wait_until("jobs", lambda: len(self.jobs()) == 2 or p.poll() is not None)
        self.write(1)
        self.source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 4 * MIB})
        wait_until("memory is sent", lambda: self.source.migration().get("status") == "active" or p.poll() is not None)
        self.source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 256 << 10})
        self.write(70)
        self.source.qmp.command("nbd-server-stop")
        self.assertIsNone(self.source.qmp.seen("STOP"))
        self.source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        info = self.end(p)
        self.assertEqual((info["status"], info["run-state"], info["disk"]["remaining"]), ("completed", "postmigrate", 0))
        self.assertGreater(info["disk"]["transferred"], 0)
        self.target.wait_state("running")
        self.assert_clean()
        self.assert_same_disks()

    def test_written(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                self.version = version
                self.written()

    def test_tcp(self):
        self.written("--nbd", "tcp:127.0.0.1:%d" % (20000 + os.getpid() % 20000))


class Top(Disks):
    """Both sides have an image over the same base."""

    def disks(self, role, seed):
        raw, cow = super().disks(role, seed)
        base = self.path("base")
        if not os.path.exists(base):
            write_file(base, random.Random(9).randbytes(DISK))
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, cow], check=True)
        if role == "source":
            subprocess.run(["qemu-io", "-c", "write -P 7 1M 192k", cow], check=True, stdout=subprocess.DEVNULL)
        return raw, cow

    def test_top(self):
        for version in "5.2", "11.1":
            with self.subTest(version=version):
                self.version = version
                self.pair()
                self.end(self.ctl("--disks-top"))
                self.target.wait_state("running")
                self.assert_clean()
                self.assert_same_disks()
                self.assertLess(os.stat(self.target.disks[1]).st_size, MIB)


class Undone(Disks):
    """Each command in turn is refused, or SIGINT comes while it is carried out."""

    BEFORE = (("source", "query-block", 1), ("target", "query-status", 1), ("target", "query-block", 1), ("target", "nbd-server-start", 1),
              ("target", "block-export-add", 1), ("target", "block-export-add", 2), ("source", "blockdev-add", 1), ("source", "blockdev-add", 2),
              ("source", "blockdev-mirror", 1), ("source", "blockdev-mirror", 2), ("source", "block-job-set-speed", 1),
              ("source", "query-block-jobs", 1), ("source", "migrate", 1))
    AFTER = (("source", "block-job-cancel", 1), ("source", "block-job-cancel", 2), ("source", "job-dismiss", 1), ("target", "nbd-server-stop", 1),
             ("source", "migrate-continue", 1))

    def judge(self, role):
        def judge(name, arguments):
            self.said.append(name + ("!" if arguments.get("force") else ""))
            if self.wanted and (role, name) == self.wanted[:2]:
                self.count += 1
                if self.count == self.wanted[2]:
                    if self.signal:
                        self.p.send_signal(signal.SIGINT)
                        return None
                    return "refused for a test"
            return None
        return judge

    def attempt(self, wanted, by_signal):
        self.wanted, self.count, self.signal = wanted, 0, by_signal
        # Slow enough that it is not over before the signal is looked for.
        self.source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 8 * MIB if wanted in self.BEFORE else 1 << 40})
        self.p = self.ctl(source="source.proxy", target="target.proxy")
        err = self.end(self.p, 1)
        self.assertGreaterEqual(self.count, wanted[2], "it never came: " + err)
        self.assertIn("cancel" if by_signal and wanted in self.AFTER else "interrupted" if by_signal and wanted[1] != "migrate" else
                      "" if by_signal else "refused for a test", err)
        self.source.wait_state("running")
        gone = self.source.migration().get("status") in ("cancelled", "failed")  # and with it the destination
        if gone:
            self.target.wait_exit()
        self.assert_clean(target=not gone)
        if gone:
            self.target.close()
            self.arrive()

    def setUp(self):
        super().setUp()
        self.said, self.wanted = [], None
        self.pair()
        for role in "source", "target":
            proxy = QmpProxy(self.path(role + ".proxy"), self.path(role + ".ctl"), self.judge(role))
            self.addCleanup(proxy.close)

    def test_before(self):
        for by_signal in False, True:
            for wanted in self.BEFORE:
                with self.subTest(wanted=wanted, by_signal=by_signal):
                    self.attempt(wanted, by_signal)
        self.wanted = None  # the destination of failed attempts is good for one that goes well
        self.said = []
        self.end(self.ctl(source="source.proxy", target="target.proxy"))
        # A QEMU does not complain of mirrors and exports that are still there when its machine leaves or arrives.
        end = [name for name in self.said if name in ("block-job-cancel", "block-job-cancel!", "blockdev-del", "nbd-server-stop", "migrate-continue")]
        self.assertEqual(end, [*["block-job-cancel"] * 2, *["blockdev-del"] * 2, "nbd-server-stop", "migrate-continue"])
        self.assert_same_disks()

    def test_after(self):
        for wanted in self.AFTER:
            with self.subTest(wanted=wanted):
                self.attempt(wanted, False)
        self.attempt(self.AFTER[0], True)


class Gone(Disks):
    """The destination dies while it gets the disks."""

    def begin(self):
        self.pair(**{"max-bandwidth": 256 << 10})
        p = self.ctl()
        wait_until("some is copied", lambda: sum(j["offset"] for j in self.jobs()) > 0 or p.poll() is not None)
        return p

    def test_killed(self):
        for version in "5.2", "11.1":
            with self.subTest(version=version):
                self.version = version
                p = self.begin()
                self.target.process.kill()
                self.assertRegex(self.end(p, 1), "disk .*|destination")
                self.assertEqual(self.source.status(), "running")
                self.assert_clean(target=False)
                self.source.close()


class ToGodwit(Case):
    """A godwit destination has no NBD server for mirrors: the error names what this QEMU can do instead."""

    def test_refused(self):
        box = Box(self, "box", ["--memory", "16M", "--accel", "unicorn"], incoming=True)
        for version, words in (("7.2", "--capability block=on instead of --disks"), ("10.0", "block migration ended with 9.0")):
            source = self.qemu(version, "source" + version, args=["-qmp", "unix:%s,server=on,wait=off" % self.path("ctl" + version)])
            p = subprocess.run([built("cli/godwit"), "ctl", self.path("ctl" + version), "migrate", box.address(), "--disks", "--destination",
                                box.qmp_path], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
            self.assertEqual(p.returncode, 2, p)
            self.assertIn(words, p.stderr)
            source.close()


class Refused(Disks):
    def test_usage(self):
        self.pair()
        for options, words in ((("--detach",), "not with --detach"), (("--nbd", "exec:true"), "is needed"),
                               (("--disks=some",), "takes no value"), (("--capability", "postcopy-ram"), "postcopy-ram")):
            self.assertIn(words, self.end(self.ctl(*options), 2))
        p = subprocess.run([built("cli/godwit"), "ctl", self.path("source.ctl"), "migrate", "unix:x", "--disks"], capture_output=True, text=True)
        self.assertIn("--destination", p.stderr)
        self.source.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": False}])
        other = self.qemu(self.version, "other", args=["-qmp", "unix:%s,server=on,wait=off" % self.path("other.ctl")])
        self.assertIn("is not waiting for a migration", self.end(self.ctl(target="other.ctl"), 1))
        other.close()
        self.target.qmp.command("nbd-server-start", addr={"type": "unix", "data": {"path": self.path("other.nbd")}})
        self.assertIn("nbd-server-start", self.end(self.ctl(), 1))
        self.target.qmp.command("nbd-server-stop")  # it was not ours and is still there
        self.assert_clean()


if __name__ == "__main__":
    unittest.main()
