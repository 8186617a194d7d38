# SPDX-License-Identifier: MIT
"""What `godwit vm` does with its command line: it is read to the letter, and told to whatever the machine goes through."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, wait_until  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, Program, Qmp, QmpError, with_machine  # noqa: E402
from test_ctl_watch import Terminal  # noqa: E402

SMALL = ["--memory", "32M", "--accel", "unicorn"]


def godwit(*argv):
    return subprocess.run([with_machine(), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S * SLOW)


class Words(Case):
    def refused(self, *argv):
        """One line on standard error, and 2."""
        r = godwit(*argv)
        self.assertEqual((r.returncode, r.stdout), (2, ""), "%s: %s%s" % (argv, r.stdout, r.stderr))
        self.assertRegex(r.stderr, r"\Agodwit %s: [^\n]*\n\Z" % argv[0])
        return r.stderr

    def test_to_the_letter(self):
        for option, value in (("--cpus", "2x"), ("--cpus", "0"), ("--cpus", "33"), ("--cpus", ""), ("--cpus", " 2"),
                              ("--uuid", "0e9bd4a1-1111-4222-8333-abcdef0123456"), ("--uuid", "0e9bd4a1"),
                              ("--capability", "events=maybe"), ("--capability", "events="), ("--parameter", "max-bandwidth"),
                              ("--timeout", "soon"), ("--timeout", "0"), ("--log", "loud"), ("--accel", "none")):
            with self.subTest(option + " " + value):
                text = self.refused("vm", option, value, *SMALL)
                self.assertIn(option, text)
                self.assertIn(value, text)
        self.assertIn("--cpus 2x", self.refused("schema", "dump", "--cpus", "2x"))

    def test_what_getopt_says(self):
        for argv in (["vm", "--nonsense"], ["vm", "--memory"], ["vm", "--quiet=1"], ["vm", "-x"], ["ctl", "--nonsense"],
                     ["schema", "dump", "--nonsense"], ["demo", "--nonsense", "x"], ["demo", "--memory"]):
            with self.subTest(argv):
                self.refused(*argv)

    def test_parts_that_are_not_there(self):
        for argv, part in ((["vm", "--tls-creds", "/x"], "TLS"), (["ctl", "--tls-creds", "/x", "y", "status"], "TLS"),
                           (["send", "--tls-creds", "/x", "a", "b"], "TLS"), (["receive", "--tls-creds", "/x", "a"], "TLS")):
            with self.subTest(argv):
                text = self.refused(*argv)
                self.assertIn(part, text)
                self.assertIn("not in this build", text)

    def test_what_does_not_go_together(self):
        self.assertIn("--incoming", self.refused("vm", "--incoming", "tcp:127.0.0.1:0", "--loadvm", "yesterday"))
        self.assertIn("--qmp", self.refused("vm", "--incoming", "defer"))
        self.assertIn("--json", self.refused("vm", "--json", "--serial", "stdio"))

    def test_a_control_socket_for_everybody(self):
        for host in "0.0.0.0", "", "[::]", "10.1.2.3", "host.example", "128.0.0.1", "127.1", "[::ffff:10.0.0.1]", "[::2]":
            with self.subTest(host):
                text = self.refused("vm", "--qmp", "tcp:%s:0" % host, *SMALL)
                self.assertIn("--insecure", text)
                self.assertIn("tcp:127.0.0.1:PORT", text)
        for uri in (["tcp:127.0.0.1:0"], ["tcp:localhost:0"], ["tcp:127.5.6.7:0"], ["tcp:0.0.0.0:0", "--insecure"]):
            with self.subTest(uri):
                vm = Program(self, "vm", [with_machine(), "vm", "--json", "--qmp", *uri, *SMALL])
                at = vm.wait_event("control")["uri"]
                r = godwit("ctl", "tcp:127.0.0.1:" + at.rpartition(":")[2] if "0.0.0.0" in at else at, "status")
                self.assertEqual(r.returncode, 0, r.stderr)

    def test_help(self):
        for command in "vm", "ctl", "demo", "schema", "receive", "send":
            r = godwit(command, "--help")
            self.assertEqual((r.returncode, r.stderr), (0, ""), command)
            self.assertTrue(r.stdout.startswith("usage: godwit " + command), r.stdout)

    def test_json(self):
        vm = Program(self, "vm", [with_machine(), "vm", "--json", "--incoming", "unix:" + self.path("m"), *SMALL])
        self.assertEqual(vm.wait_event("listening")["uri"], "unix:" + self.path("m"))
        r = godwit("ctl", self.path("nobody"), "status")
        self.assertEqual(r.returncode, 1)
        source = Box(self, "source", ["--workload", "idle", *SMALL])
        source.qmp.command("migrate", uri="unix:" + self.path("m"))
        vm.wait_event("status", status="completed")
        self.assertIsNone(vm.seen("noise"), vm.text())

    def test_units(self):
        box = Box(self, "vm", ["--workload", "idle", "--parameter", "downtime-limit=1.5s", "--parameter", "max-bandwidth=3MiB/s", *SMALL])
        now = box.qmp.command("query-migrate-parameters")
        self.assertEqual((now["downtime-limit"], now["max-bandwidth"]), (1500, 3 << 20))
        r = godwit("ctl", box.qmp_path, "param", "downtime-limit", "max-bandwidth")
        self.assertEqual(sorted(" ".join(line.split()) for line in r.stdout.splitlines()), ["downtime-limit 1500 ms", "max-bandwidth 3 MiB/s"])
        self.assertIn("a time such as", self.refused("vm", "--parameter", "downtime-limit=1.5x", *SMALL))

    def test_ctl_tells_events(self):
        box = Box(self, "vm", ["--workload", "idle", *SMALL])
        r = godwit("ctl", "--log", "info", box.qmp_path, "stop")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", "godwit ctl: event STOP\n"))
        r = godwit("ctl", "--log", "warning", box.qmp_path, "cont")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))


class Arrivals(Case):
    def source(self, *options, workload="idle"):
        box = Box(self, "source", [*SMALL, "--workload", workload, *options])
        box.qmp.command("migrate-set-parameters", max_bandwidth=0)
        return box

    def move(self, source, to, address=None):
        source.qmp.command("migrate", uri=address or to.address())
        info = wait_until("an end", source.ended)
        self.assertEqual(info["status"], "completed", info)
        wait_until("its arrival", lambda: to.migration()["status"] == "completed")

    def check_paused(self, to):
        wait_until("paused", lambda: to.status() == "paused")
        time.sleep(0.2)
        self.assertEqual((to.status(), to.beats()), ("paused", []))
        to.qmp.command("cont")
        self.assertEqual(to.status(), "running")
        wait_until("a heartbeat", to.beats)

    def test_paused_with_a_control_socket(self):
        to = Box(self, "to", [*SMALL, "--paused"], incoming=True)
        self.move(self.source(), to)
        self.check_paused(to)

    def test_paused_and_deferred(self):
        to = Box(self, "to", [*SMALL, "--paused", "--incoming", "defer"])
        self.assertEqual(to.status(), "inmigrate")
        with self.assertRaisesRegex(QmpError, "has not arrived here yet"):
            to.qmp.command("cont")
        to.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        self.move(self.source(), to)
        self.check_paused(to)

    def test_a_stopped_guest_arrives_stopped(self):
        source, to = self.source(), Box(self, "to", SMALL, incoming=True)
        wait_until("a heartbeat", source.beats)
        source.qmp.command("stop")
        self.move(source, to)
        self.check_paused(to)

    def test_a_machine_that_went_on_is_not_sent_again(self):
        a, b, c = self.source(), Box(self, "b", SMALL, incoming=True), Box(self, "c", SMALL, incoming=True)
        self.move(a, b)
        # So that the destination says that it has it.
        b.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "return-path", "state": True}])
        self.move(b, c)
        for box in a, b:
            self.assertEqual(box.status(), "postmigrate")
            with self.assertRaisesRegex(QmpError, "gone to the other side.*cont"):
                box.qmp.command("migrate", uri="exec:cat >/dev/null")
        with self.assertRaisesRegex(QmpError, "said that it has this machine.*x-godwit-force"):
            b.qmp.command("cont")
        self.assertEqual(b.status(), "postmigrate")
        b.qmp.command("cont", **{"x-godwit-force": True})
        self.assertEqual(b.status(), "running")
        b.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "return-path", "state": False}])
        b.qmp.command("migrate", uri="exec:cat >/dev/null")
        self.assertEqual(wait_until("an end", b.ended)["status"], "completed")

    def test_a_guest_is_not_overwritten(self):
        a = self.source()
        for verb in "stop", "query-status":
            a.qmp.command(verb)
            with self.assertRaisesRegex(QmpError, "this machine was not started to wait for a migration"):
                a.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        a.qmp.command("cont")
        self.assertEqual(a.status(), "running")

    def test_an_attempt_that_changed_nothing_can_be_repeated(self):
        to = Box(self, "to", [*SMALL, "--incoming", "defer"])
        to.qmp.command("migrate-incoming", uri="exec:true")
        wait_until("a failure", lambda: to.migration()["status"] == "failed")
        to.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        self.move(self.source(), to)
        self.assertEqual(to.status(), "running")

    def stalled(self, to, address):
        """A source that sent some of its memory and then stands still."""
        source = self.source(workload="uniform,set=24M,fill=on")
        source.qmp.command("migrate-set-parameters", max_bandwidth=1 << 20)
        source.qmp.command("migrate", uri=address)
        # On a busy machine it may have stood still for too long already, and that has been noticed.
        wait_until("some memory", lambda: source.ended() or source.migration().get("ram", {}).get("transferred", 0) > 1 << 19)
        os.kill(source.proc.pid, signal.SIGSTOP)
        self.addCleanup(os.kill, source.proc.pid, signal.SIGCONT)

    def test_a_destination_has_patience(self):
        path = "unix:" + self.path("m")
        p = Program(self, "to", [with_machine(), "vm", *SMALL, "--serial", "null", "--timeout", "1", "--incoming", path])
        wait_until("it listens", lambda: os.path.exists(self.path("m")))
        self.stalled(p, path)
        self.assertEqual(p.wait_exit(), 1)
        self.assertIn("incoming migration", p.text())

    def test_and_with_a_control_socket(self):
        to = Box(self, "to", [*SMALL, "--timeout", "1"], incoming=True)
        self.stalled(to, to.address())
        wait_until("its end", lambda: to.migration()["status"] == "failed")

    def test_a_source_has_patience(self):
        # More than fits into the pipe: what has all of the stream may run the guest, whatever it does not say.
        box = self.source("--timeout", "1", workload="uniform,set=24M,fill=on")
        box.qmp.command("migrate", uri="exec:sleep 10000")
        info = wait_until("an end", box.ended)
        self.assertEqual(info["status"], "failed")
        self.assertIn("nothing moved for 1 s", info["error-desc"])
        self.assertEqual(box.status(), "running")

    def test_patience_told_by_ctl(self):
        box = self.source()
        r = godwit("ctl", box.qmp_path, "migrate", "--timeout", "1", "--json", "exec:sleep 10000")
        self.assertEqual(r.returncode, 1, r.stderr)
        doc = json.loads(r.stdout)
        self.assertEqual(doc["status"], "failed")
        self.assertRegex(doc["error-desc"], r"\b1 s\b")  # of waiting, and not that the command ended by itself


class Progress(Case):
    """The line of a migration, on the terminal of whoever runs the machine."""

    def test_line(self):
        terminal = Terminal(self, 120)
        process = subprocess.Popen([with_machine(), "vm", "--qmp", "unix:" + self.path("qmp"), "--serial", "null", "--workload", "zero",
                                    *SMALL], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal.slave)
        os.close(terminal.slave)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        terminal.wait(rb"control socket at")
        qmp = Qmp(lambda: process.poll() is None, self.path("qmp"))
        self.addCleanup(qmp.sock.close)
        qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 16})
        qmp.command("migrate", uri="exec:cat > /dev/null")
        terminal.wait(rb"\ractive  \d+%  .* of 3\d\.\d MiB  .*ETA ")
        qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        wait_until("it has gone", lambda: qmp.command("query-migrate")["status"] == "completed")
        qmp.command("quit")
        terminal.wait(rb"ETA [^\r]*\r\x1b\[K\Z")


if __name__ == "__main__":
    unittest.main()
