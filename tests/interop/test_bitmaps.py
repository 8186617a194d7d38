# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""Dirty bitmaps between godwit and QEMUs of all versions, both ways: names, granularity, flags, and every bit."""
import hashlib
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, pattern, with_faults, write_file  # noqa: E402
from versions import VERSIONS, ack_properties, profile  # noqa: E402

SIZE = 4 << 20
RAM = pattern(SIZE, seed=9)
DISK = 40 << 20  # more than a chunk of bits at 512 bytes; and an odd one:
ODD = (8 << 20) + 512 * 3
WRITES = {"n0": [(0, 512), (1 << 20, 70000), (DISK - 512, 512), (5 << 20, 9 << 20)], "d1": [(4096 * 7, 4096), (ODD - 512, 512)]}
# disk, name, granularity, enabled, persistent. Persistent ones need a format that can store them.
BITMAPS = [("n0", "fine", 512, True), ("n0", "coarse", 65536, True), ("n0", "off", 4096, False), ("d1", "odd", 4096, True),
           ("n0", "clean", 1 << 21, True)]
LENGTH = {"n0": DISK, "d1": ODD}


def sha256(ranges, granularity, length):
    """As QEMU has it: of the bits as words of 64."""
    bits = -(-length // granularity)
    data = bytearray(max(-(-bits // 64), 1) * 8)
    for at, n in ranges:
        for bit in range(at // granularity, -(-(at + n) // granularity)):
            data[bit // 8] |= 1 << bit % 8
    return hashlib.sha256(data).hexdigest()


class Bitmaps(Case):
    def disks(self, image="null-co"):
        """n0 by its node name, d1 by the name of its backend."""
        d1 = "if=none,id=d1,format=raw,file.driver=null-co,file.size=%d" % ODD
        return ["-blockdev", "driver=null-co,node-name=n0,size=%d" % DISK, "-drive", d1]

    def qemu_bitmaps(self, qemu):
        """{(disk, name): (granularity, recording, persistent, sha256)}"""
        found = {}
        nodes = [(n["node-name"], n["node-name"], n) for n in qemu.qmp.command("query-named-block-nodes")
                 if not n["node-name"].startswith("#")]
        nodes += [(b["device"], b["device"], b["inserted"]) for b in qemu.qmp.command("query-block") if b["device"]]
        for label, name, node in nodes:
            for b in node.get("dirty-bitmaps", []):
                digest = qemu.qmp.command("x-debug-block-dirty-bitmap-sha256", node=name, name=b["name"])["sha256"]
                found[label, b["name"]] = (b["granularity"], b["recording"], b["persistent"], digest)
        return found

    def our_bitmaps(self, vm):
        return {(b["disk"], b["name"]): (b["granularity"], b["recording"], b["persistent"],
                                         sha256(b["ranges"], b["granularity"], LENGTH[b["disk"]]))
                for b in vm.ask("bitmaps", "bitmaps")["bitmaps"]}

    def expected(self, extra=()):
        writes = {d: WRITES[d] + [(at, n) for disk, at, n in extra if disk == d] for d in WRITES}
        return {(d, name): (g, on, False, sha256(writes[d] if on else [], g, LENGTH[d])) for d, name, g, on in BITMAPS}

    def our_disks(self, with_bitmaps):
        words = [("disk", ":n0:%d" % DISK), ("disk", "d1:node1:%d" % ODD)]
        for d, name, g, on in BITMAPS if with_bitmaps else ():
            words.append(("bitmap", "%s:%s:%d%s" % (d, name, g, "" if on else ":disabled")))
        for d in WRITES if with_bitmaps else ():
            words += [("wrote", "%s:%d:%d" % (d, at, n)) for at, n in WRITES[d]]
        return words

    def make_bitmaps(self, qemu):
        for d, name, g, on in BITMAPS:
            qemu.qmp.command("block-dirty-bitmap-add", node=d, name=name, granularity=g, disabled=not on)
        for d in WRITES:
            for at, n in WRITES[d]:
                self.write(qemu, d, at, n)

    def write(self, qemu, disk, at, n):
        said = qemu.qmp.command("human-monitor-command", command_line='qemu-io %s "write -z %d %d"' % (disk, at, n))
        self.assertNotIn("rror", said)

    def source(self, version, capabilities=(), **options):
        vm = dict(ram=RAM, memory=SIZE, peer=profile(version), stay=True, disks=self.our_disks(True))
        return self.none_vm("source", "send", "unix:" + self.path("m"), capabilities=["dirty-bitmaps", *capabilities],
                            **dict(vm, **options))

    def target(self, version, **options):
        options = dict({"capabilities": ["dirty-bitmaps"], "memory": SIZE, "args": self.disks()}, **options)
        if "postcopy-ram" in options["capabilities"]:
            memory = ["-object", "memory-backend-memfd,id=r,size=%d" % SIZE]
            options.update(machine="none,memory-backend=r", block=None, args=options["args"] + memory)
        return self.qemu(version, "target", incoming="unix:" + self.path("m"), properties=ack_properties(version), **options)


def each_version(test):
    def run(self):
        for version in VERSIONS:
            with self.subTest(version), self.failing_as(version):
                test(self, version)
            self.close_all()
            self.processes.clear()
    return run


class Send(Bitmaps):
    @each_version
    def test_precopy(self, version):
        """What is written in the middle of the migration arrives as well."""
        target = self.target(version)
        source = self.source(version, ["pause-before-switchover"])
        source.wait_event("status", status="pre-switchover")
        busy = source.ask("bitmaps", "bitmaps")["bitmaps"]
        self.assertTrue(all(b["busy"] for b in busy))
        source.tell("remove n0:fine")
        self.assertIn("a migration uses it", source.wait_event("refused")["text"])
        source.tell("wrote n0:%d:%d" % (30 << 20, 1 << 20))
        source.tell("continue")
        self.assert_ok(source.end())
        target.wait()
        self.assertEqual(self.qemu_bitmaps(target), self.expected([("n0", 30 << 20, 1 << 20)]))
        after = source.ask("bitmaps", "bitmaps")["bitmaps"]
        self.assertFalse(any(b["busy"] for b in after))

    @each_version
    def test_no_bitmaps(self, version):
        target = self.target(version, args=())
        self.assert_ok(self.source(version, disks=()).end())
        target.wait()

    @each_version
    def test_postcopy(self, version):
        """The bits of one disk follow the machine."""
        words = [w for w in self.our_disks(True) if w[0] == "disk" or w[1].startswith("n0")]
        self.postcopy(version, {k: v for k, v in self.expected().items() if k[0] == "n0"}, disks=words)

    @each_version
    def test_postcopy_of_two_disks(self, version):
        """Those of several go before it: most versions would abort."""
        self.postcopy(version, self.expected())

    def postcopy(self, version, want, **options):
        target = self.target(version, capabilities=["dirty-bitmaps", "postcopy-ram"])
        source = self.source(version, ["postcopy-ram"], parameters={"max-bandwidth": 1 << 20}, **options)
        source.wait_event("status", status="active")
        source.tell("postcopy")
        source.tell("max-bandwidth=%d" % (1 << 40))
        self.assert_ok(source.end())
        target.wait()
        self.assertTrue(target.qmp.seen("MIGRATION", status="postcopy-active"))
        self.assertEqual(self.qemu_bitmaps(target), want)

    def test_mapped(self):
        for version in ("7.2", "10.0"):  # the parameter came with 5.2, and its transform with 6.0
            with self.failing_as(version):
                target = self.qemu(version, "target", memory=SIZE, incoming="", capabilities=["dirty-bitmaps"], args=self.disks())
                target.qmp.command("migrate-set-parameters", block_bitmap_mapping=[
                    {"node-name": "n0", "alias": "X", "bitmaps": [{"name": "there", "alias": "b"}]}])
                target.qmp.command("migrate-incoming", uri="unix:" + self.path("m"))
                self.assert_ok(self.source(version, disks=self.our_disks(True) + [("map", "n0:X:coarse:b")]).end())
                target.wait()
                want = self.expected()["n0", "coarse"]
                self.assertEqual(self.qemu_bitmaps(target), {("n0", "there"): want})
                self.close_all()
                self.processes.clear()


class Receive(Bitmaps):
    def go(self, version, source_capabilities=(), target_capabilities=(), after=lambda source: None, slow=False):
        target = self.none_vm("target", "recv", "unix:" + self.path("m"), memory=SIZE, stay=True,
                              capabilities=target_capabilities, disks=self.our_disks(False))
        target.address()
        source = self.qemu(version, "source", memory=SIZE, capabilities=["dirty-bitmaps", *source_capabilities],
                           args=self.disks(), ram=write_file(self.path("ram"), RAM),
                           parameters={"max-bandwidth": 1 << 20, "downtime-limit": 1} if slow else {})
        self.make_bitmaps(source)
        self.assertEqual(self.qemu_bitmaps(source), self.expected())
        source.migrate("unix:" + self.path("m"))
        after(source)
        self.assert_ok(target.end())
        return source, target

    @each_version
    def test_precopy(self, version):
        _, target = self.go(version)
        self.assertEqual(self.our_bitmaps(target), self.expected())
        target.tell("wrote n0:%d:%d" % (33 << 20, 4096))  # they record
        self.assertEqual(self.our_bitmaps(target), self.expected([("n0", 33 << 20, 4096)]))

    @each_version
    def test_no_bitmaps(self, version):
        target = self.none_vm("target", "recv", "unix:" + self.path("m"), memory=SIZE)
        target.address()
        source = self.qemu(version, "source", memory=SIZE, capabilities=["dirty-bitmaps"])
        source.migrate("unix:" + self.path("m"))
        self.assert_ok(target.end())

    @each_version
    def test_postcopy(self, version):
        with_faults()

        def switch(source):  # some memory first: a 5.2 that switches at once may go round and round without sending anything
            source.wait_sent()
            source.qmp.command("migrate-start-postcopy")
        _, target = self.go(version, ["postcopy-ram"], ["postcopy-ram"], switch, slow=True)
        self.assertEqual(self.our_bitmaps(target), self.expected())

    @each_version
    def test_only_bitmaps_follow(self, version):
        """Postcopy without postcopy-ram: all pages come before the machine runs."""
        def switch(source):
            source.qmp.command("migrate-start-postcopy")
        source, target = self.go(version, after=switch, slow=True)
        self.assertTrue(source.qmp.seen("MIGRATION", status="postcopy-active"))
        self.assertEqual(self.our_bitmaps(target), self.expected())
        self.assert_same_ram(target.ram(), source.ram())

    def test_unknown_disk(self):
        """It is named, and the source runs on with its bitmaps."""
        target = self.none_vm("target", "recv", "unix:" + self.path("m"), memory=SIZE, stay=True,
                              disks=[("disk", ":other:4096")])
        target.address()
        source = self.qemu("10.0", "source", memory=SIZE, capabilities=["dirty-bitmaps", "return-path"], args=self.disks())
        self.make_bitmaps(source)
        source.migrate("unix:" + self.path("m"))
        source.wait("failed")
        source.wait_state("running")
        refused = target.wait_event("log")["text"]
        self.assertIn("there is no disk", refused)
        self.assertEqual(self.qemu_bitmaps(source), self.expected())


if __name__ == "__main__":
    unittest.main()
