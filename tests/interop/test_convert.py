# SPDX-License-Identifier: MIT
# builds: plain asan
"""godwit convert and inspect on files of every kind: against the second decoder, and against real QEMUs."""
import array
import fcntl
import gzip
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import DEADLINE_S, SLOW, TOP, Case, built, pattern, read_file, wait_until, write_file  # noqa: E402
from places import file_uri  # noqa: E402
from versions import VERSIONS, has_mapped_ram  # noqa: E402

CAPTURES = os.path.join(TOP, "tests", "golden", "captures")
XML = "<domain type='kvm'><name>guest</name></domain>\n"
SIZE = 16 << 20
RAM = pattern(SIZE, seed=11)


def capture(name):
    data = read_file(os.path.join(CAPTURES, name))
    return gzip.decompress(data) if name.endswith(".gz") else data


class Files(Case):
    def godwit(self, *argv, status=0, **options):
        r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, timeout=DEADLINE_S * SLOW, **options)
        self.assertEqual(r.returncode, status, r.stderr.decode())
        if status == 1:  # one line, and nothing but it
            self.assertRegex(r.stderr.decode(), r"\Agodwit \w+: .*\n\Z")
        else:
            self.assertEqual(r.stderr, b"" if not status else r.stderr)
        return r.stderr.decode() if status else r.stdout

    def convert(self, source, name, *more, **options):
        out = self.path(name)
        self.godwit("convert", source, out, *more, **options)
        return out

    def put(self, name, data):
        return write_file(self.path(name), data)


class Convert(Files):
    LOADABLE = ["precopy-none-7.2.bin", "precopy-none-10.0.bin", "precopy-pc-7.2.bin.gz", "precopy-pc-10.0.bin.gz",
                "precopy-microvm-7.2.bin.gz", "precopy-microvm-10.0.bin.gz", "xbzrle-microvm-7.2.bin",
                "xbzrle-microvm-10.0.bin", "compress-microvm-7.2.bin", "background-snapshot-4M-7.2.bin",
                "background-snapshot-4M-10.0.bin", "mapped-ram-10.0.bin.gz", "mapped-ram-multifd-10.0.bin.gz",
                "validate-uuid-7.2.bin", "validate-uuid-10.0.bin", "switchover-ack-10.0.main.src2dst.bin"]

    def assert_same(self, a, b, text):
        """Two streams hold the same machine, says the second decoder."""
        self.assertEqual((a.machine, a.uuid), (b.machine, b.uuid), text)
        self.assertEqual(list(a.blocks), list(b.blocks), text)
        for name in a.blocks:
            self.assert_same_ram(bytes(b.blocks[name].ram), bytes(a.blocks[name].ram), "%s, %s" % (text, name))
        self.assertEqual(a.devices, b.devices, text)
        self.assertEqual(a.vmdesc, b.vmdesc, text)
        devices = [[s[2:] for s in x.sections if s[1] == stream.FULL] for x in (a, b)]
        self.assertEqual(devices[0], devices[1], text)

    def test_without_standard_descriptors(self):
        """The parent process may have closed 0, 1 and 2: no file and no pipe gets one of these numbers."""
        data = capture("precopy-microvm-10.0.bin.gz")
        source, before = self.put("in", data), stream.decode(data)
        for closed in ("<&- >&- 2>&-", "<&-", ">&-", "2>&-", "<&- 2>&-"):
            with self.subTest(closed):
                def godwit(*argv, says=b""):
                    r = subprocess.run(["sh", "-c", 'exec "$@" ' + closed, "sh", built("cli/godwit"), *argv], stdin=subprocess.DEVNULL,
                                       capture_output=True, timeout=DEADLINE_S * SLOW)
                    self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"", b"" if "2>&-" in closed else says))
                for program in ("gzip", "xz"):
                    packed, again, sent = (self.path(x) for x in ("packed", "again", "sent"))
                    godwit("convert", source, packed, "--force", "--format", "stream", "--compress", program)
                    self.assertEqual(subprocess.run([program, "-dc", packed], capture_output=True, check=True).stdout[:4], b"QEVM")
                    godwit("convert", packed, again, "--force", "--format", "parked")
                    godwit("send", again, "exec:cat >%s; echo said >&2" % sent, "--peer", "10.0", "--quiet", says=b"said\n")
                    self.assert_same(before, stream.decode(read_file(sent)), program)
                # What cannot be read or written is an error as before.
                r = subprocess.run(["sh", "-c", 'exec "$@" <&- >&-', "sh", built("cli/godwit"), "convert", source, "-", "--format",
                                    "stream"], capture_output=True, timeout=DEADLINE_S * SLOW)
                self.assertEqual(r.returncode, 1)
                self.assertIn(b"Bad file descriptor", r.stderr)

    def test_captures(self):
        for name in self.LOADABLE:
            with self.subTest(name):
                data = capture(name)
                before, source = stream.decode(data), self.put("in", data)
                for how in (["stream"], ["mapped-ram"]):
                    out = read_file(self.convert(source, "out", "--force", "--format", *how))
                    self.assert_same(before, stream.decode(out), "%s as %s" % (name, how[0]))
                out = read_file(self.convert(source, "out", "--force", "--format", "libvirt", "--xml", self.put("xml", XML.encode())))
                at = 92 + int.from_bytes(out[20:24], sys.byteorder)
                self.assertEqual(out[92:92 + len(XML) + 1], XML.encode() + b"\0")
                self.assert_same(before, stream.decode(out[at:]), name + " as libvirt")

    def test_through_a_parked_file(self):
        """stream -> parked -> stream keeps every byte; and so does the way over libvirt."""
        for name in self.LOADABLE:
            with self.subTest(name):
                source = self.put("in", capture(name))
                direct = read_file(self.convert(source, "direct", "--force", "--format", "stream"))
                parked = self.convert(source, "parked", "--force", "--format", "parked")
                self.assertEqual(read_file(self.convert(parked, "again", "--force", "--format", "stream")), direct)
                save = self.convert(parked, "save", "--force", "--format", "libvirt", "--xml", self.put("xml", XML.encode()))
                parked = self.convert(save, "parked", "--force", "--format", "parked", "--compress", "none")
                self.assertEqual(read_file(self.convert(parked, "again", "--force", "--format", "stream")), direct)

    def test_standard_input_and_output(self):
        data = capture("precopy-microvm-10.0.bin.gz")
        for given in (data, gzip.compress(data)):
            out = self.godwit("convert", "-", "-", "--format", "stream", input=given)
            self.assert_same(stream.decode(data), stream.decode(out), "through pipes")
        out = self.godwit("convert", "-", "-", "--format", "stream", "--compress", "gzip", "--level", "1", input=data)
        self.assert_same(stream.decode(data), stream.decode(gzip.decompress(out)), "compressed")
        parked = self.godwit("convert", "-", "-", "--format", "parked", input=data)
        out = self.godwit("convert", "-", "-", "--format", "stream", input=parked)
        self.assert_same(stream.decode(data), stream.decode(out), "parked, through pipes")

    def test_examples_of_the_manual(self):
        """Word for word."""
        page = read_file(os.path.join(TOP, "docs", "man", "godwit-convert.1")).decode().replace("\\-", "-")
        commands = [line.strip() for line in page.split(".SH EXAMPLES")[1].split(".SH ")[0].splitlines()
                    if line.startswith("    ")]
        self.assertGreaterEqual(len(commands), 4)
        data = capture("precopy-pc-10.0.bin.gz")
        self.put("guest.stream", data)
        self.put("guest.xml", XML.encode())
        for command in commands:
            path = os.path.dirname(built("cli/godwit")) + ":" + os.environ["PATH"]
            r = subprocess.run(command, shell=True, cwd=self.folder, env=dict(os.environ, PATH=path), capture_output=True)
            self.assertEqual((r.returncode, r.stderr), (0, b""), command)
        self.assert_same(stream.decode(data), stream.decode(read_file(self.path("guest.mapped"))), "at the end")

    def test_announced_by_machines_that_know_it(self):
        for name, want in (("precopy-pc-10.0.bin.gz", ["switchover-start"]), ("precopy-pc-7.2.bin.gz", []),
                           ("precopy-none-10.0.bin", [])):
            out = read_file(self.convert(self.put("in", capture(name)), "out", "--force", "--format", "stream"))
            self.assertEqual([c[1] for c in stream.decode(out).commands], want, name)

    def test_what_cannot_be(self):
        good, xml = self.put("good", capture("validate-uuid-7.2.bin")), self.put("xml", XML.encode())
        out = self.path("out")
        for argv, why in ((["none", out, "--format", "stream"], "none: No such file or directory"),
                          ([good, out, "--format", "libvirt"], "libvirt needs the domain's XML"),
                          ([good, out, "--format", "libvirt", "--xml", "none"], "none: No such file"),
                          ([good, out, "--format", "libvirt", "--xml", xml, "--compress", "none"], "libvirt cannot read files compressed with none"),
                          ([good, out, "--format", "mapped-ram", "--compress", "gzip"], "cannot be compressed"),
                          ([good, "-", "--format", "mapped-ram"], "cannot go to standard output"),
                          ([good, good, "--format", "stream"], "File exists"),
                          ([self.folder, out, "--format", "stream"], "Is a directory"),
                          ([xml, out, "--format", "stream"], "neither a parked machine nor a migration stream")):
            self.assertIn(why, self.godwit("convert", *argv, status=1, cwd=self.folder))
        for argv in ([good, out], [good, "--format", "stream"], [good, out, "--format", "qcow2"], [good, out, "--format", "memory"],
                     [good, out, "--format", "stream", "--level", "x"], [good, out, out, "--format", "stream"]):
            self.godwit("convert", *argv, status=2)
        self.assertEqual(sorted(os.listdir(self.folder)), ["good", "xml"])

    def test_damaged_input_leaves_nothing(self):
        data = capture("precopy-none-10.0.bin")
        for what, text in ((data[:20000], "ended at byte 20000"), (gzip.compress(data)[:-30], "gzip failed")):
            self.assertIn(text, self.godwit("convert", self.put("in", what), self.path("out"), "--format", "stream", status=1))
            self.assertEqual(os.listdir(self.folder), ["in"])

    def test_damaged_while_compressed(self):
        """That is damage, not a failure of this host; and the other way round."""
        source = self.put("in", capture("precopy-none-10.0.bin"))
        for program in ("gzip", "bzip2", "xz", "lzop", "zstd"):
            if not shutil.which(program):
                continue
            packed = subprocess.run([program, "-c", source], stdout=subprocess.PIPE, check=True).stdout
            self.godwit("verify", self.put("packed", packed))
            at = len(packed) // 2
            for bad in (packed[:at], packed[:at] + bytes(8) + packed[at + 8:]):
                self.godwit("verify", self.put("packed", bad), status=3)
        packed = self.put("packed", gzip.compress(os.urandom(1 << 20)))
        r = subprocess.run(["sh", "-c", 'ulimit -f 4; trap "" XFSZ PIPE; exec "$@"', "sh", built("cli/godwit"), "verify", packed],
                           capture_output=True, text=True)
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertIn("File too large", r.stderr)

    def test_interrupted(self):
        """Ctrl-C while the compressing takes long: the existing file stays. The same if the terminal is closed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                self.interrupt(number)

    def test_interrupted_while_the_program_computes(self):
        """A signal that only we get, as of kill or systemd: the program, which may go on for long, is ended."""
        self.interrupt(signal.SIGTERM, both=False)

    def instead_of_gzip(self, program):
        """Runs a command for which /usr/bin/gzip is this program, by a mount, since PATH is not used."""
        for how in (["unshare", "-m"], ["unshare", "-r", "-m"]):
            command = how + ["sh", "-c", "mount --bind %s /usr/bin/gzip && exec \"$@\"" % program, "sh"]
            if shutil.which("unshare") and subprocess.run(command + ["true"], capture_output=True).returncode == 0:
                return command
        self.skipTest("no mount of our own is allowed here")

    def interrupt(self, number, both=True):
        old = self.put("out", b"old")
        source = self.put("in", capture("precopy-pc-10.0.bin.gz"))
        slow = os.path.join(self.folder, "bin")
        os.makedirs(slow, exist_ok=True)
        if os.path.exists(self.path("pid")):
            os.unlink(self.path("pid"))
        with open(os.path.join(slow, "gzip"), "w") as f:
            f.write("#!/bin/sh\necho $$ > %s\nexec sleep 60\n" % self.path("pid"))
        os.chmod(os.path.join(slow, "gzip"), 0o755)
        p = subprocess.Popen(self.instead_of_gzip(os.path.join(slow, "gzip")) +
                             [built("cli/godwit"), "convert", source, old, "--force", "--format", "stream", "--compress", "gzip"],
                             stderr=subprocess.PIPE)
        pid = wait_until("it compresses", lambda: os.path.exists(self.path("pid")) and read_file(self.path("pid")).strip())
        p.send_signal(number)
        if both:
            os.kill(int(pid), number)  # a terminal sends it to both
        self.assertEqual(p.wait(DEADLINE_S * SLOW), 1)
        self.assertIn("interrupted; no file was left", p.stderr.read().decode())
        self.assertFalse(os.path.exists("/proc/%d" % int(pid)))
        p.stderr.close()
        self.assertEqual(read_file(old), b"old")
        self.assertFalse([n for n in os.listdir(self.folder) if ".partial." in n])

    def stalled(self, number, **options):
        """`convert ... -`, and nothing reads its output."""
        source = self.put("in", capture("precopy-pc-10.0.bin.gz"))
        p = subprocess.Popen([built("cli/godwit"), "convert", source, "-", "--format", "stream"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, **options)
        self.addCleanup(p.stderr.close)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.kill)
        wait_until("something came", lambda: select.select([p.stdout], [], [], 0)[0])
        time.sleep(0.2)
        p.send_signal(number)
        return p

    def test_interrupted_while_the_reader_stalls(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(number):
                p = self.stalled(number)
                self.assertEqual(p.wait(DEADLINE_S * SLOW), 1)
                self.assertEqual(p.stderr.read(), b"godwit convert: -: interrupted; the output is incomplete\n")

    def test_nohup(self):
        p = self.stalled(signal.SIGHUP, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual((p.returncode, err), (0, b""))
        stream.decode(out)


class Inspect(Files):
    def test_nothing_to_tell(self):
        """The part read before the error is shown; if nothing was read, only the error."""
        for path in (self.path("none"), self.folder):
            for how in ((), ("--json",)):
                r = subprocess.run([built("cli/godwit"), "inspect", *how, path], capture_output=True, text=True)
                self.assertEqual((r.returncode, r.stdout), (1, ""))
                self.assertRegex(r.stderr, r"\Agodwit inspect: .*\n\Z")
        cut = self.put("cut", capture("precopy-none-10.0.bin")[:20000])
        r = subprocess.run([built("cli/godwit"), "inspect", cut], capture_output=True, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("none", r.stdout)

    @staticmethod
    def unread(pipe):
        count = array.array("i", [0])
        fcntl.ioctl(pipe, termios.FIONREAD, count)
        return count[0]

    def terminal(self, *argv):
        """What appears on a terminal while the stream comes slowly."""
        data = capture("precopy-pc-10.0.bin.gz")
        here, there = pty.openpty()
        p = subprocess.Popen([built("cli/godwit"), "inspect", *argv, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=there)
        os.close(there)
        for part in range(0, len(data), 4096):
            p.stdin.write(data[part:part + 4096])
            p.stdin.flush()
            # Slowly as the reader sees it, which may itself be late.
            wait_until("it is read", lambda: p.poll() is not None or not self.unread(p.stdin))
            time.sleep(0.02)
        p.stdin.close()
        self.assertEqual(p.wait(DEADLINE_S * SLOW), 0)
        said = b""
        try:
            while True:
                said += os.read(here, 4096)
        except OSError:
            os.close(here)
        return said

    def test_progress(self):
        self.assertRegex(self.terminal(), rb"inspected  [\d.]+ [KM]iB")
        self.assertEqual(self.terminal("--quiet"), b"")

    def inspect(self, *argv, **options):
        return json.loads(self.godwit("inspect", "--json", *argv, **options))

    def test_containers(self):
        data = capture("precopy-none-10.0.bin")
        source, xml = self.put("in", data), self.put("xml", XML.encode())
        plain = self.inspect(source)
        self.assertNotIn("file", plain)
        ways = {"raw": None, "gzip": "gzip", "sparse": None}
        ways.update({p: p for p in ("bzip2", "xz", "lzop", "zstd") if shutil.which(p)})
        for how, program in ways.items():
            save = self.convert(source, how, "--format", "libvirt", "--xml", xml, "--compress", how)
            for given in ({}, {"input": read_file(save)}, {"input": gzip.compress(read_file(save))}):
                seen = self.inspect("-" if given else save, **given)
                twice = given.get("input", b"").startswith(b"\x1f\x8b")
                self.assertEqual((seen["file"], seen["was_running"], seen.get("compressed")),
                                 ("libvirt", True, program or ("gzip" if twice else None)), how)
                self.assertEqual(seen["devices"][0]["values"], plain["devices"][0]["values"])
                self.assertEqual(seen["ram"]["contents"], plain["ram"]["contents"])
                self.assertEqual(sum(seen["bytes_by_cause"].values()), seen["bytes"])
        text = self.godwit("inspect", "--all", self.path("gzip")).decode()
        self.assertIn("file          a libvirt save image, the guest was running", text)
        self.assertIn("compressed    with gzip", text)

    def test_parked(self):
        source = self.put("in", capture("precopy-microvm-10.0.bin.gz"))
        plain = self.inspect(source)
        parked = self.convert(source, "parked", "--format", "parked")
        for seen in (self.inspect(parked), self.inspect("-", input=read_file(parked)),
                     self.inspect("-", input=gzip.compress(read_file(parked)))):
            self.assertEqual((seen["file"], seen["machine"]), ("parked", "microvm"))
            self.assertEqual([d["values"] for d in seen["devices"]], [d["values"] for d in plain["devices"]])
            self.assertEqual(seen["ram"]["contents"]["distinct"], plain["ram"]["contents"]["distinct"])
        damaged = bytearray(read_file(parked))
        damaged[len(damaged) // 3] ^= 1
        self.assertIn("byte", self.godwit("inspect", self.put("x", bytes(damaged)), status=1))

    def test_compressed(self):
        data = capture("precopy-microvm-10.0.bin.gz")
        for given in (data, gzip.compress(data)):
            for seen in (self.inspect(self.put("x", given)), self.inspect("-", input=given)):
                self.assertEqual((seen["machine"], len(seen["devices"])), ("microvm", 14))

    def test_damaged(self):
        source, xml = self.put("in", capture("precopy-none-10.0.bin")), self.put("xml", XML.encode())
        save = read_file(self.convert(source, "save", "--format", "libvirt", "--xml", xml))
        for data, why in ((save[:50], "byte 50: the head of a libvirt save image"), (save[:9000], "ends at byte 9000, inside the XML"),
                          (save[:80000], "ended at byte 80000"),
                          (save.replace(b"QemudSave", b"QemudPart", 1), "never finished"),
                          (gzip.compress(capture("precopy-none-7.2.bin"))[:-20], "gzip failed"),
                          (gzip.compress(save)[:-20], "gzip failed"), (b"", "ended at byte 0")):
            self.assertIn(why, self.godwit("inspect", self.put("x", data), status=1))


class Peer(Files):
    """Files go from one QEMU through godwit to the other."""

    def saved(self, version, mapped=False):
        source = self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM))
        path = self.path("saved-by-%d" % len(self.processes))
        if mapped:
            source.set_capabilities("mapped-ram")
            source.migrate("file:" + path)
            source.wait()
        else:
            source.migrate_to(path)
        source.close()
        os.unlink(source.ram_path)
        return path

    def loads(self, version, path, mapped=False, uri=None, capabilities=()):
        uri = uri or file_uri(version, path, True)
        role = "target-%d" % len(self.processes)
        target = self.qemu(version, role, memory=SIZE, incoming=uri,
                           capabilities=list(capabilities) + (["mapped-ram"] if mapped else []))
        target.wait()
        self.assert_same_ram(target.saved_ram(), RAM, "in QEMU " + version)
        self.assertEqual(target.status(), "running")
        target.close()

    def test_stream_of_each_for_each(self):
        for source in VERSIONS:
            out = self.convert(self.saved(source), "out", "--force", "--format", "stream")
            for target in VERSIONS:
                with self.subTest("%s to %s" % (source, target)):
                    self.loads(target, out)

    def test_mapped_ram(self):
        for source in VERSIONS:
            out = self.convert(self.saved(source), "out", "--force", "--format", "mapped-ram")
            self.assertLess(os.stat(out).st_blocks * 512, SIZE)  # zeros take no room
            for target in (v for v in VERSIONS if has_mapped_ram(v)):
                with self.subTest("%s to %s" % (source, target)):
                    self.loads(target, out, mapped=True)
                    self.loads(target, out, mapped=True, capabilities=["multifd"])

    def test_stream_of_a_mapped_file(self):
        for source in (v for v in VERSIONS if has_mapped_ram(v)):
            path = self.saved(source, mapped=True)
            for target in VERSIONS:
                with self.subTest("%s to %s" % (source, target)):
                    self.loads(target, self.convert(path, "out", "--force", "--format", "stream"))

    def test_compressed(self):
        path = self.convert(self.saved("7.2"), "out", "--format", "stream", "--compress", "gzip")
        self.loads("10.0", path, uri="exec:gzip -dc " + path)


if __name__ == "__main__":
    unittest.main()
