# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""Machine `none`: godwit sends, a real QEMU receives. Each test runs against QEMU 7.2 and 10.0, and in
test_none_versions.py, which has no sanitizers, against the others."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from harness import PAGE, UUID, Case, pattern, read_file, wait_until, write_file  # noqa: E402
from places import file_uri, has_ipv6  # noqa: E402
from versions import ack_properties, at_least, profile  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=5)
SLOW_LINK = {"max-bandwidth": 1 << 20}  # so that there is time to do something in the middle


class Send:
    """godwit -> QEMU. VERSION of the peer comes from the classes below."""

    def send(self, uri, target_options=None, ram=RAM, **options):
        """Starts both; (source, target) once the source runs."""
        options = dict({"peer": profile(self.VERSION), "ram": ram}, **options)
        target = self.qemu(self.VERSION, "target", incoming=uri, **(target_options or {}))
        return self.none_vm("source", "send", target.address() if uri.startswith("tcp:") else uri, **options), target

    def arrives(self, uri, **options):
        source, target = self.send(uri, **options)
        self.assert_ok(source.end())
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())
        return source, target

    def unix(self):
        return "unix:" + self.path("m")

    def test_unix(self):
        source, target = self.arrives(self.unix())
        end = source.end()
        self.assertEqual((end["owner"], end["running"]), ("destination", False))
        self.assertEqual(end["status"], "completed")
        self.assertEqual(target.status(), "running")
        self.assert_same_ram(target.saved_ram(), RAM, "as the machine sees it")

    def test_return_path(self):
        source, _ = self.arrives(self.unix(), capabilities=["return-path"])
        self.assertEqual(source.end()["owner"], "destination")

    def test_tcp(self):
        self.arrives("tcp:127.0.0.1:0", capabilities=["return-path"])

    def test_tcp_v6(self):
        if not has_ipv6():
            self.skipTest("no IPv6 on this machine's loopback")
        self.arrives("tcp:[::1]:0")

    def test_exec(self):
        path = self.path("out")
        source = self.none_vm("source", "send", "exec:cat > " + path, peer=profile(self.VERSION), ram=RAM)
        self.assert_ok(source.end())
        target = self.qemu(self.VERSION, "target", incoming="exec:cat " + path)
        target.wait()
        self.assert_same_ram(target.ram(), RAM)

    def test_file(self):
        path = self.path("out")
        source = self.none_vm("source", "send", "file:" + path, peer=profile(self.VERSION), ram=RAM)
        self.assert_ok(source.end())
        target = self.qemu(self.VERSION, "target", incoming=file_uri(self.VERSION, path, True))
        target.wait()
        self.assert_same_ram(target.ram(), RAM)
        self.check_stream(read_file(path))

    def test_without(self):
        """A target of an old machine type expects none of these parts."""
        self.arrives(self.unix(), without=7, target_options={
            "machine": "none,suppress-vmdesc=on",
            "properties": [("send-configuration", "off"), ("send-section-footer", "off")]})

    def check_stream(self, data):
        """The second opinion: what we wrote, read by the other decoder."""
        s = stream.decode(data)
        self.assertEqual(s.machine, "none")
        self.assert_same_ram(s.ram(), RAM, "second decoder")
        zero = sum(not any(RAM[o:o + PAGE]) for o in range(0, SIZE, PAGE))
        self.assertEqual((s.kinds["zero"], s.kinds["page"]), (zero, SIZE // PAGE - zero))
        self.assertIsNotNone(s.vmdesc)
        self.assertEqual([name for name, _ in s.devices], ["timer", "globalstate"])
        self.assertEqual(s.devices["timer", 0], {"cpu_ticks_offset": 0x1122334455, "unused": bytes(8),
                                                 "cpu_clock_offset": 0x66778899})
        runstate = s.devices["globalstate", 0]["runstate"]
        self.assertEqual(runstate.split(b"\0")[0], b"running")
        want = ["switchover-start"] if at_least(self.VERSION, "10.0") else []
        self.assertEqual([name for _, name, _ in s.commands], want)

    def test_while_memory_is_written(self):
        source, target = self.send(self.unix(), capabilities=["return-path"], rate=40000, working_set="8M")
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assertGreater(end["written"], 0)
        self.assert_same_ram(target.ram(), source.ram())

    def test_memory_written_without_end_then_bandwidth_limit_lifted_by_downtime(self):
        # 2000 pages/s over a link of 64 MiB/s: more rounds than one, but it converges.
        source, target = self.send(self.unix(), rate=2000, parameters={"max-bandwidth": 64 << 20, "downtime-limit": 100})
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assertGreaterEqual(end["stats"]["dirty-sync-count"], 2)
        self.assert_same_ram(target.ram(), source.ram())

    def test_xbzrle(self):
        """Pages that were sent before are found in the cache. It may not end before some were."""
        source, target = self.send(self.unix(), capabilities=["return-path", "xbzrle", "pause-before-switchover"], rate=40000,
                                   working_set="2M", parameters={"max-bandwidth": 16 << 20, "downtime-limit": 1})
        wait_until("pages in the cache", lambda: source.ask("state", "state")["xbzrle"] or
                   source.seen("status", status="pre-switchover"))
        source.tell("downtime-limit=10000")
        source.wait_event("status", status="pre-switchover")
        source.tell("continue")
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assertGreater(end["stats"]["xbzrle"], 0)
        self.assert_same_ram(target.ram(), source.ram())

    def test_pagemap_tracker(self):
        source, target = self.send(self.unix(), rate=40000, tracker="pagemap")
        try:
            self.assert_ok(source.end())
        except AssertionError:
            refused = source.seen("refused")
            if refused and ("PAGEMAP_SCAN" in refused["text"] or "userfaultfd" in refused["text"]):
                self.skipTest("no pagemap tracker on this kernel: " + refused["text"])
            raise
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())

    def test_accounting(self):
        source, _ = self.arrives(self.unix())
        st = source.end()["stats"]
        self.assertEqual(st["transferred"], sum(st["bytes-by"]))
        self.assertEqual(st["normal"] + st["duplicate"], SIZE // PAGE)
        self.assertEqual(st["total"], SIZE)
        self.assertEqual(st["remaining"], 0)

    def test_paused_source_stays_paused(self):
        _, target = self.arrives(self.unix(), paused=True)
        self.assertNotEqual(target.status(), "running")

    def test_empty_and_full_memory(self):
        for name, ram in (("zeros", bytes(SIZE)), ("ones", b"\xff" * SIZE)):
            with self.subTest(name):
                uri = "unix:" + self.path(name)
                source, target = self.send(uri, ram=ram, target_options={"ram": self.path(name + ".ram")})
                self.assert_ok(source.end())
                target.wait()
                self.assert_same_ram(target.ram(), ram)
                target.close()

    def test_target_memory_is_not_fresh(self):
        """Zero pages must overwrite what was there."""
        old = write_file(self.path("old.ram"), b"\x5a" * SIZE)
        self.arrives(self.unix(), target_options={"ram": old})

    # -- settings

    def test_pause_before_switchover(self):
        source, target = self.send(self.unix(), capabilities=["pause-before-switchover", "return-path"], rate=20000)
        source.wait_event("status", status="pre-switchover")
        self.assertFalse(source.ask("state", "state")["running"])
        self.assertIsNone(target.qmp.seen("MIGRATION", status="completed"))
        source.tell("continue")
        self.assert_ok(source.end())
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())

    def test_uuid_is_checked(self):
        options = {"capabilities": ["validate-uuid"], "uuid": UUID}
        self.arrives(self.unix(), target_options={"capabilities": ["validate-uuid"], "uuid": UUID}, **options)

    def test_wrong_uuid_is_refused(self):
        other = UUID.replace("0e9b", "1e9b")
        source, target = self.send(self.unix(), capabilities=["validate-uuid", "return-path"], uuid=UUID,
                                   target_options={"capabilities": ["validate-uuid"], "uuid": other})
        self.refused(source, target)

    def test_ignore_shared(self):
        shared = write_file(self.path("shared"), RAM)
        source, target = self.send(self.unix(), ram=None, file=shared, capabilities=["x-ignore-shared"],
                                   target_options={"ram": shared, "capabilities": ["x-ignore-shared"]})
        end = source.end()
        self.assert_ok(end)
        target.wait()
        self.assertEqual(end["stats"]["normal"] + end["stats"]["duplicate"], 0)
        self.assert_same_ram(target.ram(), RAM)

    def test_switchover_ack(self):
        if not at_least(self.VERSION, "8.1"):
            return self.never_acknowledged()
        source, target = self.send(self.unix(), capabilities=["return-path", "switchover-ack"], rate=5000,
                                   target_options={"capabilities": ["return-path", "switchover-ack"],
                                                   "properties": ack_properties(self.VERSION)})
        self.assert_ok(source.end())
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())

    def never_acknowledged(self):
        """An old peer does not know the capability: the source must go on iterating, and a cancel must end it."""
        source, target = self.send(self.unix(), capabilities=["return-path", "switchover-ack"], stay=True)
        source.wait_event("pass", **{"pass": "1"})
        self.assertTrue(source.ask("state", "state")["running"])
        source.tell("cancel")
        self.goes_on(source)

    # -- what goes wrong

    def goes_on(self, source, blame=None):
        """The session failed or was cancelled, and the source owns and runs its machine."""
        end = source.end()
        self.assertFalse(end["ok"])
        self.assertEqual((end["owner"], end["running"]), ("source", True), end)
        if blame:
            self.assertEqual(end["blame"], blame, end)
        return end

    def refused(self, source, target, *words):
        end = self.goes_on(source)
        self.assertIn(end["status"], ("failed",))
        if not at_least(self.VERSION, "10.0"):
            target.wait_exit()
        target.wait_text(*(word for word in words if word not in end["error"]))
        return end

    def test_cancel(self):
        source, target = self.send(self.unix(), rate=5000, parameters=SLOW_LINK, capabilities=["return-path"], stay=True)
        source.wait_event("status", status="active")
        source.tell("cancel")
        end = source.end()
        self.assertEqual((end["ok"], end["status"], end["owner"], end["running"]), (False, "cancelled", "source", True))
        before = source.ask("state", "state")["written"]
        wait_until("the writer goes on", lambda: source.ask("state", "state")["written"] > before)
        self.assertIsNone(target.qmp.seen("MIGRATION", status="completed"))

    def test_cancel_in_pre_switchover(self):
        source, _ = self.send(self.unix(), capabilities=["pause-before-switchover"], rate=1000, stay=True)
        source.wait_event("status", status="pre-switchover")
        source.tell("cancel")
        end = source.end()
        self.assertEqual((end["status"], end["owner"], end["running"]), ("cancelled", "source", True))

    def test_yank(self):
        source, _ = self.send(self.unix(), rate=1000, parameters=SLOW_LINK, stay=True)
        source.wait_event("status", status="active")
        source.tell("yank")
        end = source.end()
        self.assertEqual((end["ok"], end["owner"], end["running"]), (False, "source", True))

    def test_target_killed(self):
        source, target = self.send(self.unix(), rate=1000, parameters=SLOW_LINK, capabilities=["return-path"], stay=True)
        source.wait_event("status", status="active")
        target.process.kill()
        self.goes_on(source, "channel")

    def test_target_stopped(self):
        """A peer that hangs is noticed by the progress timeout."""
        source, target = self.send(self.unix(), capabilities=["return-path"], parameters=SLOW_LINK, timeout_ms=4000,
                                   rate=1000, stay=True)
        source.wait_event("status", status="active")
        target.process.send_signal(19)
        self.goes_on(source, "channel")

    def test_nobody_listens(self):
        source = self.none_vm("source", "send", "unix:" + self.path("nobody"), stay=True, ram=RAM)
        end = self.goes_on(source, "channel")
        self.assertIn("nobody", end["error"])

    def test_wrong_machine_name(self):
        source, target = self.send(self.unix(), machine="other", capabilities=["return-path"], stay=True)
        self.refused(source, target, "other", "none")

    def test_wrong_ram_size(self):
        source, target = self.send(self.unix(), memory=8 << 20, ram=RAM[:8 << 20], capabilities=["return-path"], stay=True)
        self.refused(source, target, "r", "0x1000000", "0x800000")

    def test_unknown_block(self):
        source, target = self.send(self.unix(), block="elsewhere", capabilities=["return-path"], stay=True)
        self.refused(source, target, "elsewhere")


class SendTo72(Send, Case):
    VERSION = "7.2"


class SendNew(Send):
    """What the old ones do not have."""

    def test_as_if_to_an_old_peer(self):
        """A profile older than the peer is understood by it."""
        source, target = self.send(self.unix(), peer="7.2", capabilities=["return-path"], rate=5000)
        self.assert_ok(source.end())
        target.wait()
        self.assert_same_ram(target.ram(), source.ram())

    def test_file_with_offset(self):
        path = write_file(self.path("out"), b"head" * 1024)
        source = self.none_vm("source", "send", "file:%s,offset=4096" % path, peer=profile(self.VERSION), ram=RAM)
        self.assert_ok(source.end())
        self.assertEqual(read_file(path)[:4096], b"head" * 1024)
        target = self.qemu(self.VERSION, "target", incoming="file:%s,offset=4096" % path)
        target.wait()
        self.assert_same_ram(target.ram(), RAM)


class SendTo100(SendNew, Case):
    VERSION = "10.0"


if __name__ == "__main__":
    unittest.main()
