# SPDX-License-Identifier: MIT
# builds: plain asan
"""A postcopy migration that broke off for good, and `godwit salvage`: the half that `receive --postcopy` kept, and what the source has."""
import json
import os
import re
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cuts import Cutter  # noqa: E402
from harness import PAGE, read_file, wait_until, write_file  # noqa: E402
from test_park_live import RAM, SIZE  # noqa: E402
from test_receive_postcopy import Arriving  # noqa: E402
from versions import VERSIONS  # noqa: E402


FILLED = sum(RAM[at:at + PAGE] != bytes(PAGE) for at in range(0, SIZE, PAGE)) * PAGE  # what is sent is a little more


class Halves(Arriving):
    def whole(self, version="10.0", role="source", ram=RAM, *arguments):
        """What a QEMU left, parked: the file that is sent by postcopy."""
        return self.parked(self.none(version, role, ram=ram), self.unix(role), *arguments, output=role + ".parked")

    def broken(self, path, name="half", at=None):
        """Sends it by postcopy. at: cut behind so many bytes; else the sender is killed behind the switch. Returns what was kept."""
        receive = self.command("receive", "receive", "tcp:127.0.0.1:0", "--postcopy", "--json", "--recovery-wait", "0", "--output",
                               self.path(name))
        uri = wait_until("it listens", lambda: re.search('"listening","uri":"([^"]*)"', receive.text())).group(1)
        if at is None:
            send = self.command("send", "send", path, uri, "--postcopy", "--force", "--parameter", "max-postcopy-bandwidth=256K")
            wait_until("it is switched", lambda: '"postcopy-active"' in receive.text())
            send.process.kill()
            send.wait_exit()
        else:
            cutter = Cutter(uri, forward=at)
            send = self.command("send", "send", path, cutter.uri, "--postcopy", "--force")
            cutter.start()
            cutter.end()
            self.exits(send, 1)
        self.exits(receive, 1)
        return self.path(name + ".incomplete")

    def salvage(self, *arguments, status=0):
        program = self.command("salvage", "salvage", *arguments)
        self.exits(program, status)
        return program.text()

    def assert_whole(self, path, like, ram=RAM, version="7.2", name="t"):
        """verify takes it, it is the same machine as `like` (None: not asked), and a QEMU runs it."""
        self.exits(self.command("verify", "verify", path))
        if like:
            self.exits(self.command("diff", "diff", path, like))
        self.assertNotIn("lacking_bytes", self.inspect(path))
        target = self.none(version, "target" + name, incoming=self.unix(name))
        self.arrives(target, self.unix(name), path)
        self.assert_same_ram(target.ram(), ram)
        self.assertEqual(target.status(), "running")


class FromAFile(Halves):
    def test_cut_anywhere(self):
        """Behind the switch: with next to nothing there, half of it, and all but the end."""
        path = self.whole()
        for i, at in enumerate((200 << 10, FILLED // 2, FILLED - (64 << 10))):
            with self.subTest(at):
                half = self.broken(path, "half%d" % i, at)
                before, lacking = read_file(half), self.inspect(half)["lacking_bytes"]
                out = self.path("out%d" % i)
                text = self.salvage(half, "--from", path, "--output", out)
                self.assertIn("r: %d pages" % (lacking // PAGE), text)
                self.assertIn("taken from " + path, text)
                self.assertEqual(read_file(half), before)
                self.assert_whole(out, path, name="t%d" % i)

    def test_killed(self):
        """Machines of each version, and the result in another one."""
        for version, to in zip(VERSIONS, reversed(VERSIONS)):
            with self.subTest(version):
                path = self.whole(version, "source" + version)
                half = self.broken(path, "half" + version)
                lacking = self.inspect(half)["lacking_bytes"]
                out = self.path("out" + version)
                said = json.loads(self.salvage(half, "--from", path, "--output", out, "--json"))
                self.assertEqual((said["event"], said["file"], said["taken-bytes"]), ("salvaged", out, lacking))
                self.assertEqual(sum(one["bytes"] for one in said["taken"]), lacking)
                self.assert_whole(out, path, version=to, name="t" + version)

    def test_what_it_is_taken_from(self):
        """Any kind of file of that machine; and one that was told to wait where it arrived."""
        path = self.whole()
        half = self.broken(path)
        for kind in ("stream", "mapped-ram"):
            other = self.path(kind)
            self.exits(self.command("convert", "convert", path, other, "--format", kind))
            self.salvage(half, "--from", other, "--output", self.path("out-" + kind), "--compress", "none")
            self.assert_whole(self.path("out-" + kind), path, name=kind)

    def test_two_broken_ones(self):
        """The other half has the missing pages; if not, nothing is written."""
        path = self.whole()
        little, much = self.broken(path, "little", 200 << 10), self.broken(path, "much", FILLED // 2)
        text = self.salvage(little, "--from", much, "--output", self.path("out"), status=1)
        self.assertIn("they are in neither of them", text)
        self.assertFalse(os.path.exists(self.path("out")))


class Refused(Halves):
    def refused(self, half, path, why, *arguments):
        out = self.path("out")
        text = self.salvage(half, "--from", path, "--output", out, *arguments, status=1)
        self.assertIn(why, text)
        self.assertEqual(text.count("\n"), 1, text)
        self.assertEqual([name for name in os.listdir(os.path.dirname(out)) if "out" in name], [])

    def test_what_does_not_belong_together(self):
        path = self.whole()
        half = self.broken(path, at=FILLED // 2)
        self.refused(path, path, "there is nothing to salvage")
        self.refused(half, self.path("nothing"), "No such file")
        self.refused(half, self.whole("10.0", "later"), "the state of its devices is not the one that arrived")
        self.exits(self.command("convert", "convert", path, self.path("changed"), "--format", "mapped-ram"))
        changed, first = bytearray(read_file(self.path("changed"))), next(at for at in range(0, SIZE, PAGE) if any(RAM[at:at + PAGE]))
        changed[changed.index(RAM[first:first + PAGE]) + 8] ^= 1
        write_file(self.path("changed"), changed)
        self.refused(half, self.path("changed"), "the page at 0x%x of RAM block r is not the one that arrived" % first)
        larger = self.qemu("10.0", "larger", memory=2 * SIZE, ram=write_file(self.path("larger.ram"), RAM * 2))
        self.refused(half, self.parked(larger, self.unix("larger"), output="larger.parked"), "RAM block r has 0x2000000 bytes, not 0x1000000")
        other = self.qemu("10.0", "pc", memory=SIZE, machine="pc", block="pc.ram", paused=True, args=["-accel", "tcg"])
        self.refused(half, self.parked(other, self.unix("pc"), output="pc.parked"), "another machine: its type is pc")
        broken = self.path("broken")
        with open(half, "rb") as f:
            write_file(broken, f.read()[:-100])
        self.refused(broken, path, "broken")

    def test_the_halves_stay(self):
        path = self.whole()
        half = self.broken(path, at=FILLED // 2)
        for out in (half, path):
            self.assertIn("choose another name", self.salvage(half, "--from", path, "--output", out, "--force", status=1))
        out = self.path("there")
        write_file(out, b"mine")
        self.assertIn("--force replaces it", self.salvage(half, "--from", path, "--output", out, status=1))
        self.assertEqual(read_file(out), b"mine")
        self.salvage(half, "--from", path, "--output", out, "--force")
        self.assert_whole(out, path)

    def test_while_it_is_sent(self):
        path = self.whole()
        half = self.broken(path, at=FILLED // 2)
        receive = self.receive(self.unix("n"), "--postcopy", "--json", "--recovery-wait", "0", output="again")
        send = self.command("send", "send", path, self.unix("n"), "--postcopy", "--force", "--parameter", "max-postcopy-bandwidth=16K")
        wait_until("it is switched", lambda: '"postcopy-active"' in receive.text())
        self.refused(half, path, "another process is sending this machine")
        send.process.kill()
        send.wait_exit()
        self.exits(receive, 1)


class FromASource(Halves):
    """It lost its connection behind the switch and waits: it is told to go on at `salvage --listen`."""

    def paused(self, version, at=5 << 20):
        """A QEMU that is postcopy-paused, and what was kept of its machine."""
        name = "half" + version
        source = self.source(version, "source" + version)
        receive = self.command("receive", "receive", "tcp:127.0.0.1:0", "--postcopy", "--json", "--recovery-wait", "0", "--output",
                               self.path(name))
        uri = wait_until("it listens", lambda: re.search('"listening","uri":"([^"]*)"', receive.text())).group(1)
        cutter = Cutter(uri, forward=at)
        source.qmp.command("migrate-set-parameters", **{"max-bandwidth": 4096, "max-postcopy-bandwidth": 64 << 10, "downtime-limit": 1})
        source.migrate(cutter.uri)
        cutter.start()
        source.qmp.command("migrate-start-postcopy")
        wait_until("it knows that it is switched", lambda: source.migration()["status"] == "postcopy-active")
        # Not faster, or it ends the section at one go: a QEMU 7.2 that loses its connection then waits for ever.
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 4 << 20})
        cutter.end()
        self.exits(receive, 1)
        wait_until("it waits", lambda: source.migration()["status"] == "postcopy-paused")
        return source, self.path(name + ".incomplete")

    def listening(self, half, name, *arguments):
        uri = self.unix(name)
        salvage = self.command("salvage", "salvage", half, "--listen", uri, "--output", self.path(name + ".out"), "--json", *arguments)
        wait_until("it listens", lambda: '"listening"' in salvage.text())
        return salvage, uri

    def test_each_version(self):
        for version, to in zip(VERSIONS, reversed(VERSIONS)):
            with self.subTest(version):
                source, half = self.paused(version)
                before, lacking = read_file(half), self.inspect(half)["lacking_bytes"]
                salvage, uri = self.listening(half, "s" + version)
                source.qmp.command("migrate", uri=uri, resume=True)
                self.exits(salvage)
                source.wait()
                said = json.loads(salvage.text().splitlines()[-1])
                self.assertEqual((said["event"], said["taken-bytes"]), ("salvaged", lacking))
                self.assertEqual(read_file(half), before)
                out = self.path("s%s.out" % version)
                self.assert_whole(out, None, version=to, name="t" + version)

    def test_again_and_again(self):
        """A stranger comes, and the source loses its connection once more."""
        source, half = self.paused("10.0")
        salvage, uri = self.listening(half, "s")
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(uri.split(":", 1)[1])
            stranger.sendall(b"hello")
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 64 << 10})
        source.qmp.command("migrate", uri=uri, resume=True)
        wait_until("pages follow", lambda: '"postcopy-active"' in salvage.text())
        source.qmp.command("migrate-pause")
        wait_until("it waits", lambda: source.migration()["status"] == "postcopy-paused")
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        source.qmp.command("migrate", uri=uri, resume=True)
        self.exits(salvage)
        source.wait()
        self.assert_whole(self.path("s.out"), None)

    def test_interrupted(self):
        """What came meanwhile is kept, and can be gone on with; before anything came there is nothing to keep."""
        source, half = self.paused("10.0")
        salvage, uri = self.listening(half, "none")
        salvage.process.terminate()
        self.exits(salvage, 1)
        self.assertIn("interrupted; the source waits as before", salvage.text())
        self.assertFalse(os.path.exists(self.path("none.out.incomplete")))
        salvage, uri = self.listening(half, "some")
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 64 << 10})
        asked = source.migration()["ram"]["transferred"]
        source.qmp.command("migrate", uri=uri, resume=True)
        wait_until("pages came", lambda: source.migration()["ram"]["transferred"] > asked + (256 << 10))
        salvage.process.terminate()
        self.exits(salvage, 1)
        more = self.path("some.out.incomplete")
        self.assertLess(self.inspect(more)["lacking_bytes"], self.inspect(half)["lacking_bytes"])
        wait_until("it waits", lambda: source.migration()["status"] == "postcopy-paused")
        source.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        salvage, uri = self.listening(more, "all")
        source.qmp.command("migrate", uri=uri, resume=True)
        self.exits(salvage)
        self.assert_whole(self.path("all.out"), None, version="11.1")

    def test_from_a_file(self):
        """`send --resume` is such a source, too."""
        path = self.whole()
        half = self.broken(path, at=FILLED // 2)
        salvage, uri = self.listening(half, "s")
        self.exits(self.command("send", "send", path, uri, "--resume"))
        self.exits(salvage)
        self.assert_whole(self.path("s.out"), None)

    def test_it_cannot_be_written(self):
        """All pages have arrived, and the source has nothing more to send: the machine is kept under another name."""
        source, half = self.paused("7.2")
        salvage, uri = self.listening(half, "s")
        write_file(self.path("s.out"), b"mine")
        source.qmp.command("migrate", uri=uri, resume=True)
        self.exits(salvage, 1)
        self.assertIn("the machine is whole in " + self.path("s.out.salvaged"), salvage.text())
        self.assertEqual(read_file(self.path("s.out")), b"mine")
        self.assert_whole(self.path("s.out.salvaged"), None)


if __name__ == "__main__":
    unittest.main()
