# SPDX-License-Identifier: MIT
# builds: plain asan
"""The separate channel for requested pages (postcopy-preempt), in the old form (7.2) and the new one."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Qtest, wait_until  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_postcopy import CHUNK, FROM, UNTIL  # noqa: E402
from test_recovery import Recovery  # noqa: E402
from versions import VERSIONS, at_least, profile  # noqa: E402

HAVE_IT = [v for v in VERSIONS if at_least(v, "7.2")]
BOTH = ("postcopy-ram", "postcopy-preempt")


class Preempt(Recovery):
    def send(self, role, version, path, uri, *options):
        return self.command(role, "send", path, uri, "--peer", profile(version), "--capability", "postcopy-preempt", *options)

    def guest(self, version, role, **options):
        return self.qemu(version, role + version, memory=SIZE, machine="microvm", block=None, qtest=True, **options)

    def filled(self, version):
        """A machine that stands, and what is in it."""
        source = self.guest(version, "source", paused=True)
        guest = Qtest(source.qtest_path)
        for at in range(FROM, UNTIL, CHUNK):
            guest.write(at, RAM[at:at + CHUNK])
        wanted = {at: guest.read(at, CHUNK) for at in range(FROM, UNTIL, CHUNK)}
        guest.close()
        return source, wanted

    def reads_all(self, target, wanted):
        guest = Qtest(target.qtest_path)
        for at in random.Random(1).sample(sorted(wanted), len(wanted)):
            self.assert_same_ram(guest.read(at, CHUNK), wanted[at], "0x%x: " % at)
        guest.close()


class File(Preempt):
    def test_each_version(self):
        """Also one that is broken off, and one that nobody asks."""
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in HAVE_IT:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version, capabilities=BOTH)
                send = self.send("send" + version, version, path, self.unix("n" + version), "--postcopy", "--force",
                                 "--parameter", "max-postcopy-bandwidth=2M")
                self.runs(target, send)
                self.assertTrue(send.alive(), send.text())
                send.process.kill()
                self.paused_there(target)
                self.exits(self.send("again" + version, version, path, self.listens_again(target, "r" + version), "--resume"))
                target.wait()
                self.assert_same_ram(target.saved_ram(), RAM)

    def test_what_is_asked_for_comes_first(self):
        """At a byte a second on the main channel."""
        for version in HAVE_IT:
            with self.subTest(version):
                source, wanted = self.filled(version)
                path = self.parked(source, self.unix("m" + version), output="parked" + version)
                target = self.guest(version, "target", incoming=self.unix("n" + version), capabilities=BOTH)
                send = self.send("send" + version, version, path, self.unix("n" + version), "--postcopy", "--json",
                                 "--parameter", "max-postcopy-bandwidth=1")
                self.runs(target, send)
                self.reads_all(target, wanted)
                self.assertFalse(target.qmp.seen("MIGRATION", status="completed"))
                send.close()

    def test_one_connection_only(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        send = self.send("send", "10.0", path, "exec:cat", "--postcopy")
        self.exits(send, 1)
        self.assertIn("postcopy-preempt: this address gives one connection only", send.text())


class Live(Preempt):
    def live(self, version, target, **parameters):
        return self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), rate=4000,
                            working_set=8 << 20, ram=RAM, capabilities=BOTH,
                            parameters={"max-bandwidth": 8 << 20, "downtime-limit": 1, **parameters})

    def test_each_version(self):
        """A machine that writes all the time, and a break."""
        for version in HAVE_IT:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version, capabilities=BOTH)
                source = self.live(version, target, **{"max-postcopy-bandwidth": 2 << 20})
                wait_until("a pass", lambda: source.seen("pass", **{"pass": "2"}))
                source.tell("postcopy")
                self.runs(target, source)
                wait_until("it runs there", lambda: "postcopy-active" in source.statuses())
                source.tell("pause")
                source.wait_event("paused")
                self.paused_there(target)
                source.tell("max-postcopy-bandwidth=0")
                source.tell("resume " + self.listens_again(target, "r" + version))
                self.assert_ok(source.end())
                target.wait()
                self.assert_same_ram(target.saved_ram(), source.ram())

    def test_it_converges_before(self):
        """The switch is not requested."""
        for version in HAVE_IT:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version, capabilities=BOTH)
                source = self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), ram=RAM,
                                      capabilities=BOTH)
                self.assert_ok(source.end())
                self.assertNotIn("postcopy-active", source.statuses())
                target.wait()
                self.assert_same_ram(target.saved_ram(), RAM)


if __name__ == "__main__":
    unittest.main()
