# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit serve: one parked machine goes on at many QEMUs at once, from one cache of its pages."""
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SLOW, Qtest, read_file, wait_until, write_file  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_working_set import decode  # noqa: E402
from test_postcopy import Peer, Postcopy  # noqa: E402

MANY = 20
PAGE = 4096
FILLED = sum(any(RAM[at:at + PAGE]) for at in range(0, SIZE, PAGE))  # pages that are no zeros


class Serve(Postcopy):
    def file(self, ram=RAM):
        return self.parked(self.none("10.0", "source", ram=ram), self.unix())

    def serve(self, path, *arguments, role="serve"):
        return self.command(role, "serve", path, "--json", *arguments)

    def lines(self, program, event):
        return [line for line in (json.loads(text) for text in program.text().splitlines() if text.startswith("{"))
                if line.get("event") == event]

    def ctl(self, *arguments, status=0):
        program = self.command("ctl%d" % self.count, "ctl", self.path("control"), *arguments)
        self.count += 1
        self.exits(program, status)
        return program.text()

    def setUp(self):
        super().setUp()
        self.count = 0


class Many(Serve):
    def test_a_snapshot_of_a_disk(self):
        if not shutil.which("qemu-img"):
            self.skipTest("no qemu-img")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.path("disk.qcow2"), "1M"], check=True)
        self.exits(self.command("into", "convert", self.file(), "--into", self.path("disk.qcow2"), "--snapshot", "s"))
        targets = [self.target("10.0", "target" + n, n) for n in ("a", "b")]
        self.exits(self.serve(self.path("disk.qcow2"), self.unix("a"), self.unix("b"), "--snapshot", "s"))
        for target in targets:
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)
            target.close()

    def test_twenty_at_once(self):
        path = self.file()
        names = ["n%d" % i for i in range(MANY)]
        targets = [self.target("10.0", "target" + n, n) for n in names]
        serve = self.serve(path, *map(self.unix, names))
        self.exits(serve)
        for target in targets:
            target.wait()
            self.assertTrue(target.qmp.seen("MIGRATION", status="postcopy-active"))
            self.assert_same_ram(target.saved_ram(), RAM)
            target.close()
        self.assertEqual(len(self.lines(serve, "running")), MANY)
        self.assertEqual(len(self.lines(serve, "done")), MANY)
        end = self.lines(serve, "served")[0]
        self.assertEqual((end["done"], end["failed"]), (MANY, 0))
        # Each page came out of the file once, and went to each of them.
        self.assertEqual(end["cache"]["read-pages"], FILLED)
        self.assertGreaterEqual(end["cache"]["given-pages"], MANY * FILLED)
        self.assertEqual(end["cache"]["dropped-chunks"], 0)
        self.assertFalse(os.listxattr(path))

    def test_urgent_pages(self):
        """Requested pages have a separate connection, which is made at the hand-over."""
        path, names = self.file(), ["a", "b"]
        targets = [self.target("10.0", "target" + n, n, capabilities=("postcopy-ram", "postcopy-preempt")) for n in names]
        self.exits(self.serve(path, *map(self.unix, names), "--capability", "postcopy-preempt"))
        for target in targets:
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)

    def test_little_room(self):
        """With less room than the machine has pages some are read again, and all is right all the same."""
        path = self.file()
        names = ["n%d" % i for i in range(4)]
        targets = [self.target("10.0", "target" + n, n) for n in names]
        serve = self.serve(path, "--cache", "1M", *map(self.unix, names))
        self.exits(serve)
        for target in targets:
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)
        cache = self.lines(serve, "served")[0]["cache"]
        self.assertGreater(cache["dropped-chunks"], 0)
        self.assertLessEqual(cache["kept-bytes"], 4 * (512 << 10))

    def test_guests_that_run(self):
        """microvm: each reads its memory while it comes."""
        vm = {"memory": SIZE, "machine": "microvm", "block": None, "qtest": True}
        source = self.qemu("10.0", "source", paused=True, **vm)
        guest = Qtest(source.qtest_path)
        for at in range(1 << 20, SIZE - (1 << 20), 1 << 16):
            guest.write(at, RAM[at:at + (1 << 16)])
        guest.close()
        path = self.parked(source, self.unix())
        names = ["n%d" % i for i in range(4)]
        targets = [self.qemu("10.0", "target" + n, incoming=self.unix(n), capabilities=["postcopy-ram"], **vm) for n in names]
        serve = self.serve(path, *map(self.unix, names))
        for i, target in enumerate(targets):
            wait_until("it is there", lambda t=target: t.qmp.seen("MIGRATION", status="postcopy-active"))
            guest = Qtest(target.qtest_path)
            for at in list(range(1 << 20, SIZE - (1 << 20), 1 << 16))[::(1, -1)[i % 2]]:
                self.assert_same_ram(guest.read(at, 1 << 16), RAM[at:at + (1 << 16)], "0x%x: " % at)
            guest.close()
        self.exits(serve)


class Record(Serve):
    def test_what_many_asked_for(self):
        """At a byte per second only requested pages arrive: pages that two of three guests read come first, in their
        order, and once."""
        vm = {"memory": SIZE, "machine": "microvm", "block": None, "qtest": True}
        source = self.qemu("10.0", "source", paused=True, **vm)
        guest = Qtest(source.qtest_path)
        for at in range(SIZE // 2, SIZE - (1 << 20), 1 << 16):
            guest.write(at, RAM[at:at + (1 << 16)])
        guest.close()
        path = self.parked(source, self.unix())
        names = ["n%d" % i for i in range(3)]
        targets = [self.qemu("10.0", "target" + n, incoming=self.unix(n), capabilities=["postcopy-ram"], **vm) for n in names]
        serve = self.serve(path, *map(self.unix, names), "--record", self.path("record"), "--parameter", "max-postcopy-bandwidth=1")
        base, far = SIZE // 2 // PAGE, 32  # pages: no one of them is a neighbour of another
        common = [base + far * n for n in (9, 2, 14, 5)]
        rare = [[base + far * 20, *common], [*common, base + far * 21], [base + far * 22]]
        for target, pages in zip(targets, rare):
            wait_until("it is there", lambda t=target: t.qmp.seen("MIGRATION", status="postcopy-active"))
            guest = Qtest(target.qtest_path)
            for page in pages:
                self.assert_same_ram(guest.read(page * PAGE, PAGE), RAM[page * PAGE:(page + 1) * PAGE], "page %d: " % page)
            guest.close()
        serve.process.send_signal(signal.SIGINT)
        wait_until("it was told", lambda: "interrupt again" in serve.text())
        serve.process.send_signal(signal.SIGINT)
        self.exits(serve, 1)
        order = [(block, first + i) for block, _, first, count in decode(read_file(self.path("record"))) for i in range(count)]
        self.assertEqual(len(order), len(set(order)))
        wanted = [page for _, page in order if page in set(sum(rare, []))]
        self.assertEqual(wanted[:4], common)
        self.assertEqual(sorted(wanted[4:]), [base + far * n for n in (20, 21, 22)])

    def test_refused(self):
        path = self.file()
        there = write_file(self.path("there"), b"mine")
        for words, arguments in (("--force replaces it", ("--record", there)),
                                 ("leave one of the two out", ("--record", self.path("r"), "--capability", "postcopy-preempt"))):
            serve = self.serve(path, self.unix("nobody"), *arguments, role=arguments[1][-1])
            self.exits(serve, 1)
            self.assertIn(words, serve.text())
            self.assertFalse(self.lines(serve, "failed"))  # no connection was made
        self.assertEqual(read_file(there), b"mine")


class Confined(Serve):
    def threads(self, program):
        """Of each thread: its user, and whether it is confined."""
        found = set()
        folder = "/proc/%d/task" % program.process.pid
        for task in os.listdir(folder):
            try:
                text = read_file("%s/%s/status" % (folder, task)).decode()
            except OSError:
                continue  # it has ended
            found.add((re.search(r"Uid:\s+(.*)", text)[1], re.search(r"Seccomp:\s+(\d)", text)[1]))
        return found

    def test_while_it_listens(self):
        """It connects to those that are started then, and starts no commands."""
        path, target = self.file(), self.target("10.0", "target", "n")
        serve = self.serve(path, "--listen", self.unix("control"))
        wait_until("it listens", lambda: "control" in serve.text())
        if SLOW == 1:  # sanitizers need calls of their own
            wait_until("it is confined", lambda: {mode for _, mode in self.threads(serve)} == {"2"})
        self.ctl("start", self.unix("n"))
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)
        self.assertIn("--sandbox off", self.ctl("start", "exec:true", status=1))
        self.ctl("qmp", "quit")
        self.exits(serve)

    def test_as_a_user(self):
        """The destination's socket and the file are root's; the record is the user's, whose identity the process has
        then."""
        if os.getuid():
            self.skipTest("only root can become another user")
        path, target, user = self.file(), self.target("10.0", "target", "n"), pwd.getpwnam("nobody")
        os.chmod(path, 0o600)
        os.chmod(self.folder, 0o711)
        shut = self.serve(path, self.unix("n"), "--user", "nobody", "--record", self.path("record"), role="shut")
        self.exits(shut, 1)
        self.assertIn("may not change this folder", shut.text())
        os.mkdir(self.path("own"))
        os.chown(self.path("own"), user.pw_uid, -1)
        serve = self.serve(path, self.unix("n"), "--user", "nobody", "--record", self.path("own/record"), "--parameter",
                           "max-postcopy-bandwidth=1M")
        wait_until("it has given up root", lambda: {who.split()[0] for who, _ in self.threads(serve)} == {str(user.pw_uid)})
        self.exits(serve)
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_a_user_who_listens(self):
        if os.getuid():
            self.skipTest("only root can become another user")
        path, user = self.file(), pwd.getpwnam("nobody")
        os.chmod(self.folder, 0o711)
        serve = self.serve(path, "--listen", self.unix("control"), "--user", "nobody", "--sandbox", "off")
        wait_until("it listens", lambda: "control" in serve.text())
        wait_until("it has given up root", lambda: {who for who, _ in self.threads(serve)} == {"\t".join([str(user.pw_uid)] * 4)})
        os.mkdir(self.path("own"))
        os.chown(self.path("own"), user.pw_uid, -1)
        self.ctl("start", "exec:id -ur > %s; cat > /dev/null" % self.path("own/id"), "--detach")
        wait_until("it ran", lambda: os.path.exists(self.path("own/id")) and read_file(self.path("own/id")).endswith(b"\n"))
        self.assertEqual(read_file(self.path("own/id")).decode(), "%d\n" % user.pw_uid)
        self.ctl("qmp", "quit")
        self.exits(serve, 1)


class Control(Serve):
    def test_started_by_ctl(self):
        path = self.file()
        targets = {n: self.target("10.0", "target" + n, n) for n in ("a", "b", "c")}
        serve = self.serve(path, self.unix("a"), "--listen", self.unix("control"))
        wait_until("it listens", lambda: "control" in serve.text())
        text = self.ctl("start", self.unix("b"))
        self.assertRegex(text, r"\A2: unix:\S+: completed, guest running after ")
        answer = json.loads(self.ctl("start", self.unix("c"), "--detach", "--json"))
        self.assertEqual(answer, {"id": 3})
        for target in targets.values():
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)
        self.assertIn("id", self.ctl("start", self.unix("nobody"), "--detach"))
        wait_until("it failed", lambda: self.lines(serve, "failed"))
        every = json.loads(self.ctl("destinations", "--json"))
        self.assertEqual([d["status"] for d in every["destinations"]], ["completed"] * 3 + ["failed"])
        self.assertEqual(every["destinations"][3]["guest"], "not-started")
        self.assertEqual(every["cache"]["read-pages"], FILLED)
        self.assertIn("must begin with tcp:", self.ctl("start", "nonsense", status=1))
        for arguments in ("{}", '{"uri": 1}', '{"uri": "unix:/x", "resume": 1}', '{"uri": "unix:/x", "other": 1}'):
            self.assertIn("the arguments are uri", self.ctl("qmp", "x-godwit-start", arguments, status=1))
        self.assertIn("it is served", self.ctl("migrate", self.unix("a"), status=1))
        self.ctl("qmp", "quit")
        self.exits(serve, 1)  # one failed

    def test_interrupted(self):
        serve = self.serve(self.file(), "--listen", self.unix("control"))
        wait_until("it listens", lambda: "control" in serve.text())
        serve.process.terminate()
        self.exits(serve)


class Failures(Serve):
    def test_one_does_not_touch_the_others(self):
        """One that is not there, one that leaves before it runs, one that leaves afterwards; and two that take it."""
        path = self.file()
        targets = [self.target("10.0", "target" + n, n) for n in "ab"]
        with Peer(self.path("early")) as early, Peer(self.path("late")) as late:
            serve = self.serve(path, self.unix("a"), self.unix("nobody"), "unix:" + early.path, "unix:" + late.path, self.unix("b"),
                               "--peer", "10.0", "--timeout", "3600")
            early.serve(lambda peer: peer.pong((1,)) and False or peer.seen(b"\x08\x00\x01"))
            late.serve(lambda peer: peer.pong((1, 2, 3)) or peer.ponged == {1, 2, 3})
            self.exits(serve, 1)
        for target in targets:
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)
        failed = {line["id"]: line for line in self.lines(serve, "failed")}
        self.assertEqual(sorted(failed), [2, 3, 4])
        self.assertEqual([failed[i]["guest"] for i in (2, 3, 4)], ["not-started", "not-started", "running"])
        self.assertEqual([failed[i]["resumable"] for i in (2, 3, 4)], [False, False, True])
        self.assertEqual((self.lines(serve, "served")[0]["done"], self.lines(serve, "served")[0]["failed"]), (2, 3))

    def test_killed_and_resumed(self):
        path = self.file()
        names = ["a", "b"]
        targets = [self.target("10.0", "target" + n, n) for n in names]
        first = self.serve(path, *map(self.unix, names), "--parameter", "max-postcopy-bandwidth=1M", role="first")
        for target in targets:
            wait_until("it runs", lambda t=target: t.status() != "inmigrate")
        self.assertTrue(first.alive(), first.text())
        first.process.kill()
        for target, name in zip(targets, names):
            target.wait("postcopy-paused")
            target.qmp.poll()
            target.qmp.events.clear()
            target.qmp.command("migrate-recover", uri=self.unix(name + "2"))
        self.exits(self.serve(path, *(self.unix(n + "2") for n in names), "--resume"))
        for target in targets:
            target.wait()
            self.assert_same_ram(target.saved_ram(), RAM)

    def test_what_cannot_be_served(self):
        path = self.file()
        target = self.target("10.0")
        self.exits(self.command("send", "send", path, self.unix("n"), "--postcopy"))
        target.wait()
        serve = self.serve(path, self.unix("n"))
        self.exits(serve, 1)
        self.assertIn("--force starts them anyway", serve.text())
        serve = self.serve(path, "--listen", "tcp:0.0.0.0:0")
        self.exits(serve, 1)
        self.assertIn("on other hosts", serve.text())
        for arguments in ((path,), (), (path, self.unix("n"), "--running", "--paused"), (path, self.unix("n"), "--cache", "0")):
            self.exits(self.command("serve", "serve", *arguments), 2)


if __name__ == "__main__":
    unittest.main()
