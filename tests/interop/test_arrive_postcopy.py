# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""QEMU -> a machine of godwit, by postcopy: it runs at once, and its memory follows."""
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cuts import Cutter  # noqa: E402
from harness import Case, pattern, wait_until, with_faults, write_file  # noqa: E402
from places import listens  # noqa: E402
from test_receive_postcopy import switch  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=7)


class Arriving(Case):
    CAPABILITIES, VERSIONS = ("postcopy-ram",), VERSIONS

    def setUp(self):
        super().setUp()
        with_faults()

    def source(self, version, **options):
        role = "source" + version
        return self.qemu(version, role, memory=SIZE, ram=write_file(self.path(role + ".ram"), RAM), capabilities=self.CAPABILITIES,
                         **options)

    def target(self, version, **options):
        return self.none_vm("target" + version, "recv", "unix:" + self.path("m" + version), memory=SIZE, capabilities=self.CAPABILITIES,
                            **options)

    def test_each_version(self):
        for version in self.VERSIONS:
            with self.subTest(version):
                source, target = self.source(version), self.target(version)
                switch(source, target.address())
                end = target.end()
                self.assert_ok(end)
                source.wait()
                self.assertEqual(end["owner"], "destination")
                self.assertTrue(end["running"])
                self.assertIn("postcopy-active", target.statuses())
                self.assert_same_ram(target.ram(), RAM)

    def test_what_is_asked_for_comes_first(self):
        """It writes to a part of its memory while all of it would take an hour to arrive: it gets the pages it
        requests."""
        for version in self.VERSIONS:
            with self.subTest(version):
                source = self.source(version, parameters={"max-postcopy-bandwidth": 4096})
                target = self.target(version, rate=1000, working_set=SIZE)
                switch(source, target.address())
                wait_until("it asks", lambda s=source: s.migration()["ram"].get("postcopy-requests", 0) > 30)
                self.assertFalse(target.ended())
                source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
                self.assert_ok(target.end())
                source.wait()

    def test_recovered(self):
        """The connection is given up by either side, again and again. A stranger at the new address is not accepted as
        the source."""
        for version in self.VERSIONS:
            with self.subTest(version):
                source = self.source(version, parameters={"max-postcopy-bandwidth": 64 << 10})
                target = self.target(version)
                switch(source, target.address())
                for i in range(3):
                    target.wait_event("status", status="postcopy-active")
                    wait_until("its pages follow", lambda s=source: s.migration()["status"] == "postcopy-active")
                    if i % 2:
                        source.qmp.command("migrate-pause")
                    else:
                        target.tell("pause")
                    target.wait_event("status", status="postcopy-paused")
                    target.events.clear()
                    wait_until("it is lost", lambda s=source: s.migration()["status"] == "postcopy-paused")
                    path = self.path("r%s-%d" % (version, i))
                    target.tell("recover unix:" + path)
                    wait_until("it listens", lambda p=path: listens("unix:" + p))
                    if i == 0:
                        with socket.socket(socket.AF_UNIX) as stranger:
                            stranger.connect(path)
                            stranger.sendall(b"hello")
                    source.qmp.command("migrate", uri="unix:" + path, resume=True)
                source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
                self.assert_ok(target.end())
                if version == "5.2":  # now and then it sends empty sections without an end: the destination ends by itself then
                    wait_until("an end", lambda s=source: s.migration()["status"] in ("completed", "postcopy-paused"))
                else:
                    source.wait()
                self.assert_same_ram(target.ram(), RAM)

    def test_nobody_switches(self):
        source, target = self.source("10.0"), self.target("10.0")
        source.migrate(target.address())
        self.assert_ok(target.end())
        self.assertNotIn("postcopy-active", target.statuses())
        self.assert_same_ram(target.ram(), RAM)

    def test_a_source_that_waits(self):
        """One that was paused waits there, too, while its pages come."""
        source, target = self.source("10.0", paused=True), self.target("10.0")
        switch(source, target.address())
        end = target.end()
        self.assert_ok(end)
        self.assertFalse(end["running"])
        self.assertIn("postcopy-active", target.statuses())
        self.assert_same_ram(target.ram(), RAM)


class Lost(Case):
    CAPABILITIES, VERSIONS = Arriving.CAPABILITIES, VERSIONS
    source, target = Arriving.source, Arriving.target

    def setUp(self):
        super().setUp()
        with_faults()

    def test_lost_at_the_switch(self):
        """The source does not learn that its machine is here. QEMU 11.1 then runs it again: it must not run here too.
        Older ones have given it away, and resume the migration."""
        for version in self.VERSIONS:
            for back in 8, 20:  # byte of the answers: of the one before the package, and of the package's
                with self.subTest("%s-%d" % (version, back)):
                    kept = len(self.processes)
                    try:
                        self.lost_at_the_switch(version, back)
                    finally:
                        for process in self.processes[kept:]:
                            process.close()
                        del self.processes[kept:]
                        for name in os.listdir(self.folder):
                            os.unlink(self.path(name))

    def lost_at_the_switch(self, version, back):
        source = self.source(version, parameters={"max-postcopy-bandwidth": 1 << 20})
        target = self.target(version)
        cutter = Cutter(target.address(), back=back)
        cutter.start()
        switch(source, cutter.uri)
        cutter.end()
        wait_until("it is paused, or has ended", lambda: target.seen("status", status="postcopy-paused") or target.seen("end"))
        if back == 8 and target.seen("end"):  # the package did not get through before the connection was cut
            self.assertIn("before all of its machine was here", target.seen("end")["error"])
            self.assertFalse(target.seen("end")["running"])
            return
        wait_until("it is lost", lambda: source.migration()["status"] in ("postcopy-paused", "failed"))
        self.assertFalse([e for e in target.events if e["event"] == "resume"], "it was started")
        if at_least(version, "11.1"):
            wait_until("it runs on", lambda: source.status() == "running")
        else:
            target.tell("recover unix:" + self.path("again"))
            wait_until("it listens", lambda: listens("unix:" + self.path("again")))
            source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
            source.qmp.command("migrate", uri="unix:" + self.path("again"), resume=True)
            end = target.end()
            self.assert_ok(end)
            self.assertTrue(end["running"])
            self.assert_same_ram(target.ram(), RAM)


if __name__ == "__main__":
    unittest.main()
