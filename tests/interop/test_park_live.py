# SPDX-License-Identifier: MIT
# builds: plain asan
"""QEMU -> godwit receive -> file -> godwit send -> QEMU with memory that is known byte for byte.

Memory that is written through qtest all the time that it goes away, compared as a whole; what a file can be used for
afterwards; and the other formats that `receive` writes. test_park.py has the rest.
"""
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PAGE, Case, Program, Qtest, built, not_this_user, pattern, read_file, wait_until, write_file  # noqa: E402
from places import file_uri, wait_file, wait_listening  # noqa: E402
from versions import VERSIONS  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=9)


class Parking(Case):
    def command(self, role, *argv):
        return Program(self, role, [built("cli/godwit"), *argv])

    def exits(self, program, status=0):
        got = program.wait_exit()
        if got and not status:
            not_this_user(program.text())
        self.assertEqual(got, status, "%s: %s" % (program.role, program.text()[-2000:]))

    def none(self, version, role, ram=None, **options):
        if ram is not None:
            options["ram"] = write_file(self.path(role + ".ram"), ram)
        return self.qemu(version, role, memory=SIZE, **options)

    def receive(self, uri, *arguments, output="parked"):
        receive = self.command("receive", "receive", uri, "--output", self.path(output), *arguments)
        if uri.startswith(("tcp:", "unix:")):
            wait_listening(receive, uri)
        return receive

    def parked(self, source, uri, *arguments, output="parked"):
        receive = self.receive(uri, *arguments, output=output)
        source.migrate(uri)
        source.wait()
        self.exits(receive)
        return self.path(output)

    def unix(self, name="m"):
        return "unix:" + self.path(name)

    def arrives(self, target, uri, path, *options):
        """What lies at path, sent to target."""
        send = self.command("send", "send", path, uri, *options)
        self.exits(send)
        target.wait()


class Files(Parking):
    """A file of machine `none` and what can be done with it."""

    def test_one_file_any_number_of_times(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix())
        for i, version in enumerate(VERSIONS):
            uri = self.unix("m%d" % i)
            target = self.none(version, "target%d" % i, incoming=uri)
            self.arrives(target, uri, path, *(["--force"] if i else []))
            self.assert_same_ram(target.ram(), RAM)

    def test_a_file_that_qemu_wrote(self):
        for version in VERSIONS:
            with self.subTest(version):
                stream = self.path("stream" + version)
                source = self.none(version, "source" + version, ram=RAM)
                source.migrate(file_uri(version, stream, False))
                source.wait()
                wait_file(stream)
                self.exits(self.receive("file:" + stream, output="parked" + version))
                for path in (stream, self.path("parked" + version)):
                    uri = self.unix("to" + os.path.basename(path))
                    target = self.none("10.0", "to" + os.path.basename(path), incoming=uri)
                    self.arrives(target, uri, path)
                    self.assert_same_ram(target.ram(), RAM)

    def test_a_paused_machine_stays_paused(self):
        path = self.parked(self.none("7.2", "source", ram=RAM, paused=True), self.unix())
        target = self.none("10.0", "target", incoming=self.unix("n"))
        self.arrives(target, self.unix("n"), path)
        self.assertNotEqual(target.status(), "running")
        self.assert_same_ram(target.ram(), RAM)


class Formats(Parking):
    """What receive writes instead of a parked file, QEMU reads by itself."""

    def test_stream(self):
        path = self.parked(self.none("10.0", "source", ram=RAM), self.unix(), "--format", "stream")
        for version in VERSIONS:
            target = self.none(version, "target" + version, incoming=file_uri(version, path, True))
            target.wait()
            self.assert_same_ram(target.ram(), RAM)

    def test_mapped_ram(self):
        path = self.parked(self.none("7.2", "source", ram=RAM), self.unix(), "--format", "mapped-ram")
        target = self.none("10.0", "target", capabilities=["mapped-ram"], incoming="file:" + path)
        target.wait()
        self.assert_same_ram(target.ram(), RAM)


class Live(Parking):
    """Memory that is written through qtest while it goes away. Machine `none` has no processor, which qtest needs."""

    SIZE, BASE, WORKING_SET = 16 << 20, 1 << 20, 4 << 20  # below BASE is what the firmware has prepared

    def write_until(self, vm, stop):
        q = Qtest(vm.qtest_path)
        try:
            while not stop.is_set():
                self.writes += 1
                page = self.writes * 7919 * PAGE % self.WORKING_SET
                q.write(self.BASE + page + self.writes % 500 * 8, self.writes.to_bytes(8, "little"))
        finally:
            q.close()

    def live(self, a, b, *arguments, capabilities=(), parameters=None, machine="pc-i440fx-7.2"):
        """The migration's statistics, as the source tells them at the end. arguments: of `receive`."""
        self.writes = 0
        pauses = "pause-before-switchover" in capabilities
        options = {"machine": machine, "block": "pc.ram", "memory": self.SIZE, "args": ["-accel", "tcg"],
                   "paused": True}
        # The working set takes a second on this link, and is written anew in less: no pass is the last one.
        source = self.qemu(a, "source", qtest=True, parameters={"max-bandwidth": 4 << 20, "downtime-limit": 1, **(parameters or {})},
                           capabilities=list(capabilities), **options)
        with open(source.ram_path, "r+b") as f:
            f.seek(self.BASE)
            f.write(pattern(self.WORKING_SET, seed=4))
        receive = self.receive(self.unix(), *arguments)
        stop = threading.Event()
        writer = threading.Thread(target=self.write_until, args=(source, stop), daemon=True)
        writer.start()
        try:
            began = time.monotonic()
            wait_until("some writes", lambda: self.writes > 100)
            # On a busy machine the guest writes slowly: the link is a quarter as fast, or no faster than it was.
            pace = int(100 * PAGE / (time.monotonic() - began) / 4)
            source.qmp.command("migrate-set-parameters", **{"max-bandwidth": min(max(pace, 256 << 10), 4 << 20)})
            source.migrate(self.unix())
            if pauses:
                # Whether it converges by itself depends on the host; after some passes it may stop for as long as it takes.
                wait_until("pre-switchover, or a third pass",
                           lambda: source.migration().get("status") == "pre-switchover" or
                           source.migration().get("ram", {}).get("dirty-sync-count", 0) >= 3)
                source.qmp.command("migrate-set-parameters", **{"downtime-limit": 2000000, "max-bandwidth": 1 << 40})
                wait_until("pre-switchover", lambda: source.migration().get("status") == "pre-switchover")
            else:
                wait_until("a third pass", lambda: source.migration().get("ram", {}).get("dirty-sync-count", 0) >= 3)
                wait_until("the working set to be written twice", lambda: self.writes > 2 * self.WORKING_SET // PAGE)
                self.assertIsNone(source.qmp.seen("MIGRATION", status="completed"))
        finally:
            stop.set()  # qtest would write on into a machine that has stopped for good
            writer.join()
        source.qmp.command("migrate-set-parameters", max_bandwidth=1 << 40)
        if pauses:
            source.qmp.command("migrate-continue", state="pre-switchover")
        source.wait()
        self.exits(receive)
        target = self.qemu(b, "target", incoming=self.unix("n"), **options)
        self.arrives(target, self.unix("n"), self.path("parked"))
        self.assert_same_ram(target.ram(), source.ram())
        self.assert_same_ram(target.saved_ram()[self.BASE:], source.ram()[self.BASE:], "as the machine sees it")
        return source.migration()

    def test_from_7_2(self):
        self.live("7.2", "10.0")

    def test_from_10_0(self):
        self.live("10.0", "7.2")

    def xbzrle(self, version):
        """Pages that come as differences, as each QEMU makes them. These make it converge; it waits until the writer has
        stopped, and looks for what was written then."""
        found = self.live(version, version, capabilities=["xbzrle", "pause-before-switchover"],
                          machine="pc-i440fx-" + ("5.2" if version == "5.2" else "7.2"))
        self.assertGreater(found["xbzrle-cache"]["pages"], 0)
        self.assertGreater(found["xbzrle-cache"]["bytes"], 0)

    def test_xbzrle_from_5_2(self):
        self.xbzrle("5.2")

    def test_xbzrle_from_7_2(self):
        self.xbzrle("7.2")

    def test_xbzrle_from_10_0(self):
        self.xbzrle("10.0")

    def test_xbzrle_from_11_1(self):
        self.xbzrle("11.1")

    def compress(self, version):
        """Pages that come compressed, one by one, and go on so."""
        found = self.live(version, version, capabilities=["compress"], machine="pc-i440fx-5.2")
        self.assertGreater(found["compression"]["pages"], 0)

    def test_compress_from_5_2(self):
        self.compress("5.2")

    def test_compress_from_7_2(self):
        self.compress("7.2")

    def multifd(self, version, compression="none"):
        """Pages that come on several channels, at either rule of when these wait for each other. The rate limit does not
        hold such channels up by much, so it waits until the writer has stopped."""
        found = self.live(version, version, "--capability", "multifd", "--parameter", "multifd-channels=3", "--parameter",
                          "multifd-compression=" + compression, capabilities=["multifd", "pause-before-switchover"],
                          parameters={"multifd-channels": 3, "multifd-compression": compression},
                          machine="pc-i440fx-" + ("5.2" if version == "5.2" else "7.2"))
        self.assertGreater(found["ram"]["multifd-bytes"], self.WORKING_SET // 8)

    def test_multifd_from_5_2(self):
        self.multifd("5.2")

    def test_multifd_from_7_2(self):
        self.multifd("7.2", "zlib")

    def test_multifd_from_10_0(self):
        self.multifd("10.0")

    def test_multifd_from_11_1(self):
        self.multifd("11.1", "zlib")

    def test_as_it_was_written_while_it_came(self):
        self.live("10.0", "10.0", "--compress", "none")


if __name__ == "__main__":
    unittest.main()
