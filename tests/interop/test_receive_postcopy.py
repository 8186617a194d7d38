# SPDX-License-Identifier: MIT
# builds: plain asan
"""QEMU -> godwit receive --postcopy -> file: the source switches to postcopy while its machine is received."""
import json
import os
import random
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cuts import Cutter, connect  # noqa: E402
from harness import PAGE, Qtest, built, wait_until, write_file  # noqa: E402
from test_park_live import Parking, RAM, SIZE  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

SLOW = 4 << 20  # bytes a second: the switch is asked for before it has ended
BASE, UNTIL = 1 << 20, SIZE - (1 << 20)  # below is the firmware. Some QEMUs lose the last pages in postcopy


def switch(source, uri):
    """Sends, and asks for postcopy as soon as something went."""
    source.qmp.command("migrate-set-parameters", **{"max-bandwidth": SLOW})
    source.migrate(uri)
    wait_until("some of it went", lambda: source.migration().get("ram", {}).get("transferred", 0))
    source.qmp.command("migrate-start-postcopy")


class Arriving(Parking):
    def source(self, version, role, **options):
        return self.none(version, role, ram=RAM, capabilities=["postcopy-ram"], **options)

    def inspect(self, path):
        return json.loads(subprocess.run([built("cli/godwit"), "inspect", "--json", path], check=True, capture_output=True).stdout)


class Whole(Arriving):
    def test_each_version(self):
        """The file goes on in a QEMU of each version, running as it was."""
        for version in VERSIONS:
            with self.subTest(version):
                uri = self.unix("m" + version)
                source = self.source(version, "source" + version)
                receive = self.receive(uri, "--postcopy", "--json", output="parked" + version)
                switch(source, uri)
                source.wait()
                self.exits(receive)
                self.assertIn('"postcopy-active"', receive.text())
                path = self.path("parked" + version)
                self.assertNotIn("lacking_bytes", self.inspect(path))
                for other in VERSIONS:
                    name = "n%s-%s" % (version, other)
                    target = self.none(other, "t" + name, incoming=self.unix(name))
                    self.arrives(target, self.unix(name), path, "--force")
                    self.assert_same_ram(target.ram(), RAM)
                    self.assertEqual(target.status(), "running")

    def test_nobody_switches(self):
        """The capability is on, and it ends as any other migration."""
        for version in VERSIONS:
            with self.subTest(version):
                uri = self.unix("m" + version)
                source = self.source(version, "source" + version)
                receive = self.receive(uri, "--postcopy", "--json", output="parked" + version)
                source.migrate(uri)
                source.wait()
                self.exits(receive)
                self.assertNotIn('"postcopy-active"', receive.text())

    def test_what_was_written_meanwhile(self):
        """Pages that had come are written to, by a machine of several blocks, and come again behind the switch. A source that has sent all
        before it is told to switch stands before its own, and what is written then goes as well."""
        for version in VERSIONS:
            with self.subTest(version):
                uri, name = self.unix("m" + version), "n" + version
                vm = {"memory": SIZE, "machine": "pc", "block": "pc.ram", "paused": True, "args": ["-accel", "tcg"]}
                source = self.qemu(version, "source" + version, qtest=True, capabilities=["postcopy-ram", "pause-before-switchover"], **vm)
                with open(source.ram_path, "r+b") as f:
                    f.seek(BASE)
                    f.write(RAM[BASE:UNTIL])
                guest = Qtest(source.qtest_path)
                receive = self.receive(uri, "--postcopy", output="parked" + version)
                source.qmp.command("migrate-set-parameters", **{"max-bandwidth": SLOW, "downtime-limit": 1})
                source.migrate(uri)
                # What is written here has been sent, or will not have been: both must come right.
                wait_until("some of it went", lambda: source.migration().get("ram", {}).get("transferred", 0) > 3 << 20)
                source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 16 << 10})  # the rest would take minutes
                for at in range(BASE, UNTIL, 7 * PAGE):
                    guest.write(at, RAM[UNTIL - at:][:64])
                for at in range(BASE, UNTIL, 35 * PAGE):
                    guest.write(at, bytes(PAGE))
                guest.close()
                source.qmp.command("migrate-start-postcopy")
                source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
                wait_until("it stands", lambda s=source: s.migration()["status"] == "pre-switchover")
                source.qmp.command("migrate-continue", state="pre-switchover")
                source.wait()
                self.exits(receive)
                target = self.qemu(version, "target" + version, incoming=self.unix(name), **vm)
                self.arrives(target, self.unix(name), self.path("parked" + version))
                self.assert_same_ram(target.ram()[:UNTIL], source.ram()[:UNTIL])

    def test_formats(self):
        """What else it can be written to, QEMU reads."""
        for output in ("stream", "mapped-ram"):
            with self.subTest(output):
                uri = self.unix("m" + output)
                source = self.source("10.0", "source" + output)
                receive = self.receive(uri, "--postcopy", "--format", output, output=output)
                switch(source, uri)
                source.wait()
                self.exits(receive)
                target = self.none("11.1", "target" + output, capabilities=["mapped-ram"] if output == "mapped-ram" else [],
                                   incoming="file:" + self.path(output))
                target.wait()
                self.assert_same_ram(target.ram(), RAM)

    def test_from_a_file_that_a_godwit_sends(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        receive = self.receive(self.unix("n"), "--postcopy", "--json", output="again")
        self.exits(self.command("send", "send", path, self.unix("n"), "--postcopy"))
        self.exits(receive)
        self.assertIn('"postcopy-active"', receive.text())
        target = self.none("7.2", "target", incoming=self.unix("o"))
        self.arrives(target, self.unix("o"), self.path("again"))
        self.assert_same_ram(target.ram(), RAM)


class Refused(Arriving):
    def test_where_it_is_off(self):
        source = self.source("10.0", "source")
        receive = self.receive(self.unix())
        source.migrate(self.unix())
        wait_until("it is told", lambda: "godwit receive --postcopy" in receive.text())
        source.wait("failed")
        source.wait_state("running")


class Lost(Arriving):
    """The source is killed behind the switch."""

    def lost(self, version, *arguments, output):
        uri = self.unix("m" + output)
        source = self.source(version, "source" + output)
        receive = self.receive(uri, "--postcopy", "--json", "--recovery-wait", "0", *arguments, output=output)
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 1 << 20})
        switch(source, uri)
        wait_until("it is switched", lambda: '"postcopy-active"' in receive.text())
        source.close()
        self.assertEqual(receive.wait_exit(), 1)
        self.assertFalse(os.path.exists(self.path(output)))
        return receive.text()

    def test_each_version(self):
        for version in VERSIONS:
            with self.subTest(version):
                text = self.lost(version, output="parked" + version)
                path = self.path("parked%s.incomplete" % version)
                self.assertRegex(text, "[0-9]+ bytes of its memory are missing")
                self.assertIn(path, text)
                lacking = self.inspect(path)["lacking_bytes"]
                self.assertIn("%d bytes of its memory are missing" % lacking, text)
                self.assertTrue(0 < lacking < SIZE, lacking)
                runs = json.loads(subprocess.run([built("cli/godwit"), "map", "--json", path], capture_output=True, check=True).stdout)
                self.assertEqual(sum(r["length"] for r in runs if r["kind"] == "missing"), lacking)
                for command in (["send", path, self.unix("nobody")], ["verify", path], ["convert", path, self.path("x"), "--format", "parked"]):
                    run = self.command(command[0] + version, *command)
                    self.assertEqual(run.wait_exit() != 0, True)
                    self.assertIn("%d bytes of its memory were not received" % lacking, run.text())
                    self.assertIn("godwit salvage", run.text())

    def test_what_lies_there_stays(self):
        write_file(self.path("parked.incomplete"), b"mine")
        text = self.lost("10.0", "--format", "stream", output="parked")
        self.assertIn("parked.incomplete.2", text)
        self.assertTrue(self.inspect(self.path("parked.incomplete.2"))["lacking_bytes"])
        with open(self.path("parked.incomplete"), "rb") as f:
            self.assertEqual(f.read(), b"mine")


ASK = 14    # bytes that a source says until it goes on: RECV_BITMAP of "r", RESUME
BACK = 540  # bytes that `receive` says until it has acknowledged


def place(version, r, n):
    """Where a connection is cut: before it goes on, in the answer, among the pages. A source up to QEMU 7.2 at least waits for ever where
    it goes on, and the connection is lost before it was answered."""
    if not at_least(version, "8.0"):
        return {"forward": r.randrange(ASK + PAGE, 300 << 10)}
    return ({"forward": r.randrange(1, ASK)}, {"back": r.randrange(BACK)}, {"forward": r.randrange(ASK, 300 << 10)})[n % 3]


class Again(Arriving):
    """The connection is lost, and the source comes again: any number of times."""

    CUTS = 4

    def lost(self, source, receive):
        def is_paused():
            source.qmp.poll()
            told = [e["data"]["status"] for e in source.qmp.events if e["event"] == "MIGRATION"]
            return told and told[-1] == "postcopy-paused"
        wait_until("its source is paused", lambda: is_paused() or not receive.alive())
        source.qmp.events.clear()

    def begin(self, version, *arguments):
        uri = self.unix("m" + version)
        source = self.none(version, "source" + version, ram=RAM, capabilities=["postcopy-ram", "events"])
        receive = self.receive(uri, "--postcopy", "--json", *arguments, output="parked" + version)
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 1 << 20})
        switch(source, uri)
        # Both know: a destination whose source is lost before it has the state of the devices fails.
        wait_until("it is switched", lambda: '"postcopy-active"' in receive.text())
        wait_until("its source knows", lambda: source.migration()["status"] == "postcopy-active")
        source.qmp.command("migrate-pause")
        self.lost(source, receive)
        wait_until("it waits", lambda: receive.seen("waiting"))
        return uri, source, receive

    def whole(self, version, uri, source, receive):
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        source.qmp.command("migrate", uri=uri, resume=True)
        source.wait()
        self.exits(receive)
        target = self.none(version, "t" + version, incoming=self.unix("n" + version))
        self.arrives(target, self.unix("n" + version), self.path("parked" + version), "--force")
        self.assert_same_ram(target.ram(), RAM)

    def one(self, version, r, cuts):
        uri, source, receive = self.begin(version)
        self.assertIn("migrate -r " + uri, receive.seen("waiting")["text"])
        for n in range(cuts):
            kind, where = r.choice(("close", "reset", "swallow")), place(version, r, n)
            cutter = Cutter(uri, kind=kind, **where)
            cutter.start()
            with self.failing_as("QEMU %s, cut %d at %s, %s" % (version, n, where, kind)):
                source.qmp.command("migrate", uri=cutter.uri, resume=True)
                cutter.end()
                self.lost(source, receive)
        self.whole(version, uri, source, receive)

    def test_each_version(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.one(version, random.Random(version), self.CUTS)

    def test_interrupted(self):
        """The received part is kept, and its source waits as before."""
        uri, source, receive = self.begin("10.0")
        receive.process.send_signal(signal.SIGINT)
        self.assertEqual(receive.wait_exit(), 1)
        self.assertIn("interrupted while waiting for the source", receive.text())
        self.assertTrue(self.inspect(self.path("parked10.0.incomplete"))["lacking_bytes"])
        self.assertEqual(source.migration()["status"], "postcopy-paused")

    def test_strangers(self):
        uri, source, receive = self.begin("10.0")
        for said in (b"", b"GET / HTTP/1.0\r\n\r\n", bytes(4096), b"QEVM\0\0\0\3"):
            with connect(uri) as stranger:
                stranger.sendall(said)
        self.whole("10.0", uri, source, receive)

    def test_in_time(self):
        uri, source, receive = self.begin("10.0", "--recovery-wait", "0.1")
        self.assertEqual(receive.wait_exit(), 1)
        self.assertIn("did not reconnect in time", receive.text())


if __name__ == "__main__":
    unittest.main()
