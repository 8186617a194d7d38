# SPDX-License-Identifier: MIT
# builds: plain asan
"""States of machines in volumes, which are larger than they: streams that QEMU wrote into a raw volume (as Proxmox does) and
libvirt's save images; in block devices, which hold what was there before, and in files that were copied from volumes."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, built, pattern, read_file, write_file  # noqa: E402
from versions import VERSIONS  # noqa: E402

SIZE, VOLUME, XML = 8 << 20, 24 << 20, "<domain type='kvm'><name>guest</name></domain>"
RAM = pattern(SIZE, seed=31)
STALE = bytes(range(1, 256)) * 4112


class Volumes(Case):
    def cli(self, *args, code=0):
        r = subprocess.run([built("cli/godwit"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, code, "%s: %s" % (args[0], r.stderr + r.stdout))
        return r.stdout + r.stderr

    def stream(self, version, **more):
        src = self.qemu(version, "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM), **more)
        path = self.path("stream")
        if os.path.exists(path):
            os.unlink(path)
        src.migrate_to(path)  # and its command has written all: close ends that too
        src.close()
        return read_file(self.path("stream"))

    def device(self, path):
        """A block device that is the file."""
        if os.geteuid():
            self.skipTest("only root may set up a loop device")
        r = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True, timeout=DEADLINE_S)
        if r.returncode:
            self.skipTest("no loop device: " + r.stderr.strip())
        device = r.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", device], check=False, timeout=DEADLINE_S)
        return device

    def padded(self, name, data, stale=b"", size=VOLUME):
        """A file of a volume's size: the data, and what an earlier use has left behind it."""
        path = write_file(self.path(name), data + stale)
        os.truncate(path, size)
        return path

    def used(self, volume, plain):
        """What reads a machine at rest reads this one; it is the same as that in the plain file."""
        self.assertIn("no difference", self.cli("diff", volume, plain))
        self.cli("extract", volume, "--ram", self.path("ram"), "--force")
        self.assert_same_ram(read_file(self.path("ram")), RAM)
        self.cli("convert", volume, self.path("converted"), "--format", "stream", "--force")
        self.assertIn("no difference", self.cli("diff", self.path("converted"), plain))
        self.cli("map", volume)

    def arrives(self, volume, version):
        where = "unix:" + self.path("in")
        dst = self.qemu(version, "target", memory=SIZE, incoming=where)
        self.cli("send", volume, where)
        dst.wait()
        self.assert_same_ram(dst.ram(), RAM)
        dst.close()

    def behind(self, volume, code=0):
        return json.loads(self.cli("verify", "--json", volume, code=code))

    def test_padded(self):
        """Zeros behind the end are padding, in a file too; anything else in a file is a fault."""
        data = self.stream("10.0")
        plain, padded = write_file(self.path("plain"), data), self.padded("padded", data)
        self.used(padded, plain)
        self.arrives(padded, "10.0")
        self.assertEqual(self.behind(padded)["behind"], {"offset": len(data), "bytes": VOLUME - len(data), "zeros": True})
        self.assertNotIn("behind", self.behind(plain))
        self.assertIn("behind the end at byte %d: %d bytes of padding, all zeros" % (len(data), VOLUME - len(data)),
                      self.cli("verify", padded))
        looked = self.cli("inspect", padded)
        self.assertRegex(looked, r"padding: .* of zeros after the end of the stream")
        self.assertIn("(%d bytes)" % VOLUME, looked)
        self.assertEqual(json.loads(self.cli("inspect", "--json", padded))["bytes_by_cause"]["trailing"], VOLUME - len(data))
        stale = self.padded("stale", data, STALE)
        said = self.behind(stale, code=3)
        self.assertIn("from byte %d on" % len(data), said["found"][0]["what"])
        self.assertRegex(self.cli("inspect", stale), r"warning: .* follow the end of the stream")

    def test_device(self):
        """In a volume that was in use before: what is left there is told, and is no fault."""
        for version, stale in ((VERSIONS[0], b""), (VERSIONS[-1], STALE)):
            data = self.stream(version)
            plain, volume = write_file(self.path("plain"), data), self.device(self.padded("volume" + version, data, stale))
            with self.subTest(version=version):
                self.used(volume, plain)
                said = self.behind(volume)
                want = {"offset": len(data), "bytes": VOLUME - len(data), "zeros": not stale}
                self.assertEqual(said["behind"], dict(want, other_offset=len(data)) if stale else want)
                told = self.cli("verify", volume)
                self.assertIn("what was there before" if stale else "all zeros", told)
                self.assertRegex(self.cli("inspect", volume), "padding: .* of the volume after the end of the stream")
                self.arrives(volume, version)

    def test_written_there(self):
        """QEMU itself writes into the device, over what was there."""
        backing = write_file(self.path("backing"), STALE * (VOLUME // len(STALE) + 1))
        os.truncate(backing, VOLUME)
        volume = self.device(backing)
        src = self.qemu("10.0", "source", memory=SIZE, ram=write_file(self.path("source.ram"), RAM))
        src.migrate("exec:dd of=%s bs=64k iflag=fullblock conv=notrunc,fsync status=none" % volume)
        src.wait()
        said = self.behind(volume)
        self.assertFalse(said["behind"]["zeros"])
        self.assertEqual(said["behind"]["other_offset"], said["behind"]["offset"])
        self.arrives(volume, "10.0")
        self.cli("extract", volume, "--ram", self.path("ram"))
        self.assert_same_ram(read_file(self.path("ram")), RAM)

    def test_broken(self):
        """A stream that breaks off in a volume is not whole, wherever the volume ends."""
        data = self.stream("10.0")
        volume = self.device(self.padded("volume", data[:len(data) // 2]))
        self.assertFalse(self.behind(volume, code=3)["whole"])

    def libvirt(self, data, *how):
        plain = write_file(self.path("plain"), data)
        write_file(self.path("xml"), XML.encode())
        self.cli("convert", plain, self.path("save"), "--format", "libvirt", "--xml", self.path("xml"), "--force", *how)
        return plain, read_file(self.path("save"))

    def test_parked(self):
        """A parked file, received or converted, and one written into a pipe, whose header does not say where it ends."""
        stream = write_file(self.path("plain"), self.stream("10.0"))
        received, converted = self.path("received"), self.path("made")
        self.cli("receive", "file:" + stream, "--output", received)
        self.cli("convert", received, converted, "--format", "parked", "--compress", "none")
        with open(received, "rb") as f:
            piped = subprocess.run([built("cli/godwit"), "convert", "--format", "parked", received, "-"], stdin=f, capture_output=True,
                                   timeout=DEADLINE_S * SLOW, check=True).stdout
        for name, data in (("received", read_file(received)), ("converted", read_file(converted)), ("piped", piped)):
            for stale in (b"", STALE):
                volume = self.device(self.padded(name + ".volume", data, stale))
                with self.subTest(name=name, stale=bool(stale)):
                    self.used(volume, received)
                    self.assertEqual(self.behind(volume)["behind"],
                                     dict({"offset": len(data), "bytes": VOLUME - len(data), "zeros": not stale},
                                          **({"other_offset": len(data)} if stale else {})))
                    self.arrives(volume, "10.0")
            self.assertTrue(self.behind(self.padded(name + ".zeros", data))["behind"]["zeros"])
            stale = self.behind(self.padded(name + ".stale", data, STALE), code=3 if name == "piped" else 0)
            self.assertEqual(stale["behind"]["offset"], len(data))
            broken = self.device(self.padded(name + ".broken", data[:-100], STALE))
            self.assertFalse(self.behind(broken, code=3)["whole"])

    def test_libvirt(self):
        plain, save = self.libvirt(self.stream("10.0"))
        volumes = [self.padded("padded", save)]
        volumes += [self.device(self.padded("volume", save, STALE))]
        for volume in volumes:
            self.used(volume, plain)
            said = self.behind(volume)["behind"]
            self.assertEqual((said["offset"], said["bytes"]), (len(save), VOLUME - len(save)))
            self.cli("extract", volume, "--xml", self.path("xml.out"), "--force")
            self.assertEqual(read_file(self.path("xml.out")).decode().strip(), XML)
        self.arrives(volumes[1], "10.0")

    def test_libvirt_compressed(self):
        """The compressed stream says itself where it ends, whatever lies behind it in a volume."""
        data = self.stream("10.0")
        for how in ("gzip", "bzip2", "xz", "lzop", "zstd"):
            if not shutil.which(how):
                continue
            plain, save = self.libvirt(data, "--compress", how, "--level", "1")
            older = save[:70000] + save[-len(save) // 3:] + save  # an older image, of which the newer one has left the end
            for name, stale in (("zeros", b""), ("noise", STALE), ("older", older)):
                with self.subTest(how=how, behind=name):
                    volume = self.padded("padded", save, stale)
                    self.assertIn("no difference", self.cli("diff", volume, plain))
            with self.subTest(how=how):
                self.assertTrue(self.behind(volume)["whole"])
                self.assertIn(how, self.cli("inspect", volume))
                self.cli("convert", volume, self.path("converted"), "--format", "stream", "--force")
                self.assertIn("no difference", self.cli("diff", self.path("converted"), plain))
                os.truncate(volume, len(save) // 2)
                self.assertFalse(self.behind(volume, code=3)["whole"])
        self.arrives(self.device(self.padded("volume", save, STALE)), "10.0")

    def test_compressed(self):
        """A stream that was compressed as a whole, in a volume."""
        data = self.stream("10.0")
        plain = write_file(self.path("plain"), data)
        for how in ("gzip", "bzip2", "xz", "lzop", "zstd"):
            if not shutil.which(how):
                continue
            packed = subprocess.run([how, "-1c"], input=data, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S * SLOW).stdout
            with self.subTest(how=how):
                self.assertIn("no difference", self.cli("diff", self.padded("padded", packed), plain))
                self.assertIn(how, self.cli("inspect", self.padded("padded", packed, STALE)))


if __name__ == "__main__":
    unittest.main()
