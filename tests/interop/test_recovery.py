# SPDX-License-Identifier: MIT
# builds: plain asan
"""A source by postcopy whose connection breaks again and again, anywhere: the destination gets all of the memory in the end."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cuts import Cutter  # noqa: E402
from harness import wait_until  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_postcopy import Postcopy  # noqa: E402
from versions import VERSIONS, at_least, profile  # noqa: E402

CUTS = 20
FIRST = 4             # bytes by which 11.1 knows what a connection is; with fewer it waits for another one
ASK = 12              # bytes that a source says until all is asked: for the map, and RESUME
BACK = 542            # bytes that a destination says until it has acknowledged
FORWARD = 300 << 10   # of pages, at most, between two cuts: all cuts find something to send


def places(version, seed):
    """Where connections are cut: in the maps, around RESUME, in its answer, among the pages. QEMU up to 7.2 at least crashes where
    a recovery breaks before RESUME."""
    r = random.Random(seed)
    for n in range(CUTS):
        kind = r.choice(("close", "reset", "swallow"))
        late = not at_least(version, "8.0")
        yield ({"forward": ASK if late else r.randrange(FIRST, ASK), "kind": kind},
               {"back": BACK - 8 + r.randrange(8) if late else r.randrange(BACK), "kind": kind},
               {"forward": r.randrange(ASK, FORWARD), "kind": kind})[n % 3]


class Recovery(Postcopy):
    seed = ""

    def paused_there(self, target):
        """It may see the end of a connection later than the source does."""
        def is_paused():
            target.qmp.poll()
            told = [e["data"]["status"] for e in target.qmp.events if e["event"] == "MIGRATION"]
            return told and told[-1] == "postcopy-paused"
        wait_until("%s is paused" % target.role, is_paused)

    def listens_again(self, target, name):
        target.qmp.events.clear()
        target.qmp.command("migrate-recover", uri=self.unix(name))
        return self.unix(name)

    def recovering(self, target):
        return target.qmp.seen("MIGRATION", status="postcopy-recover")

    def runs(self, target, source):
        """One that was not told to run yet does not pause: it fails."""
        wait_until("it runs there", lambda: target.status() != "inmigrate" or not source.alive())
        wait_until("some came", lambda: target.qmp.seen("MIGRATION", status="postcopy-active") or not source.alive())


class Live(Recovery):
    def events(self, source):
        source.seen("none of them")
        return [e for e in source.events if e["event"] == "paused"]

    def paused_here(self, source, times):
        wait_until("paused %d times" % times, lambda: len(self.events(source)) == times or source.ended() or not source.alive())
        self.assertEqual(len(self.events(source)), times, source.text()[-2000:])

    def test_each_version(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.one(version, self.target(version, "target" + version, "n" + version))

    def one(self, version, target):
        source = self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), ram=RAM, rate=2000,
                              working_set=4 << 20, capabilities=["postcopy-ram"], parameters={"max-bandwidth": 8 << 20,
                                                                                            "max-postcopy-bandwidth": 2 << 20})
        wait_until("a pass", lambda: source.seen("pass", **{"pass": "2"}))
        source.tell("postcopy")
        wait_until("it runs there", lambda: "postcopy-active" in source.statuses())
        self.runs(target, source)
        source.tell("pause")
        source.tell("max-postcopy-bandwidth=%d" % (64 << 20))
        for n, cut in enumerate(places(version, version + self.seed)):
            self.paused_here(source, n + 1)
            self.paused_there(target)
            cutter = Cutter(self.listens_again(target, "r%d-%s" % (n, version)), **cut)
            cutter.start()
            source.tell("resume " + cutter.uri)
            with self.failing_as("QEMU %s, cut %d at %s" % (version, n, cut)):
                cutter.end()
                self.paused_here(source, n + 2)
                wait_until("it saw that", lambda: self.recovering(target))
        self.paused_there(target)
        source.tell("resume " + self.listens_again(target, "last" + version))
        end = source.end()
        self.assert_ok(end)
        self.assertEqual((end["owner"], end["running"]), ("destination", False))
        target.wait()
        self.assert_same_ram(target.saved_ram(), source.ram())

    def test_memory_that_was_given_back(self):
        """With release-ram, and the connection lost among pages: pages in flight can still be sent again."""
        for version in VERSIONS:
            with self.subTest(version):
                self.given_back(version, self.target(version, "target" + version, "n" + version))

    def given_back(self, version, target):
        source = self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), ram=RAM, block="r,private",
                              capabilities=["postcopy-ram", "release-ram"],
                              parameters={"max-bandwidth": 8 << 20, "max-postcopy-bandwidth": 4 << 20})
        source.tell("postcopy")
        wait_until("it runs there", lambda: "postcopy-active" in source.statuses())
        self.runs(target, source)
        source.tell("pause")
        for n in range(3):
            self.paused_here(source, n + 1)
            self.paused_there(target)
            cutter = Cutter(self.listens_again(target, "r%d-%s" % (n, version)), forward=2 << 20, kind="swallow")
            cutter.start()
            source.tell("resume " + cutter.uri)
            cutter.end()
        self.paused_here(source, 4)
        self.paused_there(target)
        source.tell("max-postcopy-bandwidth=0")
        source.tell("resume " + self.listens_again(target, "last" + version))
        end = source.end()
        self.assert_ok(end)
        target.wait()
        # The sum over all five connections: each page went at least once.
        self.assertGreaterEqual(end["stats"]["normal"] + end["stats"]["duplicate"], len(RAM) // 4096)
        self.assertGreater(end["stats"]["transferred"], 3 * (2 << 20))
        self.assertFalse(source.ram().strip(bytes(1)), "it was not given back")
        self.assert_same_ram(target.saved_ram(), RAM)

    def test_nobody_listens(self):
        """A failed attempt changes nothing."""
        target = self.target("10.0")
        source = self.none_vm("source", "send", self.unix("n"), peer="10.0", ram=RAM, capabilities=["postcopy-ram"],
                              parameters={"max-bandwidth": 8 << 20, "max-postcopy-bandwidth": 2 << 20})
        source.tell("pause")
        self.assertIn("a pause breaks the connection of one by postcopy", source.wait_event("refused")["text"])
        source.tell("postcopy")
        self.runs(target, source)
        wait_until("it runs there", lambda: "postcopy-active" in source.statuses())
        source.tell("pause")
        for n in range(3):
            self.paused_here(source, n + 1)
            source.tell("resume unix:" + self.path("nobody"))
        self.paused_here(source, 4)
        self.paused_there(target)
        source.tell("max-postcopy-bandwidth=0")
        source.tell("resume " + self.listens_again(target, "r"))
        self.assert_ok(source.end())
        target.wait()
        self.assert_same_ram(target.saved_ram(), source.ram())


class File(Recovery):
    def test_each_version(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in VERSIONS:
            with self.subTest(version):
                self.one(version, path, self.target(version, "target" + version, "n" + version))

    def one(self, version, path, target):
        slow = ["--parameter", "max-postcopy-bandwidth=2M"]
        send = self.command("send" + version, "send", path, self.unix("n" + version), "--postcopy", "--force", *slow)
        self.runs(target, send)
        self.assertTrue(send.alive(), send.text())
        send.process.kill()
        for n, cut in enumerate(places(version, "file" + version + self.seed)):
            self.paused_there(target)
            cutter = Cutter(self.listens_again(target, "r%d-%s" % (n, version)), **cut)
            cutter.start()
            send = self.command("send%s-%d" % (version, n), "send", path, cutter.uri, "--resume")
            with self.failing_as("QEMU %s, cut %d at %s" % (version, n, cut)):
                self.exits(send, 1)
                cutter.end()
                self.assertIn("`godwit send --resume` with the same file resumes it", send.text())
                wait_until("it saw that", lambda: self.recovering(target))
        self.paused_there(target)
        self.exits(self.command("last" + version, "send", path, self.listens_again(target, "last" + version), "--resume"))
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)


if __name__ == "__main__":
    unittest.main()
