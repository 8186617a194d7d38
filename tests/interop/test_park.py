# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""`godwit receive` and `godwit send` with real QEMUs of machine `none`: RAM byte for byte, and the files left after
failures."""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, Program, QmpError, Qtest, built, pattern, peer, wait_until, write_file  # noqa: E402
from places import has_ipv6, wait_listening  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=9)
UNHEARD = "the source does not wait until its machine is parked; turn its capability return-path on for that"
SLOW_LINK = {"max-bandwidth": 1 << 17}  # two minutes, of which the tests need a few seconds


class Parks(Case):
    def out(self, *name):
        folder = self.path("out")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, *name) if name else folder

    def receive(self, uri=None, *options):
        return Program(self, "receive", [built("cli/godwit"), "receive", uri or "unix:" + self.path("in"), "--output",
                                         self.out("guest"), "--json", *options])

    def send(self, file, uri, *options):
        r = subprocess.run([built("cli/godwit"), "send", file, uri, *options], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=DEADLINE_S * SLOW)
        self.assertNotIn("Sanitizer", r.stderr)
        return r

    def source(self, version, **options):
        options.setdefault("capabilities", ["return-path"])
        return self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM), **options)

    def start(self, version, *options, **source):
        """(receive, source): the migration was begun."""
        rx = self.receive(None, *options)
        address = rx.wait_event("listening")["uri"]
        src = self.source(version, **source)
        src.migrate(address)
        return rx, src

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.out()), [])

    def assert_failed(self, rx, *words):
        self.assertEqual(rx.wait_exit(), 1, rx.text())
        for word in words:
            self.assertIn(word, rx.text())
        self.assertNotIn("Sanitizer", rx.text())
        self.assert_nothing_left()


class Journey(Parks):
    def there_and_back(self, one, other, uri_in, uri_out, **source):
        rx = self.receive(uri_in)
        address = rx.wait_event("listening")["uri"]
        src = self.source(one, **source)
        src.migrate(address)
        parked = rx.wait_event("parked")
        self.assertEqual(rx.wait_exit(), 0)
        src.wait()
        self.assertEqual((parked["machine"], parked["ram-bytes"]), ("none", SIZE))
        dst = self.qemu(other, "target", memory=SIZE, incoming=uri_out)
        r = self.send(self.out("guest"), dst.address() if uri_out.startswith("tcp") else uri_out)
        self.assertEqual(r.returncode, 0, r.stderr)
        dst.wait()
        dst.wait_state("running")
        self.assert_same_ram(dst.ram(), RAM)
        self.assertEqual(os.listdir(self.out()), ["guest"])

    def test_72_to_72_unix(self):
        self.there_and_back("7.2", "7.2", "unix:" + self.path("a"), "unix:" + self.path("b"))

    def test_72_to_10_tcp(self):
        self.there_and_back("7.2", "10.0", "tcp:127.0.0.1:0", "tcp:127.0.0.1:0")

    def test_10_to_72_tcp6(self):
        if not has_ipv6():
            self.skipTest("no IPv6 on this machine's loopback")
        self.there_and_back("10.0", "7.2", "tcp:[::1]:0", "tcp:[::1]:0")

    def test_10_to_10_no_return_path(self):
        self.there_and_back("10.0", "10.0", "unix:" + self.path("a"), "unix:" + self.path("b"), capabilities=[])

    def test_file_and_exec(self):
        """10.0 writes a file, the command takes it from there; 7.2 reads from a command."""
        src = self.source("10.0", capabilities=[])
        src.migrate("file:" + self.path("stream"))
        src.wait()
        rx = self.receive("file:" + self.path("stream"))
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        r = self.send(self.out("guest"), "exec:cat >" + self.path("again"))
        self.assertEqual(r.returncode, 0, r.stderr)
        dst = self.qemu("7.2", "target", memory=SIZE, incoming="exec:cat " + self.path("again"))
        dst.wait()
        self.assert_same_ram(dst.ram(), RAM)

    def test_background_snapshot(self):
        """Its source runs on, so its guest is not what is called parked."""
        for version, json in (("7.2", True), ("10.0", False)):
            with self.subTest(version):
                out = self.out("snapshot" + version)
                rx = Program(self, "receive" + version, [
                    built("cli/godwit"), "receive", "unix:" + self.path("in" + version), "--output", out] + ["--json"] * json)
                wait_listening(rx, "unix:" + self.path("in" + version))
                src = self.qemu(version, "source" + version, memory=SIZE, machine="q35", block=None)
                try:
                    src.set_capabilities("background-snapshot")
                except QmpError as e:
                    self.assertIn("not supported by host kernel", str(e))
                    rx.process.terminate()
                    self.skipTest("no userfaultfd with write protection for QEMU here")
                src.migrate("unix:" + self.path("in" + version))
                self.assertEqual(rx.wait_exit(), 0, rx.text())
                src.wait_state("running")
                if json:
                    self.assertIsNone(rx.seen("parked"))
                    self.assertTrue(rx.seen("snapshot")["machine"].startswith("pc-q35"))
                else:
                    self.assertRegex(rx.text(), "a snapshot of .* is in .*; the guest keeps running at its source")
                r = subprocess.run([built("cli/godwit"), "verify", out], capture_output=True, text=True)
                self.assertEqual(r.returncode, 0, r.stdout)

    def test_remove(self):
        rx, src = self.start("10.0")
        self.assertEqual(rx.wait_exit(), 0)
        dst = self.qemu("10.0", "target", memory=SIZE, incoming="unix:" + self.path("b"))
        r = self.send(self.out("guest"), "unix:" + self.path("b"), "--remove")
        self.assertEqual(r.returncode, 0, r.stderr)
        dst.wait()
        self.assert_nothing_left()

    def test_remove_takes_no_other(self):
        """While a guest is sent, another one is parked under its name: that file stays, and a message says so."""
        rx, src = self.start("10.0")
        self.assertEqual(rx.wait_exit(), 0)
        dst = self.qemu("10.0", "target", memory=SIZE, incoming="unix:" + self.path("b"))
        os.kill(dst.process.pid, signal.SIGSTOP)
        tx = Program(self, "send", [built("cli/godwit"), "send", self.out("guest"), "unix:" + self.path("b"), "--remove", "--json"])
        tx.wait_event("status", status="active")
        os.rename(self.out("guest"), self.out("away"))
        write_file(self.out("guest"), b"another guest")
        os.kill(dst.process.pid, signal.SIGCONT)
        self.assertEqual(tx.wait_exit(), 1)
        self.assertIn("not removed: another file has its name now", tx.text())
        dst.wait()
        with open(self.out("guest"), "rb") as f:
            self.assertEqual(f.read(), b"another guest")
        self.assertEqual(sorted(os.listdir(self.out())), ["away", "guest"])

    def test_dirtied_on_the_way(self):
        """Pages that are written while they are sent come again, and the last contents count."""
        for version in ("7.2", "10.0"):
            rx = self.receive("unix:" + self.path("in" + version), "--force")
            address = rx.wait_event("listening")["uri"]
            src = self.qemu(version, "source" + version, memory=SIZE, machine="microvm", qtest=True,
                            capabilities=["return-path"], parameters={"max-bandwidth": 4096, "downtime-limit": 1})  # a page now and then
            q = Qtest(src.qtest_path)
            for page in range(256, 4096, 2):
                q.write(page << 12, bytes([page & 255, page >> 8, 1]))
            src.migrate(address)
            written = {}
            for n in range(300):
                page = 256 + (n * 37) % 3800
                written[page] = bytes([n & 255, n >> 8 & 255, 2])
                q.write(page << 12, written[page])
                time.sleep(0.002)
            self.assertEqual(src.migration()["status"], "active")
            src.qmp.command("migrate-set-parameters", max_bandwidth=1 << 30)
            src.wait()
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            q.close()
            dst = self.qemu(version, "target" + version, memory=SIZE, machine="microvm", incoming="unix:" + self.path("b" + version),
                            qtest=True)
            r = self.send(self.out("guest"), "unix:" + self.path("b" + version), "--peer", version)
            self.assertEqual(r.returncode, 0, r.stderr)
            dst.wait()
            q = Qtest(dst.qtest_path)
            for page, data in written.items():
                self.assertEqual(q.read(page << 12, 3), data, "page %d" % page)
            q.close()
            src.close()
            dst.close()


class Trouble(Parks):
    def test_the_file_is_there(self):
        write_file(self.out("guest"), b"mine")
        rx = self.receive()
        self.assertEqual(rx.wait_exit(), 1)
        self.assertIn("File exists", rx.text())
        with open(self.out("guest"), "rb") as f:
            self.assertEqual(f.read(), b"mine")

    def test_replaced_only_when_whole(self):
        write_file(self.out("guest"), b"mine")
        rx, src = self.start("10.0", "--force", parameters=SLOW_LINK)
        rx.wait_event("status", status="active")
        src.wait_sent()
        os.kill(src.process.pid, signal.SIGKILL)
        self.assertEqual(rx.wait_exit(), 1)
        self.assertEqual(os.listdir(self.out()), ["guest"])
        with open(self.out("guest"), "rb") as f:
            self.assertEqual(f.read(), b"mine")

    def test_source_dies(self):
        for version in ("7.2", "10.0"):
            rx, src = self.start(version, parameters=SLOW_LINK)
            rx.wait_event("status", status="active")
            src.wait_sent()
            os.kill(src.process.pid, signal.SIGKILL)
            self.assert_failed(rx, "byte ", "the source cancelled, or was lost")
            src.close()

    def test_source_cancels(self):
        for version in ("7.2", "10.0"):
            rx, src = self.start(version, parameters=SLOW_LINK)
            rx.wait_event("status", status="active")
            src.wait_sent()
            src.qmp.command("migrate_cancel")
            self.assert_failed(rx, "the source cancelled, or was lost, before all of its machine was here")
            src.wait("cancelled")
            src.wait_state("running")
            src.close()

    def test_interrupted(self):
        rx = self.receive()
        rx.wait_event("listening")
        os.kill(rx.process.pid, signal.SIGINT)
        self.assert_failed(rx, "cancelled")
        for number in (signal.SIGHUP, signal.SIGQUIT):
            rx = self.receive("tcp:127.0.0.1:0")
            rx.wait_event("listening")
            os.kill(rx.process.pid, number)
            self.assert_failed(rx, "cancelled")
        rx, src = self.start("10.0", parameters=SLOW_LINK)
        rx.wait_event("status", status="active")
        src.wait_sent()
        os.kill(rx.process.pid, signal.SIGINT)
        self.assert_failed(rx, "cancelled")
        src.wait("failed")
        src.wait_state("running")

    def test_strangers(self):
        rx = self.receive("tcp:127.0.0.1:0", "--log", "info")
        address = rx.wait_event("listening")["uri"]
        port = int(address.rsplit(":", 1)[1])
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"QEVM\0\0\0\3\7\0\0\0\4none\1\0\0\0\1\3ram"):
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.sendall(data)
        rx.wait_event("notice")
        src = self.source("10.0")
        src.migrate(address)
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        src.wait()

    def test_full_disk(self):
        """A machine that cannot be written stays at the source: the guest runs on at the source."""
        folder = self.path("small")
        os.mkdir(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted here")
        try:
            rx = Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output",
                                           os.path.join(folder, "guest"), "--json"])
            address = rx.wait_event("listening")["uri"]
            src = self.source("10.0")
            src.migrate(address)
            self.assertEqual(rx.wait_exit(), 1)
            self.assertIn("No space left", rx.text())
            self.assertEqual(os.listdir(folder), [])
            src.wait("failed")
            src.wait_state("running")
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    def test_acknowledged_early(self):
        """The source is told before the file is written; later failures are reported, and `cont` runs the machine at
        the source again."""
        folder = self.path("small")
        os.mkdir(folder)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
            self.skipTest("a small file system cannot be mounted here")
        try:
            rx = Program(self, "receive", [built("cli/godwit"), "receive", "unix:" + self.path("small.in"), "--output",
                                           os.path.join(folder, "guest"), "--json", "--acknowledge", "received"])
            address = rx.wait_event("listening")["uri"]
            src = self.source("10.0")
            src.migrate(address)
            self.assertEqual(rx.wait_exit(), 1)
            self.assertIn("No space left", rx.text())
            self.assertIn("QEMU: cont", rx.text())
            self.assertEqual(os.listdir(folder), [])
            src.wait()
            src.wait_state("postmigrate")
            src.qmp.command("cont")
            src.wait_state("running")
            src.close()
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
        rx, src = self.start("10.0", "--acknowledge", "received")
        rx.wait_event("received")
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        dst = self.qemu("10.0", "target", memory=SIZE, incoming="unix:" + self.path("b"))
        self.assertEqual(self.send(self.out("guest"), "unix:" + self.path("b")).returncode, 0)
        dst.wait()
        self.assert_same_ram(dst.ram(), RAM)

    def test_wrong_destination(self):
        """The machine there is another one: it stays in the file, and the reason is told."""
        rx, src = self.start("10.0")
        self.assertEqual(rx.wait_exit(), 0)
        dst = self.qemu("10.0", "target", memory=SIZE * 2, incoming="unix:" + self.path("b"))
        r = self.send(self.out("guest"), "unix:" + self.path("b"))
        self.assertEqual(r.returncode, 1)
        self.assertIn("the machine is still here", r.stderr)
        dst.wait_text("Size mismatch")

    def test_a_source_that_does_not_wait(self):
        """Without a return path it has left for good when parking fails: that is told, at once and at the end."""
        for version in ("7.2", "10.0"):
            rx = self.receive("unix:" + self.path("in" + version))
            address = rx.wait_event("listening")["uri"]
            write_file(self.out("guest"), b"of somebody")  # just now
            src = self.source(version, capabilities=[])
            src.migrate(address)
            src.wait()
            self.assertEqual(rx.wait_exit(), 1, rx.text())
            rx.wait_event("notice", text=UNHEARD)
            self.assertIn("the source considers its machine migrated: `cont` there resumes it: ", rx.text())
            self.assertIn("File exists", rx.text())
            src.wait_state("postmigrate")
            src.qmp.command("cont")
            src.wait_state("running")
            os.unlink(self.out("guest"))
            rx, src = self.start(version)
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            self.assertIsNone(rx.seen("notice", text=UNHEARD))
            os.unlink(self.out("guest"))

    def test_too_much_memory(self):
        """A guest with more than is allowed goes on where it is."""
        for more in ([], ["--ram-folder", self.folder]):
            rx, src = self.start("10.0", "--memory-max", "15M", *more)
            self.wait_refused(rx, src, "16 MiB of RAM or more; 15 MiB are allowed (--memory-max)")
        rx, src = self.start("10.0", "--memory-max", "16M")
        self.assertEqual(rx.wait_exit(), 0, rx.text())

    def test_nobody_comes(self):
        """With a limit the waiting ends by itself; a source that is there in time, and slow, is not affected."""
        r = subprocess.run([built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output", self.out("guest"), "--wait", "0.2"],
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no source came within 0.2 s", r.stderr)
        self.assert_nothing_left()

    def test_one_at_a_time_for_a_name(self):
        """The second would take the place of what the first one parks, --force or not; a third one may come when it is over."""
        first = self.receive()
        first.wait_event("listening")
        os.symlink(self.out(), self.path("link"))
        for name in self.out("guest"), self.path("link/guest"):
            r = subprocess.run([built("cli/godwit"), "receive", "unix:" + self.path("other"), "--output", name, "--force"],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
            self.assertEqual(r.returncode, 1)
            self.assertIn("another receive is waiting for a guest with this file name", r.stderr)
        other = self.receive("unix:" + self.path("other"), "--output", self.out("guest2"))
        other.wait_event("listening")
        for rx in first, other:
            os.kill(rx.process.pid, signal.SIGKILL)
            rx.wait_exit()
        self.receive("unix:" + self.path("third")).wait_event("listening")

    def test_refusals_are_told(self):
        """A client that has begun a stream is a source: the reason for its refusal is printed once, with any options;
        other clients are not reported."""
        for more, capabilities, why in ((["--memory-max", "15M"], ["return-path"], "15 MiB are allowed (--memory-max)"),
                                        ([], ["return-path", "x-ignore-shared"], "x-ignore-shared is on at the source")):
            uri = "unix:" + self.path("in%d" % len(more))
            rx = Program(self, "receive", [built("cli/godwit"), "receive", uri, "--output", self.out("guest"), *more])
            wait_listening(rx, uri)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(uri[5:])
                s.sendall(b"GET / HTTP/1.1\r\n\r\n")
                with contextlib.suppress(ConnectionResetError):  # what it said may be unread
                    s.recv(1)  # until it was sent away
            for attempt in range(3):
                src = self.source("10.0", capabilities=capabilities)
                src.migrate(uri)
                src.wait("failed")
                src.close()
                wait_until(why, lambda: why in rx.text())
            os.kill(rx.process.pid, signal.SIGINT)
            self.assertEqual(rx.wait_exit(), 1)
            self.assertEqual(rx.text().count("a source was refused"), 1, rx.text())
            self.assertNotIn("GET", rx.text())
            self.assertNotIn("not a migration stream", rx.text())

    def wait_refused(self, rx, src, why):
        wait_until(why, lambda: why in rx.text())
        src.wait("failed")
        src.wait_state("running")
        src.close()
        if rx.alive():
            os.kill(rx.process.pid, signal.SIGINT)
        self.assertEqual(rx.wait_exit(), 1)
        self.assert_nothing_left()

    def refused(self, status, *options, output=None):
        """Before anybody could come."""
        r = subprocess.run([built("cli/godwit"), "receive", "unix:" + self.path("in"), "--output", output or self.out("guest"), "--json",
                            *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual((r.returncode, r.stdout), (status, ""), r.stderr)
        self.assertRegex(r.stderr, r"\Agodwit receive: [^\n]*\n\Z")
        self.assert_nothing_left()
        return r.stderr

    def test_refused_before_it_listens(self):
        xml = write_file(self.path("xml"), b"<domain/>")
        libvirt = ["--format", "libvirt", "--xml", xml]
        for options in (["--compress", "gzip"], ["--level", "abc"], ["--level", "23"], ["--level", "-1"], ["--level", ""],
                        ["--memory-max", "0"], ["--memory-max", "-1"], ["--memory-max", "much"],
                        ["--format", "stream", "--compress", "none"], ["--format", "stream", "--compress", "sparse"],
                        ["--format", "mapped-ram", "--compress", "zstd"], [*libvirt, "--compress", "lz4"],
                        ["--format", "libvirt"], ["--format", "libvirt", "--xml", self.send_nothing()]):
            with self.subTest(options):
                self.refused(2, *options)
        for options in ([], ["--format", "stream"]):
            self.assertIn("--output -", self.refused(2, *options, output="-"))
        self.assertFalse(os.path.exists("-"))
        self.assertIn("File exists; --force", self.refused(1, output=xml))

    def send_nothing(self):
        return write_file(self.path("nothing"), b"nothing of the kind")

    def test_no_place_for_the_file(self):
        for output, why in ((self.path("none/guest"), "No such file"), (self.path("x" * 250), "File name too long"),
                            (self.path("/".join(["y" * 200] * 30)), "File name too long"), (self.out() + "/", "not the name"),
                            (self.out(), "not a file"), ("/proc/guest", "cannot create a file")):
            with self.subTest(why):
                self.assertIn(why, self.refused(1, output=output))
                self.assertIn(why, self.refused(1, "--force", "--format", "stream", output=output))
        self.assertIn("No such file", self.refused(1, "--ram-folder", self.path("none")))

    def test_a_program_that_cannot(self):
        """What compresses is asked before: it may know less levels, or not be there."""
        for program in ("gzip", "bzip2", "xz", "lzop", "zstd"):
            self.assertIn("the level of " + program, self.refused(2, "--format", "stream", "--compress", program, "--level", "22"))
        # PATH must not affect which program runs.
        os.makedirs(self.path("bin"))
        with open(self.path("bin/xz"), "w") as f:
            f.write("#!/bin/sh\ntouch %s\n" % self.path("ran"))
        os.chmod(self.path("bin/xz"), 0o755)
        r = subprocess.run([built("cli/godwit"), "receive", "unix:" + self.path("m"), "-o", self.out("guest"),
                            "--format", "stream", "--compress", "xz", "--wait", "0.1"],
                           env=dict(os.environ, PATH=self.path("bin") + ":" + os.environ["PATH"]), capture_output=True, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("no source came", r.stderr)
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_nothing_to_send(self):
        write_file(self.path("x"), b"nothing of the kind")
        for file, why in (("none", "No such file"), ("x", "neither a parked machine"), ("", "s a directory")):
            r = self.send(self.path(file), "unix:" + self.path("nobody"))
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn(why, r.stderr)
            self.assertTrue(r.stderr.startswith("godwit send: "), r.stderr)
        for argv in (["send"], ["send", "x"], ["receive", "unix:x"], ["receive", "--output", "x"], ["send", "--bogus", "x", "y"],
                     ["receive", "unix:x", "-o", "y", "--format", "tar"]):
            r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, text=True)
            self.assertEqual(r.returncode, 2, argv)


if __name__ == "__main__":
    peer("7.2"), peer("10.0")
    unittest.main()
