# SPDX-License-Identifier: MIT
"""`godwit inspect` says which program wrote a stream only where the stream shows it."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import Box  # noqa: E402
from harness import DEADLINE_S, PAGE, SLOW, Case, built, wait_until, write_file  # noqa: E402
from versions import VERSIONS, has_mapped_ram  # noqa: E402

MEMORY = 16 << 20
UNKNOWN = r"QEMU or godwit \(it cannot be determined which\)"


class Author(Case):
    def godwit(self, *argv):
        r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual(r.returncode, 0, r.stderr)
        return r.stdout

    def says(self, path, program, because=None):
        with self.failing_as("%s, by %s" % (path, program)):
            source = json.loads(self.godwit("inspect", "--json", path))["source"]
            self.assertEqual(source["program"], program)
            line, _, why = self.godwit("inspect", "--all", path).partition("written by    ")[2].partition("\n")
            self.assertRegex(line, "^%s(; it looks like QEMU)?( [0-9]+[.][0-9]+ or later,?)?( before [0-9]+[.][0-9]+)?$" % (
                UNKNOWN if program == "unknown" else program))
            if because:
                self.assertIn(because, source["because"])
                self.assertIn(because, why)

    def mixed(self):
        """Pages with contents and zeros, in turn."""
        return b"".join(bytes([p % 251 + 1]) * PAGE if p % 3 else bytes(PAGE) for p in range(MEMORY // PAGE))

    def written_again(self, path, order=True):
        """godwit's verdict on a stream. order: it has pages of both kinds."""
        stream, parked, sent, mapped = (self.path(n) for n in ("stream", "parked", "sent", "mapped"))
        self.godwit("convert", "--force", path, stream, "--format", "stream")
        self.godwit("convert", "--force", path, parked, "--format", "parked")
        self.godwit("convert", "--force", path, mapped, "--format", "mapped-ram")
        self.godwit("send", "--force", parked, "file:" + sent)
        for made in (stream, sent):
            self.says(made, *(("godwit", "zero pages come ahead of other pages, batch by batch") if order else ("unknown",)))
        self.says(parked, "godwit", "it is in a parked file")
        self.says(mapped, "unknown")

    def of_qemu(self, version):
        write_file(self.path("src.ram"), self.mixed())
        qemu = self.qemu(version, "src", memory=MEMORY)
        if has_mapped_ram(version):
            qemu.set_capabilities("mapped-ram")
            qemu.migrate("file:" + self.path("mapped"))
            qemu.wait()
            self.says(self.path("mapped"), "unknown")
            qemu.qmp_close()
            qemu = self.qemu(version, "again", memory=MEMORY, ram=self.path("src.ram"))
        qemu.migrate_to(self.path("qemu"))
        self.says(self.path("qemu"), "QEMU", "zero pages come among other pages, one by one")
        self.written_again(self.path("qemu"))
        blank = self.qemu(version, "blank", memory=MEMORY)
        blank.migrate_to(self.path("blank.stream"))
        self.says(self.path("blank.stream"), "unknown")
        self.written_again(self.path("blank.stream"), order=False)

    def test_without_extensions(self):
        """Machine `none` of an embedder: its stream has nothing but the order of its pages."""
        for limit in (1 << 40, 16 << 20):
            path = self.path("embedded%d" % limit)
            end = self.none_vm("src%d" % limit, "send", "file:" + path, memory=MEMORY, ram=self.mixed(),
                               parameters={"max-bandwidth": limit}).end()
            self.assert_ok(end)
            self.says(path, "godwit", "zero pages come ahead of other pages, batch by batch")
        self.written_again(path)

    def test_machine_in_the_box(self):
        source = Box(self, "src", ("--memory", "16M"))
        source.qmp.command("migrate", uri="file:" + self.path("box"))
        wait_until("migrated", lambda: source.migration().get("status") == "completed")
        self.says(self.path("box"), "godwit", "the machine is godwit's own")


for v in VERSIONS:
    def test(self, v=v):
        self.of_qemu(v)
    setattr(Author, "test_qemu_" + v.replace(".", "_"), test)

if __name__ == "__main__":
    unittest.main()
