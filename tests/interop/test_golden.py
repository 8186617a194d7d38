# SPDX-License-Identifier: MIT
"""The captures in the tree contain no foreign code: no firmware, and nothing that QEMU or firmware put into RAM."""
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, built, write_file  # noqa: E402

GOLDEN = os.path.join(TOP, "tests", "golden")
sys.path.insert(0, GOLDEN)
import blank  # noqa: E402
import stream  # noqa: E402

# What PC, microvm, virt and EFI firmware, option ROMs and the tables that QEMU hands them have in them.
NAMES = (b"seabios", b"ipxe", b"etherboot", b"vgabios", b"bochs", b"plex86", b"qboot", b"bxpc", b"openbios", b"u-boot", b"tianocore",
         b"edk2", b"edk ii", b"linuxboot")
ANCHORS = (b"_SM_", b"_MP_", b"$PIR", b"$PMM", b"RSD PTR ")
NONE = b"QEVM\0\0\0\3\7\0\0\0\4none"  # how a stream of the machine without firmware begins


def binaries(top):
    """Path and contents, unpacked if need be, of all files below it that are no text."""
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and not f.startswith((".", "build")))
        for path in (os.path.join(folder, f) for f in sorted(files)):
            data = blank.contents(path)
            if b"\0" in data:
                yield os.path.relpath(path, TOP), data


def words_of_firmware(data):
    data = b"\0".join(filter(None, data.split(b"\0" * 64)))  # most of it is zeros
    lower = data.lower()
    return [w for w in NAMES if w in lower] + [w for w in ANCHORS if w in data]


def unparked(data):
    with tempfile.TemporaryDirectory() as folder:
        r = subprocess.run([built("cli/godwit"), "convert", write_file(os.path.join(folder, "parked"), data), "-", "--format", "stream"],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S * SLOW)
        assert r.returncode == 0, r.stderr
        return r.stdout


class Golden(unittest.TestCase):
    def test_no_words_of_firmware(self):
        files = list(binaries(TOP))
        self.assertGreater(len(files), 100)
        for name, data in files:
            with self.subTest(name):
                self.assertEqual(words_of_firmware(data), [])

    def test_ram_is_what_the_tests_wrote(self):
        for name, data in binaries(GOLDEN):
            with self.subTest(name):
                if name.endswith(".park"):
                    data = unparked(data)
                elif os.path.basename(os.path.dirname(name)) in ("accept", "reject"):
                    continue  # a few bytes, made by hand or cut from a capture of `none`: the other test looks into them
                if name.endswith("dictionary.park"):  # of a unit test's making: a head and pages, and no stream of a machine
                    self.assertEqual(words_of_firmware(data), [])
                elif data.startswith((b"QEVM", b"LibvirtQemudSave")) and not data.startswith(NONE):
                    s = blank.decode(data)
                    self.assertEqual([page[:2] for page in blank.foreign(s)], [])
                    ours = b"".join(bytes(b.ram) for b in s.blocks.values() if b.name in blank.OURS)
                    self.assertEqual(words_of_firmware(ours), [])
                elif not data.startswith((NONE, b"gdwtpark")):  # the latter are of hostile/: no reader takes them
                    channels = re.sub(r"\.(main|ch\d|preempt|recover|src2dst|dst2src)\..*", ".*", os.path.join(TOP, name))
                    self.assertTrue(any(blank.contents(p).startswith(NONE) for p in glob.glob(channels)))

    def test_foreign_pages_are_found_and_blanked(self):
        for name in ("precopy-pc-7.2.bin.gz", "compress-microvm-7.2.bin", "libvirt-11.3-sparse.save.gz"):
            data = blank.contents(os.path.join(GOLDEN, "captures", name))
            block, offset, _, _, end = [p for p in blank.decode(data).pages if p[2] in (stream.PAGE_RECORD, stream.MAPPED)
                                        and p[0] == "pc.bios"][-1]
            dirty = data[:end - 16] + b"\xea" + data[end - 15:]
            self.assertEqual([page[:2] for page in blank.foreign(blank.decode(dirty))], [(block, offset)])
            self.assertEqual(blank.blank(dirty), data)


if __name__ == "__main__":
    unittest.main()
