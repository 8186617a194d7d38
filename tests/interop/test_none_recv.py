# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""Machine `none`: a real QEMU sends, godwit receives. Each test runs with QEMU 7.2 and 10.0, and in
test_none_versions.py, which has no sanitizers, with the others. And godwit sends to godwit."""
import os
import signal
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, UUID, Case, pattern, read_file, wait_until, write_file  # noqa: E402
from places import file_uri, wait_file  # noqa: E402
from versions import ack_properties  # noqa: E402

SIZE = 16 << 20
RAM = pattern(SIZE, seed=6)
SLOW_LINK = {"max-bandwidth": 1 << 17}  # two minutes, of which the tests need a few seconds


class Receive:
    """QEMU -> godwit."""

    def source(self, **options):
        ram = options.pop("contents", RAM)
        options.setdefault("memory", len(ram))
        return self.qemu(self.VERSION, "source", ram=write_file(self.path("source.ram"), ram), **options)

    def unix(self):
        return "unix:" + self.path("m")

    def start(self, uri=None, source_options=None, **options):
        """(source, target): the source was told to migrate."""
        target = self.none_vm("target", "recv", uri or self.unix(), **options)
        source = self.source(**(source_options or {}))
        source.migrate(target.address())
        return source, target

    def arrives(self, uri=None, source_options=None, **options):
        source, target = self.start(uri, source_options, **options)
        end = target.end()
        self.assert_ok(end)
        source.wait()
        self.assertEqual(end["owner"], "destination")
        self.assert_same_ram(target.ram(), RAM)
        return source, target

    def test_unix(self):
        source, target = self.arrives()
        self.assertTrue(target.end()["running"])
        self.assertEqual(target.statuses()[-1], "completed")
        source.wait_state("postmigrate")

    def test_return_path(self):
        self.arrives(source_options={"capabilities": ["return-path"]})

    def test_tcp(self):
        self.arrives("tcp:127.0.0.1:0", source_options={"capabilities": ["return-path"]})

    def test_exec(self):
        path = self.path("out")
        source = self.source()
        source.migrate_to(path)
        target = self.none_vm("target", "recv", "exec:cat " + path)
        self.assert_ok(target.end())
        self.assert_same_ram(target.ram(), RAM)

    def test_file(self):
        path = self.path("out")
        source = self.source()
        source.migrate(file_uri(self.VERSION, path, False))
        source.wait()
        wait_file(path)
        target = self.none_vm("target", "recv", "file:" + path)
        self.assert_ok(target.end())
        self.assert_same_ram(target.ram(), RAM)

    def test_timer_section_is_loaded(self):
        """The clock of a machine that ran has moved on from the start values."""
        _, target = self.arrives()
        self.assertGreater(target.end()["clock"], 0)

    def test_paused_source(self):
        _, target = self.arrives(source_options={"paused": True})
        self.assertFalse(target.end()["running"])

    def test_target_memory_is_not_fresh(self):
        source, target = self.start(ram=b"\x5a" * SIZE)
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(target.ram(), RAM)

    def test_pause_before_switchover(self):
        source, target = self.start(source_options={"capabilities": ["pause-before-switchover", "return-path"]})
        source.wait("pre-switchover")
        self.assertIsNone(target.seen("end"))
        source.qmp.command("migrate-continue", state="pre-switchover")
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(target.ram(), RAM)

    def test_uuid_is_checked(self):
        self.arrives(source_options={"capabilities": ["validate-uuid"], "uuid": UUID}, uuid=UUID)

    def test_wrong_uuid_is_refused(self):
        other = UUID.replace("0e9b", "1e9b")
        source, target = self.start(source_options={"capabilities": ["validate-uuid", "return-path"], "uuid": UUID},
                                    uuid=other)
        self.refused(source, target, UUID, other)

    def test_ignore_shared(self):
        shared = write_file(self.path("shared"), RAM)
        target = self.none_vm("target", "recv", self.unix(), file=shared, capabilities=["x-ignore-shared"])
        source = self.qemu(self.VERSION, "source", ram=shared, capabilities=["x-ignore-shared"])
        source.migrate(target.address())
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(read_file(shared), RAM)

    def test_ignore_shared_of_others(self):
        """A block whose contents come may lie elsewhere; one that stays may not."""
        for block, behind in ("ram", 1 << 30), ("r", 1 << 30):
            options = {"file": write_file(self.path("shared"), RAM)} if block == "r" else {}
            target = self.none_vm("target-" + block, "recv", self.unix() + block, block=block, behind=behind,
                                  capabilities=["x-ignore-shared"], **options)
            source = self.qemu(self.VERSION, "source-" + block, block=block if options else None,
                               ram=self.path("shared") if options else None,
                               capabilities=["x-ignore-shared", "return-path"])
            source.migrate(target.address())
            if options:
                self.refused(source, target, "RAM block r is at guest address 0x0 on the source and 0x40000000")
            else:
                self.assert_ok(target.end())
                source.wait()

    def test_without(self):
        """Parts that old machine types leave out: one that leaves them out takes it, one that does not says which."""
        bare = {"machine": "none,suppress-vmdesc=on",
                "properties": [("send-configuration", "off"), ("send-section-footer", "off")]}
        self.arrives(source_options=bare, without=7)
        source, target = self.start(uri=self.unix() + "2", source_options=dict(bare, capabilities=["return-path"]))
        self.refused(source, target, "no configuration section")

    def test_ignore_shared_on_one_side_only_is_refused(self):
        source, target = self.start(source_options={"capabilities": ["x-ignore-shared", "return-path"]})
        self.refused(source, target, "x-ignore-shared")

    # -- faults: a connection that is not from a fit source is dropped with a log line, or ends the session; in
    #    either case the machine does not run here, the source goes on, and the words name both values.

    def refused(self, source, target, *words):
        source.wait("failed")
        source.wait_state("running")
        said = ""

        def text():
            nonlocal said
            target.seen("")
            said = " ".join(e.get("text", e.get("error", "")) for e in target.events)
            return all(w in said for w in words)
        try:
            wait_until("the reason", text)
        except AssertionError:
            self.fail("%s not named in: %s" % (list(words), said))
        end = target.seen("end")
        self.assertFalse(end and (end["ok"] or end["running"]), end)

    def test_wrong_machine_name(self):
        source, target = self.start(machine="other", source_options={"capabilities": ["return-path"]})
        self.refused(source, target, "other", "none")

    def test_wrong_ram_size(self):
        source, target = self.start(memory=8 << 20, source_options={"capabilities": ["return-path"]})
        self.refused(source, target, "block r", "0x1000000", "0x800000")

    def test_unknown_block(self):
        source, target = self.start(block="elsewhere", source_options={"capabilities": ["return-path"]})
        self.refused(source, target, "block r")

    def test_block_that_does_not_come(self):
        """A block of ours that the source does not have would keep its old contents: refused, with its name."""
        source, target = self.start(blocks=[("second", 1 << 20)], source_options={"capabilities": ["return-path"]})
        self.refused(source, target, "second")

    def test_source_cancels(self):
        source, target = self.start(source_options={"parameters": SLOW_LINK})
        source.wait_sent()  # before that it would go back to listening
        source.qmp.command("migrate_cancel")
        source.wait("cancelled")
        source.wait_state("running")
        end = target.end()
        self.assertEqual((end["ok"], end["running"]), (False, False))

    def test_source_killed(self):
        source, target = self.start(source_options={"parameters": SLOW_LINK})
        source.wait_sent()
        source.process.kill()
        end = target.end()
        self.assertEqual((end["ok"], end["running"], end["blame"]), (False, False, "channel"))

    def test_source_stopped(self):
        for timeout_ms in (2000, 10000, 60000):  # a machine that is too slow for a time-out gets a longer one
            source, target = self.start(source_options={"parameters": SLOW_LINK}, timeout_ms=timeout_ms)
            source.wait_sent(unless=target.ended)
            early = target.ended()
            source.process.send_signal(signal.SIGSTOP)
            end = target.end()
            self.assertEqual((end["ok"], end["running"]), (False, False))
            if not early:
                return
            source.process.kill()
        self.fail("no time-out was long enough")

    def test_target_cancels(self):
        source, target = self.start(source_options={"parameters": SLOW_LINK, "capabilities": ["return-path"]})
        target.wait_event("status", status="active")
        target.tell("cancel")
        end = target.end()
        self.assertEqual((end["ok"], end["running"]), (False, False))
        source.wait("failed")
        source.wait_state("running")

    def test_strangers_first(self):
        """A client that is not a source is dropped, and the real source still gets in."""
        target = self.none_vm("target", "recv", "tcp:127.0.0.1:0")
        port = int(target.address().rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port)).close()
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            s.settimeout(DEADLINE_S * SLOW)
            self.assertEqual(s.recv(100), b"")
        silent = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(silent.close)
        source = self.source()
        source.migrate(target.address())
        self.assert_ok(target.end())
        source.wait()
        self.assert_same_ram(target.ram(), RAM)
        self.assertGreaterEqual(len([e for e in target.events if e.get("event") == "log"]), 2)


class ReceiveFrom72(Receive, Case):
    VERSION = "7.2"


class ReceiveNew(Receive):
    """What the old ones do not have."""

    def test_switchover_ack(self):
        self.arrives(source_options={"capabilities": ["return-path", "switchover-ack"],
                                     "properties": ack_properties(self.VERSION)},
                     capabilities=["return-path", "switchover-ack"])

    def test_file_with_offset(self):
        path = self.path("out")
        source = self.source()
        source.migrate("file:%s,offset=0x3000" % path)
        source.wait()
        target = self.none_vm("target", "recv", "file:%s,offset=12K" % path)
        self.assert_ok(target.end())
        self.assert_same_ram(target.ram(), RAM)

    def test_without_switchover_start(self):
        self.arrives(source_options={"properties": [("send-switchover-start", "off")]})


class ReceiveFrom100(ReceiveNew, Case):
    VERSION = "10.0"


class GodwitToGodwit(Case):
    def pair(self, uri, capabilities=(), **options):
        target = self.none_vm("target", "recv", uri, capabilities=capabilities)
        source = self.none_vm("source", "send", target.address(), ram=RAM, capabilities=capabilities, **options)
        self.assert_ok(source.end())
        end = target.end()
        self.assert_ok(end)
        self.assertTrue(end["running"])
        self.assertEqual((end["ticks"], end["clock"]), (0x1122334455, 0x66778899))
        self.assertEqual(source.end()["owner"], end["owner"])
        self.assert_same_ram(target.ram(), source.ram())

    def test_unix(self):
        self.pair("unix:" + self.path("m"))

    def test_tcp_with_return_path(self):
        self.pair("tcp:127.0.0.1:0", ["return-path"])

    def test_while_memory_is_written(self):
        self.pair("unix:" + self.path("m"), ["return-path"], rate=40000)

    def test_every_profile(self):
        for peer in ("7.2", "9.0", "10.0", "godwit"):
            with self.subTest(peer):
                self.pair("unix:" + self.path("m" + peer), ["return-path"], rate=10000, peer=peer)


if __name__ == "__main__":
    unittest.main()
