# SPDX-License-Identifier: MIT
# builds: plain asan
"""Whether a guest goes on by itself where it arrives: as it was parked, as libvirt found it, or as the operator wants it."""
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, built, pattern, read_file, wait_until, write_file  # noqa: E402
from test_park import Parks  # noqa: E402

SIZE = 4 << 20
RAM = pattern(SIZE, seed=33)
XML = b"<domain type='kvm'><name>x</name></domain>"


class RunState(Parks):
    version = "10.0"

    def stream(self, paused):
        """Of a machine that ran, or did not; it is stopped at its first instruction."""
        name = "paused" if paused else "running"
        src = self.qemu(self.version, "source-" + name, memory=SIZE, ram=write_file(self.path("ram"), RAM), paused=paused)
        src.migrate_to(self.path(name))
        src.close()
        return self.path(name)

    def libvirt(self, stream, was_running):
        """As libvirt saves it: stopped, with a note in its own head."""
        image = stream + ".libvirt"
        self.godwit("convert", stream, image, "--format", "libvirt", "--force", "--xml", write_file(self.path("xml"), XML))
        data = bytearray(read_file(image))
        data[24:28] = struct.pack("<I", was_running)
        return write_file(image, bytes(data))

    def godwit(self, *args):
        r = self.command(*args)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r

    def command(self, *args):
        return subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S * SLOW)

    def arrives(self, file, running, *options):
        """Sent to a QEMU it ends in this state, and a message tells the sender if it waits."""
        uri = "unix:" + self.path("s")
        dst = self.qemu(self.version, "target", memory=SIZE, ram=self.path("target.ram"), incoming=uri)
        r = self.godwit("send", file, uri, "--force", *options)
        dst.wait()
        states = ("running",) if running else ("paused", "prelaunch")
        wait_until("target: %s" % (states,), lambda: dst.status() in states)
        self.assertEqual("it is paused" in r.stdout, not running, r.stdout)
        self.assertEqual("`cont`" in r.stdout, not running, r.stdout)
        dst.close()

    def test_as_it_was(self):
        for paused in False, True:
            stream = self.stream(paused)
            self.arrives(stream, not paused)
            self.arrives(stream, True, "--running")
            self.arrives(stream, False, "--paused")

    def test_libvirt(self):
        """In every format that it goes through."""
        stream = self.stream(True)
        for was_running in 1, 0:
            image = self.libvirt(stream, was_running)
            self.arrives(image, was_running)
            for format, more in (("parked", ()), ("stream", ()), ("libvirt", ("--xml", self.path("xml")))):
                there = self.path("there." + format)
                self.godwit("convert", image, there, "--format", format, "--force", *more)
                self.arrives(there, was_running)
                self.godwit("convert", there, self.path("again"), "--format", "parked", "--force")
                self.arrives(self.path("again"), was_running)
            self.arrives(image, False, "--paused")
            self.arrives(image, True, "--running")

    def test_both(self):
        self.assertEqual(self.command("send", "x", "y", "--running", "--paused").returncode, 2)

    def test_nothing_that_could_say_so(self):
        """A machine without a recorded run state starts on arrival; asking for another state is refused."""
        src = self.qemu(self.version, "source", memory=SIZE, ram=write_file(self.path("ram"), RAM), paused=True,
                        properties=[("store-global-state", "off")])
        src.migrate_to(self.path("stream"))
        src.close()
        self.arrives(self.path("stream"), True)
        r = self.command("send", self.path("stream"), "exec:cat >/dev/null", "--paused", "--force")
        self.assertEqual(r.returncode, 1)
        self.assertIn("does not carry its run state", r.stderr)


if __name__ == "__main__":
    unittest.main()
