# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit send FILE --postcopy -> QEMU: it runs at once, and its memory follows."""
import json
import os
import random
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Qtest, wait_until  # noqa: E402
from test_park_live import Parking, RAM, SIZE  # noqa: E402
from versions import VERSIONS, profile  # noqa: E402


CHUNK = 64 << 10  # bytes that are read at a time
# Below is the firmware. The last pages of a microvm's RAM lose their contents in postcopy, also between two QEMUs of 10.0.
FROM, UNTIL = 1 << 20, SIZE - (1 << 20)


class Postcopy(Parking):
    """QEMU with memory of its own, so that it can wait for pages of it."""

    def target(self, version, role="target", name="n", capabilities=("postcopy-ram",), **options):
        return self.qemu(version, role, memory=SIZE, **options, machine="none,memory-backend=r", block=None, incoming=self.unix(name),
                         capabilities=list(capabilities),
                         args=["-object", "memory-backend-ram,id=r,size=%d" % SIZE])


class Once(Postcopy):
    def test_each_version(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in VERSIONS:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version)
                send = self.command("send", "send", path, self.unix("n" + version), "--postcopy", "--force")
                self.exits(send)
                target.wait()
                self.assertTrue(target.qmp.seen("MIGRATION", status="postcopy-active"))
                self.assert_same_ram(target.saved_ram(), RAM)

    def test_compressed(self):
        """A parked guest that runs at once: background pages are compressed."""
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in ("5.2", "7.2"):
            with self.subTest(version):
                sent = {}
                for how, capabilities in (("plain", []), ("coded", ["compress"])):
                    name = how + version
                    target = self.target(version, "target" + name, name, capabilities=["postcopy-ram", *capabilities])
                    send = self.command("send", "send", path, self.unix(name), "--postcopy", "--force", "--json",
                                        "--peer", profile(version), *(w for c in capabilities for w in ("--capability", c)))
                    self.exits(send)
                    target.wait()
                    self.assert_same_ram(target.saved_ram(), RAM)
                    sent[how] = json.loads(send.text().strip().splitlines()[-1])["sent-bytes"]
                self.assertLess(sent["coded"], sent["plain"] * 3 // 4)

    def test_what_is_asked_for_comes_first(self):
        """At a byte per second the migration could end only because of the requests."""
        for version in VERSIONS:
            with self.subTest(version):
                vm = {"memory": SIZE, "machine": "microvm", "block": None, "qtest": True}
                source = self.qemu(version, "source" + version, paused=True, **vm)
                guest = Qtest(source.qtest_path)
                for at in range(FROM, UNTIL, CHUNK):
                    guest.write(at, RAM[at:at + CHUNK])
                wanted = {at: guest.read(at, CHUNK) for at in range(FROM, UNTIL, CHUNK)}
                guest.close()
                path = self.parked(source, self.unix("m" + version), output="parked" + version)
                target = self.qemu(version, "target" + version, incoming=self.unix("n" + version),
                                   capabilities=["postcopy-ram"], **vm)
                send = self.command("send", "send", path, self.unix("n" + version), "--postcopy", "--json",
                                    "--parameter", "max-postcopy-bandwidth=1")
                wait_until("its pages follow", lambda: target.qmp.seen("MIGRATION", status="postcopy-active"))
                guest = Qtest(target.qtest_path)
                for at in random.Random(1).sample(sorted(wanted), len(wanted)):
                    self.assert_same_ram(guest.read(at, CHUNK), wanted[at], "0x%x: " % at)
                guest.close()
                self.assertFalse(target.qmp.seen("MIGRATION", status="completed"))  # there is more than was read
                send.close()


class Live(Postcopy):
    """A machine that writes all the time, faster than its memory goes."""

    def test_each_version(self):
        for version in VERSIONS:
            with self.subTest(version):
                target = self.target(version, "target" + version, "n" + version)
                source = self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), rate=4000,
                                      working_set=8 << 20, ram=RAM, capabilities=["postcopy-ram"],
                                      parameters={"max-bandwidth": 8 << 20, "downtime-limit": 1})
                wait_until("three passes", lambda: source.seen("pass", **{"pass": "3"}))
                source.tell("postcopy")
                end = source.end()
                self.assert_ok(end)
                self.assertEqual(end["owner"], "destination")
                self.assertIn("postcopy-active", source.statuses())
                self.assertGreater(end["written"], 0)
                target.wait()
                self.assert_same_ram(target.saved_ram(), source.ram())

    def test_compressed(self):
        """The last QEMUs that have it take compressed pages in postcopy, too."""
        for version in ("5.2", "7.2"):
            with self.subTest(version):
                capabilities = ["postcopy-ram", "compress"]
                target = self.target(version, "target" + version, "n" + version, capabilities=capabilities)
                source = self.none_vm("source" + version, "send", self.unix("n" + version), peer=profile(version), rate=4000,
                                      working_set=8 << 20, ram=RAM, capabilities=capabilities,
                                      parameters={"max-bandwidth": 8 << 20, "downtime-limit": 1})
                wait_until("two passes", lambda: source.seen("pass", **{"pass": "2"}))
                source.tell("postcopy")
                end = source.end()
                self.assert_ok(end)
                self.assertIn("postcopy-active", source.statuses())
                target.wait()
                self.assert_same_ram(target.saved_ram(), source.ram())

    def test_it_converges_before(self):
        """The switch is not requested: it ends like any other migration."""
        target = self.target("10.0")
        source = self.none_vm("source", "send", self.unix("n"), peer="10.0", ram=RAM, capabilities=["postcopy-ram"])
        self.assert_ok(source.end())
        self.assertNotIn("postcopy-active", source.statuses())
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM)


class Ends(Postcopy):
    """How `send` ends when the destination does: a socket that answers as far as it is told to, with no machine behind it."""

    def setUp(self):
        super().setUp()
        self.count = 0

    def file(self):
        if not os.path.exists(self.path("parked")):
            self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        return self.path("parked")

    def send(self, answers, *options):
        """answers: called with the peer until it returns true; the connection is closed then."""
        self.count += 1
        with Peer(self.path("p%d" % self.count)) as peer:
            send = self.command("send", "send", self.file(), "unix:" + peer.path, "--postcopy", "--force", "--peer", "7.2", *options)
            peer.serve(answers)
        status = send.wait_exit()
        return status, send.text()

    def test_nobody_is_told_that_it_went(self):
        """Cut before all of the package is there: the machine is here. After that the owner is undecided, until the
        destination reports that it runs."""
        def cut(at, pongs):
            def answers(peer):
                peer.pong(pongs)
                return peer.package_left() <= at if at >= 0 else peer.packaged()
            return answers

        for left in (1, 100):
            status, text = self.send(cut(left, (1, 2)))
            self.assertEqual(status, 1)
            self.assertRegex(text, "the machine is still here|not known whether")
        status, text = self.send(lambda peer: peer.pong((1,)) and False or peer.seen(b"\x08\x00\x01\x00\x00"))
        self.assertEqual(status, 1)
        self.assertIn("the machine is still here", text)
        status, text = self.send(cut(-1, (1, 2)))
        self.assertEqual(status, 1)
        self.assertIn("not known whether the destination runs the machine", text)

    def test_it_could_not_load(self):
        status, text = self.send(lambda peer: peer.pong((1, 2)) or peer.packaged() and peer.shut(1))
        self.assertEqual(status, 1)
        self.assertIn("the machine is still here", text)

    def test_it_runs_and_is_gone(self):
        for end in (lambda peer: True, lambda peer: peer.shut(1)):
            status, text = self.send(lambda peer, end=end: peer.pong((1, 2, 3)) or peer.ponged == {1, 2, 3} and end(peer))
            self.assertEqual(status, 1)
            self.assertRegex(text, "the machine runs at the destination, which still lacks [0-9]+ bytes of its memory")
            self.assertNotIn("still here", text)

    def test_bad_requests(self):
        page = (0x1000).to_bytes(4, "big")
        for message, why in ((b"\x00\x04\x00\x0c" + bytes(8) + page, "no request before it has named a block"),
                             (b"\x00\x03\x00\x0e" + bytes(8) + page + b"\x01x", "block x, which is not sent"),
                             (b"\x00\x03\x00\x0e" + (1).to_bytes(8, "big") + page + b"\x01r", "whose pages have 4096 bytes"),
                             (b"\x00\x03\x00\x0e" + SIZE.to_bytes(8, "big") + page + b"\x01r", "which has 0x1000000"),
                             (b"\x00\x03\x00\x0e" + bytes(12) + b"\x01r", "0 bytes at 0x0"),
                             (b"\x00\x03\x00\x0e" + bytes(8) + page + b"\x02r", "do not fit its block's name"),
                             (b"\x00\x03\x00\x01\x00", "do not fit its block's name"),
                             (b"\x00\x03\x00\x0f" + bytes(8) + page + b"\x02r\x00", "do not fit its block's name")):
            with self.subTest(why):
                status, text = self.send(lambda peer, m=message: peer.pong((1, 2, 3)) or peer.ponged == {1, 2, 3} and peer.say(m, why))
                self.assertEqual(status, 1)
                self.assertIn(why, text)
                self.assertIn("the machine runs at the destination", text)

    def test_a_request_before_it_has_gone(self):
        status, text = self.send(lambda peer: peer.say(b"\x00\x03\x00\x0e" + bytes(8) + b"\x00\x00\x10\x00\x01r", "early"))
        self.assertEqual(status, 1)
        self.assertIn("the machine was not handed over to it", text)
        self.assertIn("the machine is still here", text)

    def test_a_flood(self):
        """The same page, again and again: it is sent once, and all of the memory comes."""
        asked = b"\x00\x03\x00\x0e" + (0x200000).to_bytes(8, "big") + b"\x00\x00\x10\x00\x01r"

        def answers(peer):
            peer.pong((1, 2, 3))
            if peer.ponged == {1, 2, 3} and not peer.said:
                peer.say(asked * 5000, "flood")
            return peer.ended() and peer.shut(0)
        status, text = self.send(answers)
        self.assertEqual(status, 0, text)
        with Peer(self.path("q")) as peer:
            send = self.command("send", "send", self.file(), "unix:" + peer.path, "--force", "--peer", "7.2")
            peer.serve(lambda peer: peer.pong((1,)) or peer.described() and peer.shut(0))
            self.exits(send)


class Resumed(Postcopy):
    """The sender is killed, and another process goes on, as often as it takes."""

    def test_each_version(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in VERSIONS:
            with self.subTest(version):
                name = "n" + version
                target = self.target(version, "target" + version, name)
                arguments = ["--postcopy", "--force"]
                for i in range(4):
                    last = i == 3
                    limit = [] if last else ["--parameter", "max-postcopy-bandwidth=4M"]
                    send = self.command("send%d-%s" % (i, version), "send", path, self.unix(name), *arguments, *limit)
                    if last:
                        self.exits(send)
                        break
                    # Before it was told to run it cannot pause: it fails, and the file is the machine.
                    wait_until("it runs", lambda: target.status() != "inmigrate" or not send.alive())
                    wait_until("some came", lambda: target.qmp.seen("MIGRATION", status="postcopy-active") or not send.alive())
                    self.assertTrue(send.alive(), send.text())
                    send.process.kill()
                    target.wait("postcopy-paused")
                    target.qmp.poll()
                    target.qmp.events.clear()
                    name = "n%s-%d" % (version, i)
                    target.qmp.command("migrate-recover", uri=self.unix(name))
                    arguments = ["--resume"]
                target.wait()
                self.assert_same_ram(target.saved_ram(), RAM)


class Peer:
    """Listens, takes one connection, and keeps all that comes."""

    def __init__(self, path):
        self.path, self.got, self.ponged, self.said = path, bytearray(), set(), False
        self.package = -1  # where its frame begins
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self, answers):
        self.sock = self.listener.accept()[0]
        try:
            while not answers(self):
                more = self.sock.recv(1 << 16)
                if not more:
                    break
                self.got += more
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.sock.close()

    def seen(self, what):
        return what in self.got

    def pong(self, values):
        """Answers the PINGs of these values that have come. Those of a package have come only when all of it has."""
        for value in set(values) - self.ponged:
            at = self.got.find(b"\x08\x00\x02\x00\x04" + value.to_bytes(4, "big"))
            if at >= 0 and (value != 3 or self.packaged()):
                self.ponged.add(value)
                self.sock.sendall(b"\x00\x02\x00\x04" + value.to_bytes(4, "big"))

    def package_left(self):
        """Bytes of the package that have not come yet."""
        at = self.package = self.package if self.package >= 0 else self.got.find(b"\x08\x00\x07\x00\x04")
        if at < 0 or len(self.got) < at + 9:
            return 1 << 40
        return at + 9 + int.from_bytes(self.got[at + 5:at + 9], "big") - len(self.got)

    def packaged(self):
        return self.package_left() <= 0

    def say(self, message, what):
        if not self.said:
            self.sock.sendall(message)
        self.said = what
        return False

    def shut(self, value):
        self.sock.sendall(b"\x00\x01\x00\x04" + value.to_bytes(4, "big"))
        return True

    def ended(self):
        """The end of the RAM section and of the stream."""
        return self.packaged() and self.got[-6:-5] == b"\x7e" and self.got[-1:] == b"\x00"

    def described(self):
        return self.got[-1:] == b"}" and b'"devices"' in self.got[-(1 << 16):]


if __name__ == "__main__":
    unittest.main()
