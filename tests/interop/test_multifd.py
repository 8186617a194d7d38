# SPDX-License-Identifier: MIT
# builds: plain
"""Multifd with real QEMUs of every version, both ways, and between two godwits: every number of channels and compression,
memory that is written all the while, both rules of when channels wait for each other, and settings that differ."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PAGE, UUID, Case, QmpError, pattern, wait_until, with_locked_memory, write_file  # noqa: E402
from test_park_live import Parking  # noqa: E402
from versions import VERSIONS, at_least, profile  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=6)
COMPRESSIONS = ("none", "zlib", "zstd")
# What makes a newer QEMU do as the older ones.
SECTIONS = ("multifd-flush-after-each-section", "on")


def multifd(channels=2, compression="none", **parameters):
    parameters.update({"multifd-channels": channels, "multifd-compression": compression})
    return {"capabilities": ["multifd", "return-path"], "parameters": parameters}


class Multifd(Case):
    def of(self, version, role, settings, **options):
        """A QEMU with these settings, or None if it was built without one of them."""
        try:
            return self.qemu(version, role, memory=SIZE, **settings, **options)
        except QmpError as e:
            self.assertIn("zstd", str(e))
            return None

    def unix(self, name="m"):
        return "unix:" + self.path(name)

    def receive(self, version, settings, ours=None, **options):
        source = self.of(version, "source", settings, ram=write_file(self.path("source.ram"), RAM), **options)
        if not source:
            return
        target = self.none_vm("target", "recv", self.unix(), **(ours or settings))
        target.address()
        source.migrate(self.unix())
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(target.ram(), RAM)
        for vm in (source, target):
            vm.close()

    def send(self, version, settings, peer=None, properties=(), **options):
        target = self.of(version, "target", settings, incoming=self.unix(), properties=properties)
        if not target:
            return None
        options.setdefault("ram", RAM)
        source = self.none_vm("source", "send", self.unix(), peer=peer or profile(version), **options, **settings)
        self.assert_ok(source.end())
        target.wait()
        got, sent = target.ram(), source.ram()
        self.assert_same_ram(got, sent)
        end = source.seen("end")
        for vm in (source, target):
            vm.close()
        return end


class Counts(Multifd):
    def each(self, what, counts, compressions):
        for version in VERSIONS:
            for channels in counts:
                for compression in compressions:
                    with self.subTest(version=version, channels=channels, compression=compression):
                        for name in ("m", "source.ram", "target.ram"):
                            if os.path.exists(self.path(name)):
                                os.unlink(self.path(name))
                        what(version, multifd(channels, compression))

    def test_receive(self):
        self.each(self.receive, (1, 2, 4, 16), ("none",))

    def test_receive_compressed(self):
        self.each(self.receive, (3,), ("zlib", "zstd"))

    def test_send(self):
        self.each(self.send, (1, 2, 4, 16), ("none",))

    def test_send_compressed(self):
        self.each(self.send, (3,), ("zlib", "zstd"))

    def test_godwit(self):
        for channels, compression in ((1, "zlib"), (64, "none"), (5, "zstd")):
            settings = multifd(channels, compression)
            with self.subTest(channels=channels, compression=compression):
                target = self.none_vm("target", "recv", "tcp:127.0.0.1:0", **settings)
                source = self.none_vm("source", "send", target.address(), ram=RAM, **settings)
                for vm in (source, target):
                    self.assert_ok(vm.end())
                self.assert_same_ram(target.ram(), RAM)

    def test_too_many(self):
        p = self.none_vm("target", "recv", self.unix(), **multifd(65))
        self.assertNotEqual(p.wait_exit(), 0)
        p.close()
        self.assertIn("multifd-channels 65: there can be 64 here", p.text())


class Rules(Multifd):
    """When channels wait for each other, and how zero pages are sent: as in old QEMUs, in new ones, and
    combinations."""

    def test_receive(self):
        for version in (v for v in VERSIONS if at_least(v, "10.0")):
            for properties, detection in (([SECTIONS], "multifd"), ([SECTIONS], "legacy"), ([], "legacy"), ([], "none")):
                with self.subTest(version=version, properties=properties, detection=detection):
                    self.setUpFiles()
                    settings = multifd()
                    settings["parameters"]["zero-page-detection"] = detection
                    self.receive(version, settings, ours=multifd(), properties=properties)

    def setUpFiles(self):
        for name in ("m", "source.ram", "target.ram"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))

    def test_send(self):
        for version in (v for v in VERSIONS if at_least(v, "10.0")):
            for peer, properties in (("7.2", [SECTIONS]), ("8.1", []), ("9.0", []), ("godwit", [])):
                with self.subTest(version=version, peer=peer):
                    self.setUpFiles()
                    self.send(version, multifd(), peer=peer, properties=properties)

    def test_detection(self):
        for detection, zeros in (("none", False), ("legacy", True), ("multifd", True)):
            with self.subTest(detection=detection):
                self.setUpFiles()
                settings = multifd()
                settings["parameters"]["zero-page-detection"] = detection
                end = self.send("10.0", settings)
                self.assertEqual(end["stats"]["duplicate"] > 0, zeros, end["stats"])


class Written(Multifd):
    """Memory that is written faster than it goes, for several passes."""

    def live(self, version, compression):
        settings = multifd(2, compression, **{"max-bandwidth": 8 << 20, "downtime-limit": 1})
        target = self.of(version, "target", multifd(2, compression), incoming=self.unix())
        if not target:
            self.skipTest("this QEMU was built without " + compression)
        source = self.none_vm("source", "send", self.unix(), peer=profile(version), rate=4000, working_set=8 << 20,
                              ram=RAM, **settings)
        source.settle()
        end = source.end()
        self.assert_ok(end)
        self.assertGreater(end["written"], 0)
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())


for _version in VERSIONS:
    for _compression in COMPRESSIONS:
        setattr(Written, "test_%s_%s" % (_version.replace(".", "_"), _compression),
                lambda self, v=_version, c=_compression: self.live(v, c))


class ZeroCopy(Multifd):
    """Pages that the kernel sends without a copy. Over loopback it copies them nevertheless, and reports that."""

    def with_it(self, channels=2, **parameters):
        settings = multifd(channels, **parameters)
        settings["capabilities"].append("zero-copy-send")
        return settings

    def judge(self, source, channels):
        """Both sides agree on the result of a successful migration."""
        end = source.end()
        self.assert_ok(end)
        stats = end["stats"]
        self.assertGreaterEqual(stats["multifd-bytes"], stats["normal"] * PAGE)
        self.assertLess(stats["multifd-bytes"], stats["transferred"])
        self.assertGreater(stats["dirty-sync-missed-zero-copy"], 0)
        self.assertLessEqual(stats["dirty-sync-missed-zero-copy"], stats["dirty-sync-count"] * channels)
        return end

    def test_to_qemu(self):
        for version in VERSIONS:
            for channels in (1, 4):
                with self.failing_as("%s, %d channels" % (version, channels)):
                    target = self.of(version, "target", multifd(channels), incoming="tcp:127.0.0.1:0")
                    source = self.none_vm("source", "send", target.address(), peer=profile(version), ram=RAM,
                                          **self.with_it(channels))
                    self.judge(source, channels)
                    target.wait()
                    self.assert_same_ram(target.ram(), RAM)
                for vm in (source, target):
                    vm.close()
                os.unlink(self.path("target.ram"))

    def test_while_memory_is_written(self):
        """What is written while the kernel holds a page may go or not; it comes again."""
        for version in VERSIONS:
            target = self.of(version, "target", multifd(2), incoming="tcp:127.0.0.1:0")
            source = self.none_vm("source", "send", target.address(), peer=profile(version), rate=4000, working_set=8 << 20,
                                  ram=RAM, **self.with_it(2, **{"max-bandwidth": 8 << 20, "downtime-limit": 1}))
            source.settle()
            self.assertGreater(self.judge(source, 2)["written"], 0)
            target.wait()
            with self.failing_as(version):
                self.assert_same_ram(target.ram(), source.ram())
            for vm in (source, target):
                vm.close()
            os.unlink(self.path("target.ram"))

    def test_from_qemu(self):
        """Affects only how the source writes."""
        with_locked_memory(len(RAM))
        for version in (v for v in VERSIONS if at_least(v, "7.2")):
            target = self.none_vm("target", "recv", "tcp:127.0.0.1:0", **multifd(2))
            source = self.of(version, "source", self.with_it(2), ram=write_file(self.path("source.ram"), RAM))
            source.migrate(target.address())
            self.assert_ok(target.end())
            self.assert_same_ram(target.ram(), RAM)
            for vm in (source, target):
                vm.close()

    def test_godwits(self):
        settings = self.with_it(8)
        target = self.none_vm("target", "recv", "tcp:127.0.0.1:0", **settings)
        source = self.none_vm("source", "send", target.address(), rate=20000, working_set=4 << 20, ram=RAM, **settings)
        source.settle()
        self.judge(source, 8)
        self.assert_ok(target.end())
        self.assert_same_ram(target.ram(), source.ram())

    def test_refused(self):
        zlib = self.with_it(2, compression="zlib")
        alone = {"capabilities": ["zero-copy-send"], "parameters": {}}
        for uri, settings, words in ((self.unix(), self.with_it(), "zero-copy-send needs tcp:, not unix:"),
                                     ("tcp:127.0.0.1:1", zlib, "set multifd-compression to none"),
                                     ("tcp:127.0.0.1:1", alone, "zero-copy-send needs multifd, which is off")):
            p = self.none_vm("source", "send", uri, **settings)
            self.assertNotEqual(p.wait_exit(), 0)
            p.close()
            self.assertIn(words, p.text())


class Adaptive(Multifd):
    """The level changes under way, and QEMU, which knows nothing of it, reads all of it."""

    def test_to_each_version(self):
        for version in VERSIONS:
            for compression in ("zlib", "zstd"):
                with self.subTest(version=version, compression=compression):
                    settings = multifd(2, compression, **{"multifd-%s-level" % compression: 9})
                    settings["capabilities"] = [*settings["capabilities"], "x-godwit-adaptive-compression"]
                    name = version + compression
                    target = self.of(version, "target" + name, multifd(2, compression), incoming=self.unix(name))
                    if not target:
                        continue
                    source = self.none_vm("source" + name, "send", self.unix(name), peer=profile(version), rate=4000,
                                          working_set=8 << 20, ram=RAM, **settings)
                    source.settle()
                    self.assert_ok(source.end())
                    target.wait()
                    self.assert_same_ram(target.ram(), source.ram())


class Differs(Multifd):
    """Settings that differ: both sides end or go on, and say what differs; the machine stays where it is."""

    CASES = {  # at the source, at the destination, words that a godwit has for it
        "off_at_the_destination": (multifd(), {"capabilities": []}, "multifd is on at the source and off here"),
        "off_at_the_source": ({"capabilities": ["return-path"]}, multifd(), "0 of 2 multifd channels have come"),
        "more_at_the_source": (multifd(4), multifd(2), "multifd-channels is 2 here"),
        "more_at_the_destination": (multifd(2), multifd(4), "of 4 multifd channels have come within"),
        "zlib_to_none": (multifd(2, "zlib"), multifd(), "multifd-compression is zlib at the source and none here"),
        "none_to_zlib": (multifd(), multifd(2, "zlib"), "multifd-compression is none at the source and zlib here"),
        "uuid": (dict(multifd(), uuid=UUID), multifd(), "another UUID"),
    }

    def said(self, vm, words):
        def there():
            vm.seen("")
            return any(words in e.get("text", e.get("error", "")) for e in vm.events)
        wait_until(words, there)

    def target(self, settings, words):
        """Missing channels are reported soon; otherwise the host's speed does not matter."""
        hello_ms = 5000 if "have come" in words else 200000
        target = self.none_vm("target", "recv", self.unix(), hello_ms=hello_ms, stay=True, **settings)
        target.address()
        return target

    def qemu_sends(self, version, name):
        ours, theirs, words = self.CASES[name]
        target = self.target(theirs, words)
        source = self.of(version, "source", ours, ram=write_file(self.path("source.ram"), RAM))
        source.migrate(self.unix())
        self.said(target, words)
        try:
            source.wait("failed")
            source.wait_state("running")
        except QmpError:
            # QEMU 5.2 now and then crashes when its channels are closed while it still sends on them.
            if version != "5.2" or source.wait_exit() >= 0:
                raise
            print("QEMU 5.2 crashed (signal %d)" % -source.process.returncode)
        self.assertFalse(target.ended() and target.end()["running"])

    def godwit_sends(self, name):
        ours, theirs, words = self.CASES[name]
        target = self.target(theirs, words)
        source = self.none_vm("source", "send", self.unix(), ram=RAM, **ours)
        end = source.end()
        self.assertEqual((end["ok"], end["owner"], end["running"]), (False, "source", True))
        self.assertIn(words, end["error"])
        self.said(target, words)

    def to_qemu(self, version, name):
        ours, theirs, _ = self.CASES[name]
        target = self.of(version, "target", theirs, incoming=self.unix())
        source = self.none_vm("source", "send", self.unix(), peer=profile(version), ram=RAM, timeout_ms=3000, **ours)
        end = source.end()
        self.assertEqual((end["ok"], end["owner"], end["running"]), (False, "source", True), end)
        self.assertIn("must be on there too, with the same multifd-channels", end["error"])
        target.close()


for _name in Differs.CASES:
    setattr(Differs, "test_%s" % _name, lambda self, n=_name: self.godwit_sends(n))
    for _version in VERSIONS:
        setattr(Differs, "test_%s_from_%s" % (_name, _version.replace(".", "_")),
                lambda self, v=_version, n=_name: self.qemu_sends(v, n))
for _name in ("more_at_the_source", "zlib_to_none", "uuid", "off_at_the_destination"):
    for _version in VERSIONS:
        setattr(Differs, "test_%s_to_%s" % (_name, _version.replace(".", "_")),
                lambda self, v=_version, n=_name: self.to_qemu(v, n))


class Parked(Parking):
    """`receive` and `send` over several channels."""

    def there_and_back(self, one, other, compression="none"):
        options = ["--capability", "multifd", "--parameter", "multifd-channels=4", "--parameter",
                   "multifd-compression=" + compression]
        settings = multifd(4, compression)
        source = self.none(one, "source", ram=RAM, **settings)
        self.parked(source, self.unix(), *options)
        target = self.none(other, "target", incoming=self.unix("n"), **settings)
        self.arrives(target, self.unix("n"), self.path("parked"), *options, "--peer", profile(other))
        self.assert_same_ram(target.ram(), RAM)

    def test_zero_copy(self):
        """What is read from the file ahead is kept until the kernel has let go of it."""
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for version in VERSIONS:
            target = self.none(version, "target" + version, incoming="tcp:127.0.0.1:0", **multifd(2))
            self.arrives(target, target.address(), path, "--force", "--capability", "multifd", "--capability",
                         "zero-copy-send", "--parameter", "multifd-channels=2", "--peer", profile(version))
            self.assert_same_ram(target.ram(), RAM)

    def test_from_5_2(self):
        self.there_and_back("5.2", "11.1")

    def test_from_7_2(self):
        self.there_and_back("7.2", "10.0", "zlib")

    def test_from_10_0(self):
        self.there_and_back("10.0", "7.2", "zstd")

    def test_from_11_1(self):
        self.there_and_back("11.1", "5.2")


if __name__ == "__main__":
    unittest.main()
