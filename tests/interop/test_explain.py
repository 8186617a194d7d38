# SPDX-License-Identifier: MIT
"""`godwit schema explain` names what a real QEMU names when it refuses a stream, and finds nothing where it loads."""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, Qemu, built, read_file, write_file  # noqa: E402
from loading import CASES, NONE, PC, Q35, VERDICTS, Machine, Matrix, explain, why_refused  # noqa: E402
from versions import VERSIONS  # noqa: E402


def with_args(*args, machine="pc-i440fx-7.2", memory=16):
    return {"machine": machine, "args": list(args), "memory": memory << 20}


class Explain(Case):
    count = 0

    def vm(self, version, machine, incoming=None):
        self.count += 1
        options = dict(machine)
        options["args"] = ["-accel", "tcg"] + options["args"]
        return Qemu(self, version, "vm%d" % self.count, block=None, paused=True, incoming=incoming, **options)

    def stream(self, version, machine):
        """What the machine writes when it is asked before it has run."""
        vm = self.vm(version, machine)
        path = self.path("stream%d" % self.count)
        vm.migrate_to(path)
        vm.close()
        self.processes.remove(vm)
        return path

    def loads(self, version, machine, path):
        return why_refused(self.vm(version, machine, incoming="exec:cat " + path))

    def explain(self, a, b):
        p = subprocess.run([built("cli/godwit"), "schema", "explain", "--json", a, b], capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        self.assertIn(p.returncode, VERDICTS, p.stderr)
        doc = json.loads(p.stdout)
        self.assertEqual(doc["verdict"], VERDICTS[p.returncode])
        self.assertEqual(doc["loads"], p.returncode == 0)
        return doc

    def refused(self, source, destination, names):
        """names: what stands in the first reason and in what QEMU says."""
        path = self.stream(*source)
        other = self.stream(*destination)
        doc = self.explain(path, other)
        said = self.loads(*destination, path)
        self.assertIsNotNone(said, "it loads")
        against = subprocess.run([built("cli/godwit"), "inspect", "--against", other, path], capture_output=True, text=True,
                                 timeout=DEADLINE_S * SLOW)
        self.assertEqual(against.returncode, 3, against.stderr)
        first = next(r for r in doc["found"] if r["weight"] == "refused")
        for name in names:
            self.assertIn(name, said)
            self.assertIn(name, first["where"] + ": " + first["what"])
            self.assertIn(name, against.stdout)

    def test_machine_type(self):
        self.refused(("10.0", with_args(machine="pc-q35-10.0")), ("7.2", with_args(machine="pc-q35-7.2")),
                     ["pc-q35-10.0", "pc-q35-7.2"])

    def test_ram_size(self):
        self.refused(("7.2", with_args(memory=16)), ("10.0", with_args(memory=32)), ["pc.ram", "0x1000000", "0x2000000"])

    def test_missing_device(self):
        self.refused(("10.0", with_args("-device", "e1000,romfile=")), ("7.2", with_args()), ["0000:00:02.0/e1000"])

    def test_other_slot(self):
        self.refused(("7.2", with_args("-device", "rtl8139,romfile=")),
                     ("10.0", with_args("-device", "rtl8139,romfile=,addr=5")), ["0000:00:02.0/rtl8139"])

    def test_missing_block(self):
        self.refused(("7.2", with_args("-device", "VGA,romfile=")), ("10.0", with_args()), ["0000:00:02.0/vga.vram"])

    def test_other_device_of_the_same_name(self):
        self.refused(("7.2", with_args("-device", "qemu-xhci")), ("10.0", with_args("-device", "nec-usb-xhci")),
                     ["0000:00:02.0/xhci"])

    def test_other_number_of_queues(self):
        self.refused(("10.0", with_args("-device", "virtio-scsi-pci,num_queues=4")),
                     ("7.2", with_args("-device", "virtio-scsi-pci,num_queues=2")), ["0000:00:02.0/virtio-scsi"])

    def test_what_loads(self):
        same = with_args("-device", "e1000,romfile=", "-smp", "2", machine="pc-i440fx-5.2")
        for source, destination in (("7.2", "10.0"), ("10.0", "7.2"), ("5.2", "11.1"), ("11.1", "5.2")):
            path = self.stream(source, same)
            doc = self.explain(path, self.stream(destination, same))
            self.assertEqual([r for r in doc["found"] if r["weight"] != "note"], [])
            self.assertIsNone(self.loads(destination, same, path))


class Verdicts(Case):
    """Each verdict is what the QEMU then does, or says that it is not known, for a reason that is expected. The whole
    matrix is tests/soak/test_explain.py."""

    def setUp(self):
        super().setUp()
        self.matrix = Matrix(self)

    def decided(self, did, machine, source, into, other=None, ways=("stream", "both", "dump")):
        """What QEMU did, and that it is known in these ways."""
        self.matrix.found.clear()
        self.assertEqual(self.matrix.pair(machine, source, into, other)[0], did)
        for way in ways:
            self.assertIn((did, did), self.matrix.found[way], way)

    def test_a_disk_that_firmware_read(self):
        """What of the keyboard is written then depends on the moment; 5.2 may not know it."""
        for name in ("ide", "ahci", "usb"):
            booted = CASES[name].booted()
            self.decided("loads", booted, "5.2", "11.1")
            self.decided("loads", booted, "10.0", "7.2", ways=("both", "dump"))
        self.matrix.pair(CASES["ide"].booted(), "7.2", "5.2")

    def test_many_cards(self):
        for source, into in (("11.1", "7.2"), ("7.2", "10.0")):
            self.decided("loads", CASES["net"].booted(), source, into)

    def test_a_version_too_new(self):
        self.decided("refused", CASES["pci"], "11.1", "10.0", ways=("stream", "both"))

    def test_types_without_versions(self):
        self.decided("refused", NONE, "10.0", "7.2")
        self.decided("loads", NONE, "7.2", "10.0")
        self.matrix.pair(CASES["microvm"].booted(), "11.1", "10.0")

    def test_features_that_the_guest_uses(self):
        """They are not in the stream of a destination that has not run."""
        booted = CASES["virtio-blk"].booted()
        did, verdicts = self.matrix.pair(booted, "10.0", "11.1")
        self.assertEqual((did, verdicts), ("loads", {"stream": "unknown", "both": "unknown", "dump": "loads"}))

    def test_other_options(self):
        """What of a PCI device its options decide. A stream of the destination shows it, and no dump does."""
        for ours, theirs, did, verdict in (("pcie-root-port,x-width=1", "pcie-root-port,x-width=32", "refused", "refused"),
                                           ("pcie-root-port,slot=1", "pcie-root-port,slot=2", "refused", "refused"),
                                           ("e1000e,romfile=,subsys=1", "e1000e,romfile=", "refused", "unknown")):
            path = self.matrix.streams.of("10.0", Machine(ours, Q35, "-device", ours))
            into = Machine(theirs, Q35, "-device", theirs)
            said = self.matrix.streams.loads("10.0", into, path)
            self.assertEqual(("loads" if said is None else "refused", explain(path, self.matrix.streams.of("10.0", into))[0]),
                             (did, verdict), ours)

    def test_dumps(self):
        """Those of all versions are read, each agrees with itself; a file that ends too early is an error that says so."""
        def schema(*args):
            return subprocess.run([built("cli/godwit"), "schema", *args], capture_output=True, text=True,
                                  timeout=DEADLINE_S * SLOW)
        for version in VERSIONS:
            dump = self.matrix.streams.dump(version, NONE)
            imported = schema("import", dump)
            self.assertEqual(imported.returncode, 0, imported.stderr)
            with open(dump) as f:
                types = set(json.load(f)) - {"vmschkmachine"}
            self.assertEqual({d["name"] for d in json.loads(imported.stdout)["devices"]}, types)
            own = schema("check", dump, write_file(self.path("imported"), imported.stdout.encode()))
            # 11.1 has two subsections of this name, of which a reader finds the first.
            odd = [line for line in own.stdout.splitlines()[:-1] if "sd-card/ext_csd_modes-state" not in line]
            self.assertEqual((own.returncode, odd), (3 if version == "11.1" else 0, []))
        cut = write_file(self.path("cut"), read_file(dump)[:-2])
        for args in (("import", cut), ("check", cut, dump), ("explain", "--dump", cut, self.matrix.streams.of("10.0", NONE))):
            p = schema(*args)
            self.assertEqual((p.returncode, p.stdout), (1, ""), args)
            self.assertIn("not JSON at byte", p.stderr)

    def test_a_smaller_screen(self):
        self.decided("refused", CASES["vga"], "7.2", "10.0",
                     Machine("vga", PC, *CASES["vga"].args, "-global", "VGA.vgamem_mb=8"), ways=("stream", "both"))


if __name__ == "__main__":
    unittest.main()
