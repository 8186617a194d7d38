# SPDX-License-Identifier: MIT
# builds: plain asan
"""The parts of a stream before the RAM and between sections: godwit sends them unchanged, by every route."""
import gzip
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, built, pattern, read_file, write_file  # noqa: E402
from test_park import Parks  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=21)
MAGIC = b"QEVM\0\0\0\3"


def head(stream):
    """The bytes before the RAM's START."""
    assert stream.startswith(MAGIC)
    return stream[:stream.index(b"\3ram") - 5]


def subsection(name, body):
    name = b"configuration/" + name
    return b"\5" + bytes([len(name)]) + name + b"\0\0\0\1" + body


class Heads(Parks):
    """Files: no QEMU is needed."""

    def godwit(self, *args):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertNotIn("Sanitizer", r.stderr)

    def ways(self, stream):
        """The stream after each way through our formats and back."""
        write_file(self.out("stream"), stream)
        self.godwit("convert", self.out("stream"), self.out("parked"), "--format", "parked", "--force")
        yield "parked", self.back("parked")
        self.godwit("convert", self.out("stream"), self.out("again"), "--format", "stream", "--force")
        yield "stream", read_file(self.out("again"))
        self.godwit("convert", self.out("stream"), self.out("xz"), "--format", "stream", "--compress", "gzip", "--force")
        yield "compressed", self.back("xz")
        self.godwit("convert", self.out("stream"), self.out("libvirt"), "--format", "libvirt", "--force", "--xml",
                    write_file(self.out("xml"), b"<domain type='kvm'><name>x</name></domain>"))
        yield "libvirt", self.back("libvirt")
        for name in ("parked", "again"):
            to = self.out("sent-" + name)
            self.godwit("send", self.out(name), "exec:cat >" + to)
            yield "send " + name, read_file(to)
            rx = self.receive("file:" + to, "--force")
            self.assertEqual(rx.wait_exit(), 0, rx.text())
            yield "receive " + name, self.back("guest")

    def back(self, name):
        self.godwit("convert", self.out(name), self.out("back"), "--format", "stream", "--force")
        return read_file(self.out("back"))

    def same(self, stream):
        for way, got in self.ways(stream):
            with self.subTest(way):
                self.assertEqual(head(got), head(stream))

    def test_page_bits(self):
        """A virt machine of ARM says the size of its pages, although it is the usual one, and insists on it."""
        with gzip.open(os.path.join(TOP, "tests", "golden", "captures", "aarch64-virt-7.2.bin.gz")) as f:
            stream = f.read()
        self.assertIn(b"target-page-bits\0\0\0\1\0\0\0\x0c", head(stream))
        self.same(stream)

    def test_unknown(self):
        """Unknown subsections, before and after known ones."""
        stream = read_file(os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin"))
        at = len(head(stream))
        for more in (subsection(b"new", b"\7\0\1\2\3"),
                     subsection(b"uuid", bytes(range(16))) + subsection(b"new", b"") + subsection(b"newer", b"\x7e" * 300),
                     subsection(b"a", b"\0" * 5)):
            with self.subTest(more[:40]):
                self.same(stream[:at] + more + stream[at:])

    def test_mapped_ram(self):
        """The one capability that is of the file and not of the machine."""
        stream = read_file(os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin"))
        at = len(head(stream))
        stream = stream[:at] + subsection(b"uuid", bytes(range(16))) + stream[at:]
        write_file(self.out("stream"), stream)
        self.godwit("convert", self.out("stream"), self.out("mapped"), "--format", "mapped-ram")
        self.assertIn(b"\x0amapped-ram", head(read_file(self.out("mapped"))))
        self.assertEqual(head(self.back("mapped")), head(stream))
        self.godwit("convert", self.out("mapped"), self.out("parked"), "--format", "parked")
        self.assertEqual(head(self.back("parked")), head(stream))
        self.godwit("convert", self.out("parked"), self.out("mapped2"), "--format", "mapped-ram")
        self.assertEqual(head(read_file(self.out("mapped2"))), head(read_file(self.out("mapped"))))


class Capabilities(Parks):
    """x-ignore-shared changes how the list of RAM blocks is written: the head says it where that is so, and only there."""

    def test_ignore_shared(self):
        for version in "7.2", "10.0":
            name = self.path(version)
            options = dict(memory=SIZE, machine="microvm", block=None, paused=True)
            src = self.qemu(version, "source", capabilities=["x-ignore-shared"], **options)
            src.migrate_to(name + ".stream")
            src.close()
            self.assertIn(b"x-ignore-shared", head(read_file(name + ".stream")))
            for format in "parked", "stream":
                file = name + "." + format + ".file"
                r = self.command("convert", name + ".stream", file, "--format", format)
                self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(self.command("diff", name + ".stream", file).returncode, 0)
                for capability in [], ["x-ignore-shared"]:
                    uri = "unix:" + file + str(len(capability))
                    dst = self.qemu(version, "target", incoming=uri, capabilities=capability, **options)
                    r = self.send(file, uri, "--force", *("--capability=" + c for c in capability))
                    self.assertEqual(r.returncode, 0, "%s %s" % (r.stderr, dst.text()))
                    dst.wait()
                    dst.close()

    def command(self, *args):
        return subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S * SLOW)


class Peers(Parks):
    """QEMUs that leave something out: into a file and parked while it comes, each sent to one that leaves it out too."""

    def journey(self, version, machine, properties=()):
        options = dict(memory=SIZE, machine=machine, properties=properties, paused=True)
        name = "-".join([version, machine.split(",")[0]] + [p[0] for p in properties])
        guest, stream = self.out(name), self.path(name + ".stream")
        for way in "file", "parked":
            src = self.qemu(version, name + "-source-" + way, ram=write_file(self.path("source.ram"), RAM),
                            capabilities=["return-path"] if way == "parked" else [], **options)
            if way == "file":
                src.migrate_to(stream)
            else:
                rx = self.receive(None, "--output", guest)
                src.migrate(rx.wait_event("listening")["uri"])
                self.assertEqual(rx.wait_exit(), 0, rx.text())
            src.close()
        for file in stream, guest:
            uri = "unix:" + self.path("s")
            dst = self.qemu(version, name + "-target", ram=self.path("target.ram"), incoming=uri, **options)
            r = self.send(file, uri)
            self.assertEqual(r.returncode, 0, "%s: %s %s" % (file, r.stderr, dst.text()))
            dst.wait()
            self.assert_same_ram(dst.ram(), RAM)
            dst.close()
            os.unlink(self.path("target.ram"))
            if os.path.exists(self.path("s")):
                os.unlink(self.path("s"))

    def test_no_configuration(self):
        for version in VERSIONS:
            with self.failing_as(version):
                # From 8.1 or so on QEMU dies over its own description when the configuration is not in it.
                machine = "microvm" + (",suppress-vmdesc=on" if at_least(version, "8.0") else "")
                self.journey(version, machine, [("send-configuration", "off")])

    def test_no_footers(self):
        for version in VERSIONS:
            with self.failing_as(version):
                self.journey(version, "microvm", [("send-section-footer", "off")])

    def test_old_machine(self):
        for version in VERSIONS:
            if not at_least(version, "9.1"):  # which has no such machine any more
                with self.failing_as(version):
                    self.journey(version, "pc-i440fx-2.3")


if __name__ == "__main__":
    unittest.main()
