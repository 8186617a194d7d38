# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""Pages that are compressed one by one (capability `compress`): both ways with QEMU 5.2 and 7.2, the last that have it
among those of the tests, and between two godwits. From files: test_park_live.py has how they come."""
import os
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import PAGE, Case, Program, built, pattern, read_file, wait_until, write_file  # noqa: E402
from places import wait_listening  # noqa: E402
from versions import profile  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=11)


def compressible(ram):
    """Pages that are neither zeros nor noise."""
    pages = [ram[o:o + PAGE] for o in range(0, len(ram), PAGE)]
    return sum(1 for p in pages if any(p) and len(zlib.compress(p, 1)) < PAGE // 2)


class Compress(Case):
    def unix(self, name="m"):
        return "unix:" + self.path(name)

    def to_qemu(self, version, capabilities=(), target_options=None, **options):
        """(source, target), which has the RAM of the source."""
        target = self.qemu(version, "target", incoming=self.unix(), capabilities=["compress"], **(target_options or {}))
        source = self.none_vm("source", "send", self.unix(), peer=profile(version), ram=RAM,
                              capabilities=["return-path", "compress", *capabilities], **options)
        return source, target

    def arrives(self, source, target):
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())
        return end["stats"]

    def peers(self):
        for version in ("5.2", "7.2"):
            yield version
            self.close_all()
            self.processes.clear()
            for name in os.listdir(self.folder):
                os.unlink(self.path(name))


class Send(Compress):
    """godwit -> QEMU."""

    def test_once(self):
        for version in self.peers():
            stats = self.arrives(*self.to_qemu(version))
            self.assertEqual(stats["compressed"], compressible(RAM))
            self.assertLess(stats["compressed-size"], stats["compressed"] * PAGE // 2)
            self.assertEqual(stats["compressed"] + stats["normal"] + stats["duplicate"], SIZE // PAGE)

    def test_while_memory_is_written(self):
        for version in self.peers():
            source, target = self.to_qemu(version, rate=20000, working_set="4M",
                                          parameters={"compress-threads": 3, "compress-level": 6})
            source.settle()
            stats = self.arrives(source, target)
            self.assertGreater(stats["compressed"], 0)

    def test_no_wait(self):
        """Pages for which the threads have no time are sent plain; each page is counted once."""
        for version in self.peers():
            stats = self.arrives(*self.to_qemu(version, parameters={"compress-threads": 1, "compress-wait-thread": "off"}))
            self.assertEqual(stats["compressed"] + stats["normal"] + stats["duplicate"], SIZE // PAGE)

    def test_with_xbzrle(self):
        """The first pass is compressed; later passes send differences where these are shorter."""
        for version in self.peers():
            source, target = self.to_qemu(version, capabilities=["xbzrle", "pause-before-switchover"], rate=40000,
                                          working_set="2M", parameters={"max-bandwidth": 8 << 20, "downtime-limit": 1})
            wait_until("pages in the cache", lambda: source.ask("state", "state")["xbzrle"] or
                       source.seen("status", status="pre-switchover"))
            source.tell("downtime-limit=10000")
            source.wait_event("status", status="pre-switchover")
            source.tell("continue")
            stats = self.arrives(source, target)
            self.assertGreater(stats["xbzrle"], 0)
            self.assertGreater(stats["compressed"], 0)

    def test_the_other_decoder(self):
        """The stream can be read by the decoder that was written from the document alone."""
        path = self.path("out")
        source = self.none_vm("source", "send", "file:" + path, peer="7.2", ram=RAM, capabilities=["compress"])
        self.assert_ok(source.end())
        s = stream.decode(read_file(path))
        self.assert_same_ram(s.ram(), RAM, "second decoder")
        self.assertEqual(s.kinds["compress"], compressible(RAM))

    def test_a_peer_that_has_it_no_more(self):
        """From 9.1 on QEMU refuses the first such record. The machine runs on here, and the error gives the reason."""
        for version in ("10.0", "11.1"):
            uri = self.unix(version)
            target = self.qemu(version, "target" + version, incoming=uri)
            source = self.none_vm("source" + version, "send", uri, peer="7.2", ram=RAM, stay=True,
                                  capabilities=["return-path", "compress"])
            end = source.end()
            self.assertFalse(end["ok"])
            self.assertEqual((end["owner"], end["running"]), ("source", True), end)
            self.assertIn("capability compress", end["error"])
            target.wait_text("0x120")

    def test_a_peer_that_is_known_to_have_it_no_more(self):
        """Nothing is sent then."""
        uri = self.unix()
        target = self.qemu("10.0", "target", incoming=uri)
        source = self.none_vm("source", "send", uri, peer="10.0", ram=RAM, capabilities=["compress"])
        self.assertNotEqual(source.wait_exit(), 0)
        self.assertIn("QEMU 9.1 and later refuse compressed pages", source.text())
        self.assertIsNone(target.qmp.seen("MIGRATION", status="active"))


class Receive(Compress):
    """QEMU -> godwit, which needs no capability for it."""

    def test_once(self):
        for version in self.peers():
            target = self.none_vm("target", "recv", self.unix())
            source = self.qemu(version, "source", ram=write_file(self.path("source.ram"), RAM),
                               capabilities=["compress", "return-path"])
            source.migrate(target.address())
            self.assert_ok(target.end())
            source.wait()
            self.assert_same_ram(target.ram(), RAM)
            self.assertGreater(source.migration()["compression"]["pages"], 0)

    def test_one_thread(self):
        for version in self.peers():
            target = self.none_vm("target", "recv", self.unix(), parameters={"decompress-threads": 1})
            source = self.qemu(version, "source", ram=write_file(self.path("source.ram"), RAM),
                               capabilities=["compress"], parameters={"compress-level": 9, "compress-threads": 1})
            source.migrate(target.address())
            self.assert_ok(target.end())
            self.assert_same_ram(target.ram(), RAM)


class Godwits(Compress):
    def test_while_memory_is_written(self):
        target = self.none_vm("target", "recv", self.unix())
        source = self.none_vm("source", "send", target.address(), ram=RAM, rate=40000, working_set="8M",
                              capabilities=["compress", "return-path"])
        source.settle()
        end = source.end()
        self.assert_ok(end)
        self.assert_ok(target.end())
        self.assertGreater(end["stats"]["compressed"], 0)
        self.assert_same_ram(target.ram(), source.ram())


class Files(Compress):
    """QEMU -> receive -> a file -> send -> QEMU, compressed on both ways."""

    def command(self, role, *argv):
        return Program(self, role, [built("cli/godwit"), *argv])

    def test_parked(self):
        for version in self.peers():
            receive = self.command("receive", "receive", self.unix(), "--output", self.path("parked"))
            wait_listening(receive, self.unix())
            source = self.qemu(version, "source", ram=write_file(self.path("source.ram"), RAM), capabilities=["compress"])
            source.migrate(self.unix())
            source.wait()
            self.assertEqual(receive.wait_exit(), 0, receive.text())
            target = self.qemu(version, "target", incoming=self.unix("n"), capabilities=["compress"])
            send = self.command("send", "send", self.path("parked"), self.unix("n"), "--capability", "compress",
                                "--parameter", "compress-threads=2")
            self.assertEqual(send.wait_exit(), 0, send.text())
            target.wait()
            self.assert_same_ram(target.ram(), RAM)


if __name__ == "__main__":
    unittest.main()
