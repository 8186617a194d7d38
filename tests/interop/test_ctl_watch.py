# SPDX-License-Identifier: MIT
# builds: plain asan
"""`godwit ctl` together with other clients: migrations that another client began, monitors that another client
occupies, messages of monitors."""
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, Case, built, pattern, wait_until, write_file  # noqa: E402

SIZE = 16 << 20
NOWHERE = "exec:cat > /dev/null"
GREETING = b'"QMP"'


class Terminal:
    """A terminal of some width, as standard error of a program."""

    def __init__(self, case, columns):
        self.master, self.slave = pty.openpty()
        case.addCleanup(os.close, self.master)
        self.resize(columns)
        self.seen = b""

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def read(self):
        """The new output; b"" if the other end is closed."""
        try:
            more = os.read(self.master, 4096)
        except OSError:
            more = b""
        self.seen += more
        return more

    def wait(self, expression):
        """The line that is like this."""
        end = time.monotonic() + DEADLINE_S * SLOW
        while not re.search(expression, self.seen):
            if not self.read() or time.monotonic() > end:
                raise AssertionError("%r did not come: %r" % (expression, self.seen[-500:]))
        return re.search(expression, self.seen).group()

    def lines(self):
        """What was drawn, without the control characters."""
        return [line.decode() for line in re.split(rb"\x1b\[K|\r|\n", self.seen) if line]


class Beside:
    """The tests of all kinds of machines. They have machine(), a running one with memory that takes long to send, as an object
    with .qmp, .status() and .migration(), and the path of a monitor for ctl."""

    def ctl(self, *args, status=0):
        p = subprocess.run([built("cli/godwit"), "ctl", *args], capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        if status is not None:
            self.assertEqual(p.returncode, status, "%s\n%s\n%s" % (args, p.stdout, p.stderr))
        return p

    def ctl_json(self, *args):
        return json.loads(self.ctl(*args, "--json").stdout)

    def ctl_within(self, *args, status):
        """With a --timeout that a busy machine may take for a greeting, too: then with a longer one."""
        for timeout in "0.3", "3", "30", "300":
            p = self.ctl(*args, "--timeout", timeout, status=None)
            if not re.search("no greeting|no answer", p.stderr):
                break
        self.assertEqual(p.returncode, status, p.stdout + p.stderr)
        return p

    def start(self, *args, terminal=None, env=None):
        """One that goes on. A shell's background job would ignore SIGINT."""
        p = subprocess.Popen([built("cli/godwit"), "ctl", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=terminal.slave if terminal else subprocess.PIPE, env=dict(os.environ, **(env or {})),
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(p.stdout.close)
        if terminal:
            os.close(terminal.slave)
        else:
            self.addCleanup(p.stderr.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p

    def end(self, p, status):
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, status, "%s\n%s" % (out, err))
        return out.decode(), (err or b"").decode()

    def begin(self):
        """A machine whose migration, which another client began, takes minutes; and its second monitor."""
        vm, path = self.machine()
        vm.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 17})
        vm.qmp.command("migrate", uri=NOWHERE)
        wait_until("it sends", lambda: vm.migration().get("ram", {}).get("transferred"))
        return vm, path

    def hurry(self, vm):
        vm.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 40})

    # ---- watch, wait, status

    def test_watch(self):
        vm, path = self.begin()
        terminal = Terminal(self, 20)
        p = self.start(path, "watch", terminal=terminal)
        terminal.wait(rb"\r\d+%(  ETA [^\x1b]+)?\x1b")
        terminal.resize(200)
        terminal.wait(rb"\ractive  \d+%  \S+ .iB of \S+ MiB  \S+ .?i?B/s  ETA .*  round \d")
        self.hurry(vm)
        out, _ = self.end(p, 0)
        self.assertRegex(out, r"migration +completed")
        while terminal.read():
            pass
        self.assertTrue(terminal.seen.endswith(b"\r\x1b[K"), terminal.seen[-100:])
        # It has ended: that is told at once.
        self.assertRegex(self.ctl(path, "watch").stdout, r"migration +completed")
        self.assertEqual(self.ctl_json(path, "wait")["status"], "completed")

    def test_columns(self):
        vm, path = self.begin()
        terminal = Terminal(self, 100)
        p = self.start(path, "watch", terminal=terminal, env={"COLUMNS": "40"})
        terminal.wait(rb"\ractive  \d+%[^\x1b]*\x1b")
        p.send_signal(signal.SIGINT)
        self.end(p, 1)
        terminal.wait(rb"no longer waiting")
        self.assertLessEqual(max(len(line) for line in terminal.lines() if line.startswith("active")), 39)
        self.assertEqual(vm.migration()["status"], "active")  # it was somebody else's

    def test_wait(self):
        vm, path = self.machine()
        self.assertIn("has had no migration", self.ctl(path, "wait", status=1).stderr)
        vm.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 17})
        vm.qmp.command("migrate", uri=NOWHERE)
        self.assertRegex(self.ctl_within(path, "wait", status=1).stderr, r"still (setup|active) after \d.* m?s, and continues")
        p = self.start(path, "wait")
        vm.qmp.command("migrate_cancel")
        self.assertRegex(self.end(p, 1)[1], r"\Agodwit ctl: wait: cancelled; the machine here is running\n\Z")
        wait_until("it has ended", lambda: vm.migration()["status"] == "cancelled")
        vm.qmp.command("migrate", uri=NOWHERE)
        p = self.start(path, "wait", "--json")
        self.hurry(vm)
        self.assertEqual(json.loads(self.end(p, 0)[0])["status"], "completed")

    def test_status(self):
        vm, path = self.begin()
        doc = self.ctl_json(path, "status")
        self.assertIn(doc["progress"]["percent"], range(101))
        self.assertIn("eta-ms", doc["progress"])
        self.assertRegex(self.ctl(path, "status").stdout, r"(?m)^progress    \d+ %, ETA (-|never|\d.*|< 1 s)$")
        vm.qmp.command("migrate_cancel")
        wait_until("it has ended", lambda: vm.migration()["status"] == "cancelled")
        self.assertNotIn("progress", self.ctl_json(path, "status"))

    # ---- what a monitor has besides

    def test_events(self):
        vm, path = self.machine()
        p = self.start(path, "events", "--count", "2", "STOP", "RESUME", "--json")
        terse = self.start(self.other(path), "events", "RESUME") if self.other(path) else None
        while p.poll() is None:
            vm.qmp.command("stop")
            vm.qmp.command("cont")
        seen = [json.loads(line)["event"] for line in self.end(p, 0)[0].splitlines()]
        self.assertIn(seen, (["STOP", "RESUME"], ["RESUME", "STOP"]))
        if terse:
            self.assertRegex(terse.stdout.readline().decode(), r"\A\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} RESUME\n\Z")
            terse.send_signal(signal.SIGINT)
            self.end(terse, 0)
        self.assertIn("only 0 of 1 came", self.ctl_within(path, "events", "--count", "1", "NEVER", status=1).stderr)
        self.assertEqual(self.ctl_within(path, "events", "NEVER", status=0).stdout, "")
        self.ctl(path, "events", "--count", "0", status=2)

    def test_qmp_words(self):
        vm, path = self.machine()
        self.ctl(path, "qmp", "migrate-set-parameters", "max-bandwidth=12345678", "downtime-limit:=321")
        now = self.ctl_json(path, "qmp", "query-migrate-parameters")
        self.assertEqual((now["max-bandwidth"], now["downtime-limit"]), (12345678, 321))
        self.ctl(path, "qmp", "migrate-set-capabilities", 'capabilities:=[{"capability":"events","state":true}]')
        self.ctl(path, "qmp", "migrate-set-capabilities", '{"capabilities": [{"capability": "events", "state": false}]}')
        err = self.ctl(path, "qmp", "migrate-set-parameters", "max-bandwidth=much", status=1).stderr
        self.assertRegex(err, r"\Agodwit ctl: migrate-set-parameters: GenericError: .*max-bandwidth")
        self.assertRegex(self.ctl(path, "qmp", "nonsense", status=1).stderr, r"\Agodwit ctl: nonsense: CommandNotFound: .")
        self.assertIn("is not KEY=VALUE", self.ctl(path, "qmp", "stop", "now", status=2).stderr)


class OfQemu(Beside):
    def machine(self):
        path = self.path("m.ctl")
        self.second = self.path("n.ctl")
        args = [a for p in (path, self.second) for a in ("-qmp", "unix:%s,server=on,wait=off" % p)]
        return self.qemu(self.version, "vm", memory=SIZE, args=args, ram=write_file(self.path("ram"), pattern(SIZE))), path

    def other(self, path):
        return self.second

    def hold(self, path):
        """A client that gets the greeting."""
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.connect(path)
        seen = b""
        while GREETING not in seen:
            seen += s.recv(4096)
        return s

    def test_held(self):
        """The wait is reported once, and the client is served when the other one leaves; also clients that do not fit
        the socket's backlog."""
        vm, path = self.machine()
        holder = self.hold(path)
        waiting = [self.start(path, "status", "--json") for _ in range(5)]
        for p in waiting:
            self.assertRegex(p.stderr.readline().decode(), r"\Agodwit ctl: .*m\.ctl: no greeting: the monitor is in use by another client; waiting")
        self.assertRegex(self.ctl(path, "stop", "--timeout", "0.3", "--quiet", status=1).stderr,
                         r"\Agodwit ctl: monitor: .*m\.ctl: no greeting for 0\.3 s: the monitor is in use by another client")
        p = waiting.pop()
        p.send_signal(signal.SIGINT)
        self.assertIn("interrupted", self.end(p, 1)[1])
        self.assertEqual([p.poll() for p in waiting], [None] * 4)
        holder.close()
        for p in waiting:
            out, err = self.end(p, 0)
            self.assertEqual((json.loads(out)["status"]["status"], err), ("running", ""))

    def test_held_destination(self):
        """The monitor of the other side, that `plan` asks."""
        vm, path = self.machine()
        holder = self.hold(self.second)
        p = self.start(path, "plan", "tcp:127.0.0.1:1", "--bandwidth", "119M", "--destination", self.second, "--json")
        self.assertIn("n.ctl: no greeting", p.stderr.readline().decode())
        holder.close()
        self.end(p, 0)

    def test_hmp(self):
        vm, path = self.machine()
        self.assertIn("running", self.ctl(path, "hmp", "info status").stdout)
        self.assertEqual(self.ctl(path, "hmp", "info", "status").stdout, self.ctl(path, "hmp", "info status").stdout)
        self.assertIn("running", json.loads(self.ctl(path, "hmp", "info status", "--json").stdout))
        text = self.ctl(path, "hmp", "info migrate_parameters").stdout
        self.assertIn("max-bandwidth", text)
        self.assertNotIn("\r", text)
        self.assertGreater(text.count("\n"), 5)
        self.ctl(path, "hmp", status=2)

    def test_postcopy(self):
        """Watched while its pages follow; paused, it is told on either side as what it is there; gone on, waited for to its end."""
        there = self.path("there.ctl")
        target = self.qemu(self.version, "target", memory=SIZE, machine="none,memory-backend=r", block=None, incoming="unix:" + self.path("in"),
                           capabilities=["postcopy-ram"],
                           args=["-object", "memory-backend-ram,id=r,size=%d" % SIZE, "-qmp", "unix:%s,server=on,wait=off" % there])
        vm, path = self.machine()
        vm.set_capabilities("postcopy-ram")
        vm.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 17, "max-postcopy-bandwidth": 1 << 17})
        vm.qmp.command("migrate", uri="unix:" + self.path("in"))
        wait_until("it sends", lambda: vm.migration().get("ram", {}).get("transferred"))
        vm.qmp.command("migrate-start-postcopy")
        wait_until("it runs there", lambda: vm.migration()["status"] == "postcopy-active")
        terminal = Terminal(self, 80)
        p = self.start(path, "watch", terminal=terminal)
        terminal.wait(rb"\rpostcopy-active  \d+%[^\x1b]*  ETA [^\x1b]*\x1b")
        vm.qmp.command("migrate-pause")
        self.end(p, 6)
        terminal.wait(rb"watch: postcopy-paused.*the guest is at the destination")
        wait_until("paused there, too", lambda: target.migration()["status"] == "postcopy-paused")
        self.assertRegex(self.ctl(there, "wait", status=6).stderr, "wait: postcopy-paused.*the guest is here")
        waiting = self.start(path, "wait", "--wait-recovery", "--json")
        self.ctl(there, "recover", "unix:" + self.path("again"))
        vm.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 1 << 40})
        vm.qmp.command("migrate", uri="unix:" + self.path("again"), resume=True)
        self.assertEqual(json.loads(self.end(waiting, 0)[0])["status"], "completed")

    def test_nested_words(self):
        vm, path = self.machine()
        write_file(self.path("disk"), bytes(1 << 20))
        self.ctl(path, "qmp", "blockdev-add", "driver=raw", "node-name=d", "read-only=true", "file.driver=file",
                 "file.filename=" + self.path("disk"))
        node = [n for n in vm.qmp.command("query-named-block-nodes") if n["node-name"] == "d"][0]
        self.assertEqual((node["ro"], node["image"]["virtual-size"]), (True, 1 << 20))


class Watch52(OfQemu, Case):
    version = "5.2"


class Watch111(OfQemu, Case):
    version = "11.1"


class WatchOurs(Beside, Case):
    """The machine in the box."""

    def box(self, role, *more):
        sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
        from box import Box
        return Box(self, role, ["--memory", "64M", "--accel", "unicorn", "--workload", "idle,set=16M,fill=on", *more])

    def machine(self):
        vm = self.box("vm")
        wait_until("the first heartbeat", vm.beats)
        return vm, vm.qmp_path

    def other(self, path):
        return path

    def test_hmp(self):
        vm, path = self.machine()
        self.assertIn("has no human monitor; use `status`", self.ctl(path, "hmp", "info", "status", status=1).stderr)


if __name__ == "__main__":
    unittest.main()
