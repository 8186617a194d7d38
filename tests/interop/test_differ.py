# SPDX-License-Identifier: MIT
# builds: plain asan
"""Settings that differ between both ends, with QEMUs of all versions (multifd's are in test_multifd.py): incompatible
settings are refused with a hint what to set, and the machine stays where it is; in all other cases it arrives
intact."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PAGE, Case, pattern, wait_until, write_file  # noqa: E402
from versions import VERSIONS, has_mapped_ram, profile  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=17)
COMPRESS = ("5.2", "7.2")  # the last that have it
MAPPED = [v for v in VERSIONS if has_mapped_ram(v)]


class Differ(Case):
    def unix(self):
        return "unix:" + self.path("m")

    def again(self):
        self.close_all()
        self.processes.clear()
        for name in os.listdir(self.folder):
            os.unlink(self.path(name))

    def from_qemu(self, version, theirs, ours, parameters=None, **options):
        """(source, target): QEMU with these capabilities sends to a godwit with those."""
        target = self.none_vm("target", "recv", self.unix(), capabilities=ours, stay=True, **options)
        target.address()
        source = self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM), capabilities=theirs,
                           parameters=parameters or {})
        source.migrate(self.unix())
        return source, target

    def to_qemu(self, version, ours, theirs, their_parameters=None, **options):
        target = self.qemu(version, "target", memory=SIZE, incoming=self.unix(), capabilities=theirs,
                           parameters=their_parameters or {})
        source = self.none_vm("source", "send", self.unix(), peer=profile(version), ram=RAM, capabilities=ours, **options)
        return source, target

    def arrives_here(self, source, target):
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(target.ram(), RAM)

    def arrives_there(self, source, target):
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())
        return end["stats"]

    def stays(self, source, *words):
        end = source.end()
        self.assertEqual((end["ok"], end["owner"], end["running"]), (False, "source", True), end)
        for w in words:
            self.assertIn(w, end["error"])


class Compress(Differ):
    def test_at_the_source_alone(self):
        for version in COMPRESS:
            with self.subTest(version):
                source, target = self.to_qemu(version, ["return-path", "compress"], [])
                self.stays(source, "capability compress", "must be on there too")
                target.wait_text("compressed page")
                self.again()
                self.arrives_here(*self.from_qemu(version, ["return-path", "compress"], []))
                self.again()

    def test_at_the_destination_alone(self):
        for version in COMPRESS:
            with self.subTest(version):
                self.assertEqual(self.arrives_there(*self.to_qemu(version, ["return-path"], ["compress"]))["compressed"], 0)
                self.again()
                self.arrives_here(*self.from_qemu(version, ["return-path"], ["compress"]))
                self.again()

    def test_numbers(self):
        """Levels and threads are each end's own."""
        for version in COMPRESS:
            with self.subTest(version):
                stats = self.arrives_there(*self.to_qemu(version, ["return-path", "compress"], ["compress"],
                                                         {"decompress-threads": 7, "compress-level": 1},
                                                         parameters={"compress-level": 9, "compress-threads": 2}))
                self.assertGreater(stats["compressed"], 0)
                self.again()
                self.arrives_here(*self.from_qemu(version, ["return-path", "compress"], ["compress"],
                                                  {"compress-level": 9, "compress-threads": 3}))
                self.again()


class Xbzrle(Differ):
    LIVE = dict(rate=40000, working_set="2M")

    def live(self, version, theirs, cache=None):
        parameters = {"max-bandwidth": 8 << 20, "downtime-limit": 1, "xbzrle-cache-size": 4 << 20}
        source, target = self.to_qemu(version, ["return-path", "xbzrle", "pause-before-switchover"], theirs,
                                      {"xbzrle-cache-size": cache} if cache else None, parameters=parameters, **self.LIVE)
        wait_until("differences", lambda: source.ask("state", "state")["xbzrle"] or
                   source.seen("status", status="pre-switchover"))
        source.tell("downtime-limit=1000000")
        source.wait_event("status", status="pre-switchover")
        source.tell("continue")
        return self.arrives_there(source, target)

    def test_at_the_source_alone(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertGreater(self.live(version, [])["xbzrle"], 0)
                self.again()

    def test_caches(self):
        """The cache is the source's own."""
        for version in VERSIONS:
            with self.subTest(version):
                self.assertGreater(self.live(version, ["xbzrle"], PAGE * 16)["xbzrle"], 0)
                self.again()

    def test_at_the_destination_alone(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.arrives_there(*self.to_qemu(version, ["return-path"], ["xbzrle"]))["xbzrle"], 0)
                self.again()
                self.arrives_here(*self.from_qemu(version, ["return-path"], ["xbzrle"]))
                self.again()


class Mapped(Differ):
    """The head of a stream shows it, so it is detected before anything is loaded."""

    def file(self):
        return "file:" + self.path("file")

    def differs(self, version, theirs, ours, words):
        """QEMU writes with these capabilities and a godwit loads with those; then the other way round."""
        source = self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM), capabilities=theirs)
        source.migrate(self.file())
        source.wait()
        target = self.none_vm("target", "recv", self.file(), capabilities=ours)
        end = target.end()
        self.assertEqual((end["ok"], end["running"]), (False, False))
        self.assertIn(words, end["error"])
        self.again()
        source = self.none_vm("source", "send", self.file(), ram=RAM, capabilities=theirs)
        self.assert_ok(source.end())
        target = self.qemu(version, "target", memory=SIZE, incoming=self.file(), capabilities=ours)
        target.wait("failed")
        target.wait_text("Capability mapped-ram is")
        self.again()

    def test_at_the_source_alone(self):
        for version in MAPPED:
            with self.subTest(version):
                self.differs(version, ["mapped-ram"], [], "capability mapped-ram is on at the source and off here")

    def test_at_the_destination_alone(self):
        for version in MAPPED:
            with self.subTest(version):
                self.differs(version, [], ["mapped-ram"], "capability mapped-ram is off at the source and on here")

    def test_over_a_socket(self):
        for role, mode in (("source", "send"), ("target", "recv")):
            p = self.none_vm(role, mode, self.unix(), ram=RAM, capabilities=["mapped-ram"])
            self.assertNotEqual(p.wait_exit(), 0)
            self.assertIn("take a file: address, or turn the capability off", p.text())


if __name__ == "__main__":
    unittest.main()
