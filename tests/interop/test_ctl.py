# SPDX-License-Identifier: MIT
"""`godwit ctl` drives real QEMUs. Tests without a QEMU: test_ctl_monitors.py."""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import stream  # noqa: E402
from ctl_case import CtlCase  # noqa: E402
from harness import DEADLINE_S, SLOW, Program, Qtest, pattern, peer, wait_until, with_machine, write_file  # noqa: E402
from places import exec_uri, wait_file, wait_listening  # noqa: E402
from versions import at_least  # noqa: E402

SIZE = 16 << 20
SLOW_LINK = {"max-bandwidth": 1 << 17}  # a minute at least, so that there is time to do something in the middle


class Ctl(CtlCase):
    version = "7.2"

    def vm(self, role="vm", ram=None, size=SIZE, **options):
        """A QEMU with a second monitor, since each serves one client. Returns it and where the second is."""
        path = self.path(role + ".ctl")
        args = list(options.pop("args", ())) + ["-qmp", "unix:%s,server=on,wait=off" % path]
        if ram is not None:
            options["ram"] = write_file(self.path(role + ".ram"), ram)
        return self.qemu(self.version, role, memory=size, args=args, **options), path

    # ---- asking and setting

    def test_dirty_rate(self):
        vm, path = self.vm()
        self.assertRegex(self.ctl(path, "dirty-rate").stdout, r"\Adirty rate +0 MiB/s \(page-sampling, over .*s\)\n\Z")
        if not at_least(self.version, "6.2"):
            return
        doc = self.ctl_json(path, "dirty-rate", "time=1", "samples=128")
        self.assertEqual((doc["status"], doc["dirty-rate"], doc["sample-pages"]), ("measured", 0, 128))
        self.assertIn("out of range", self.ctl(path, "dirty-rate", "samples=127", status=1).stderr)
        self.assertIn("out of range", self.ctl(path, "dirty-rate", "time=61", status=1).stderr)
        if at_least(self.version, "8.2"):
            self.assertEqual(self.ctl_json(path, "dirty-rate", "time=0.1")["calc-time-unit"], "millisecond")
            self.assertEqual(self.ctl_json(path, "dirty-rate", "mode=dirty-bitmap")["mode"], "dirty-bitmap")
        for wrong in "time=soon", "mode=best", "samples=x", "nonsense":
            self.assertIn(wrong, self.ctl(path, "dirty-rate", wrong, status=2).stderr)

    def test_plan(self):
        """Unknown properties of a QEMU are reported. An idle one converges; no connection is made."""
        if not at_least(self.version, "6.2"):
            return
        vm, path = self.vm()
        doc = self.ctl_json(path, "plan", "tcp:127.0.0.1:1", "--bandwidth", "119M")
        self.assertEqual(doc["forecast"]["converges"], "yes")
        self.assertGreaterEqual(len(doc["measured"]["dirty"]), 3)
        self.assertGreater(len({p["ms"] for p in doc["measured"]["dirty"]}), 1)
        self.assertEqual(doc["measured"]["ram-bytes"], SIZE)
        self.assertIn("the share of zero pages", doc["unknown"])
        names = [c["name"] for c in doc["choices"]]
        self.assertEqual("compress" in names, not at_least(self.version, "9.1"))
        self.assertNotIn("dirty-limit", names)
        text = self.ctl(path, "plan", "tcp:127.0.0.1:1").stdout
        self.assertIn("the throughput of the link: max-bandwidth is assumed", re.sub(r"\s+", " ", text))
        self.assertRegex(text, r"(?m)^writes  +.*calc-dirty-rate")
        self.assertEqual(vm.qmp.command("query-migrate"), {})

    def test_plan_beside(self):
        if not at_least(self.version, "6.2"):
            return
        vm, path = self.vm(ram=pattern(SIZE))
        doc = self.ctl_json(path, "migrate", "--plan", exec_uri(self.path("out"), False))
        self.assertTrue(doc["x-godwit-forecast"]["happened"]["converged"])
        self.assertEqual(doc["x-godwit-forecast"]["happened"]["bytes"], doc["ram"]["transferred"])

    def test_status(self):
        vm, path = self.vm()
        text = self.ctl(path, "status").stdout
        self.assertIn("QEMU " + self.version, text)
        self.assertIn("running", text)
        self.ctl(path, "stop")
        self.assertEqual(vm.status(), "paused")
        doc = self.ctl_json("unix:" + path, "status")
        self.assertEqual(doc["status"]["status"], "paused")
        self.assertEqual(doc["migration"], {})
        self.ctl("--json", path, "cont")
        self.assertEqual(vm.status(), "running")

    def test_capabilities(self):
        vm, path = self.vm()
        before = self.ctl_json(path, "caps")
        self.assertFalse(before["xbzrle"])
        self.assertEqual(self.ctl(path, "caps", "xbzrle=on", "events=off", "return-path=on").stdout, "")
        after = self.ctl_json(path, "caps")
        self.assertEqual([n for n in after if after[n] != before[n]].sort(), ["xbzrle", "events", "return-path"].sort())
        self.assertRegex(self.ctl(path, "caps", "xbzrle").stdout, "^xbzrle +on\n$")
        needs = "postcopy-ram" if at_least(self.version, "7.1") else "Invalid parameter"
        self.assertIn(needs, self.ctl(path, "caps", "postcopy-preempt=on", status=1).stderr)
        self.assertIn("no capability", self.ctl(path, "caps", "nonsense", status=1).stderr)
        self.ctl(path, "caps", "xbzrle=maybe", status=2)
        self.ctl(path, "caps", "xbzrle=on", "events", status=2)

    def test_parameters(self):
        vm, path = self.vm()
        self.ctl(path, "param", "max-bandwidth=3M", "downtime-limit=250", "cpu-throttle-tailslow=on",
                 "multifd-compression=zlib", "tls-hostname=example.org")
        now = self.ctl_json(path, "param")
        self.assertEqual(now["max-bandwidth"], 3 << 20)
        self.assertEqual(now["downtime-limit"], 250)
        self.assertIs(now["cpu-throttle-tailslow"], True)
        self.assertEqual(now["multifd-compression"], "zlib")
        self.assertEqual(now["tls-hostname"], "example.org")
        self.assertRegex(self.ctl(path, "param", "downtime-limit").stdout, "^downtime-limit +250 ms\n$")
        self.assertRegex(self.ctl(path, "param", "max-bandwidth").stdout, "^max-bandwidth +3 MiB/s\n$")
        self.ctl(path, "param", "max-bandwidth=100MiB/s", "downtime-limit=0.3s", "xbzrle-cache-size=2M")
        now = self.ctl_json(path, "param")
        self.assertEqual([now[n] for n in ("max-bandwidth", "downtime-limit", "xbzrle-cache-size")], [100 << 20, 300, 2 << 20])
        shown = self.ctl(path, "param").stdout
        for line in "max-bandwidth +100 MiB/s", "downtime-limit +300 ms", "xbzrle-cache-size +2 MiB", "max-cpu-throttle +99 %":
            self.assertRegex(shown, "(?m)^%s$" % line)
        # What is beyond a signed integer arrives as it is.
        answer = self.ctl(path, "param", "max-bandwidth=18446744073709551615", status=None)
        if answer.returncode == 0:
            self.assertEqual(self.ctl_json(path, "param")["max-bandwidth"], (1 << 64) - 1)
            self.assertIn(" 18446744073709551615\n", self.ctl(path, "param", "max-bandwidth").stdout)
        else:
            self.assertRegex(answer.stderr, "range|expected: integer")  # 5.2 has a signed one
        self.assertIn("range", self.ctl(path, "param", "downtime-limit=3000000", status=1).stderr)
        self.assertIn("a time such as 300ms", self.ctl(path, "param", "downtime-limit=soon", status=2).stderr)
        self.assertIn("unexpected", self.ctl(path, "param", "nonsense=1", status=1).stderr)
        self.assertIn("no parameter", self.ctl(path, "param", "nonsense", status=1).stderr)
        self.assertIn("did you mean max-bandwidth?", self.ctl(path, "param", "max-bandwith", status=1).stderr)

    def test_any_command(self):
        vm, path = self.vm()
        version = self.ctl_json(path, "qmp", "query-version")["qemu"]
        self.assertEqual("%d.%d" % (version["major"], version["minor"]), self.version)
        self.ctl(path, "qmp", "migrate-set-parameters", '{"downtime-limit": 77}')
        self.assertEqual(json.loads(self.ctl(path, "qmp", "query-migrate-parameters").stdout)["downtime-limit"], 77)
        self.assertIn("has not been found", self.ctl(path, "qmp", "no-such", status=1).stderr)
        self.ctl(path, "qmp", "query-version", "[]", status=2)
        self.assertRegex(self.ctl(path, "pause", status=1).stderr, "no postcopy under way here|only supported during postcopy")
        self.assertRegex(self.ctl(path, "recover", "tcp:127.0.0.1:1", status=1).stderr, "no postcopy here that was paused|postcopy is paused")
        self.assertRegex(self.ctl(path, "continue", status=1).stderr, "no migration waits to be continued|goes on by itself|not in expected state")
        self.assertEqual(self.ctl(path, "cancel").stdout, "migration none, machine running\n")

    def test_what_is_no_monitor(self):
        vm, path = self.vm()
        holder = socket.socket(socket.AF_UNIX)
        self.addCleanup(holder.close)
        holder.connect(path)
        self.assertIn("the monitor is in use by another client", self.ctl(path, "status", "--timeout", "0.5", status=1).stderr)
        for i, (text, answer) in enumerate(((b"SSH-2.0\r\n", "not a QMP monitor"), (b'{"a": 1}\n', "not a QMP monitor"), (b"", "closed"))):
            server = socket.socket(socket.AF_UNIX)
            self.addCleanup(server.close)
            server.bind(self.path("server%d" % i))
            server.listen()

            def speak(server=server, text=text):
                c = server.accept()[0]
                c.sendall(text)
                c.close()
            threading.Thread(target=speak, daemon=True).start()
            self.assertIn(answer, self.ctl(server.getsockname(), "status", status=1).stderr)

    # ---- migrating

    def test_migrate_to_a_file(self):
        ram = pattern(SIZE)
        vm, path = self.vm(ram=ram)
        out = self.path("out")
        # QEMU has no such time-out.
        doc = self.ctl_json(path, "migrate", "--timeout", str(DEADLINE_S), exec_uri(out, False))
        self.assertEqual(doc["status"], "completed")
        self.assertEqual(doc["run-state"], "postmigrate")
        self.assertEqual(doc["ram"]["remaining"], 0)
        wait_file(out)
        with open(out, "rb") as f:
            s = stream.decode(f.read())
        self.assert_same_ram(s.ram(), ram)
        if at_least(self.version, "7.2"):  # a 5.2 writes its machine as often as it is told to
            self.assertRegex(self.ctl(path, "migrate", exec_uri(out, False), status=1).stderr,
                             "has gone to the other side|paused due to previous migration")

    def test_migrate_to_another(self):
        ram = pattern(SIZE)
        vm, path = self.vm(ram=ram)
        uri = "unix:" + self.path("m")
        target, target_path = self.vm("target", incoming=uri)
        text = self.ctl(path, "migrate", uri, "--capability", "return-path", "--capability", "xbzrle=off",
                        "--parameter", "downtime-limit=500").stdout
        self.assertIn("migration   completed", text)
        self.assertIn("postmigrate", text)
        self.assertRegex(text, r"downtime +\d")
        self.assertRegex(text, r"\npages +\d+ as they are, \d+ of zeros, \d+ rounds\n")
        self.assertEqual(vm.qmp.command("query-migrate-parameters")["downtime-limit"], 500)
        target.wait()
        self.assert_same_ram(target.saved_ram(), ram)
        self.assertIn("completed", self.ctl(target_path, "status").stdout)

    def test_what_became_of_pages(self):
        vm, path = self.vm(ram=pattern(SIZE))
        text = self.ctl(path, "migrate", "exec:cat > /dev/null", "--capability", "xbzrle").stdout
        self.assertRegex(text, r" of zeros, \d+ as differences, \d+ rounds\n")
        if not at_least(self.version, "9.1"):
            vm, path = self.vm("source with threads", ram=pattern(SIZE))
            text = self.ctl(path, "migrate", "exec:cat > /dev/null", "--capability", "compress").stdout
            self.assertRegex(text, r" of zeros, [1-9]\d* compressed, \d+ rounds\n")

    def test_detached(self):
        vm, path = self.vm(parameters=SLOW_LINK, ram=pattern(SIZE))
        self.assertEqual(self.ctl(path, "migrate", "--detach", "exec:cat > /dev/null").stdout, "")
        self.assertIn("in progress", self.ctl(path, "migrate", "exec:cat > /dev/null", status=1).stderr)
        self.assertEqual(self.ctl(path, "cancel").stdout, "migration cancelled, machine running\n")

    def test_failures(self):
        vm, path = self.vm()
        err = self.ctl(path, "migrate", "unix:" + self.path("nobody"), status=1).stderr
        self.assertRegex(err, "failed: .*nobody.*; the machine here is running")
        err = self.ctl(path, "migrate", "nonsense:1", status=1).stderr
        self.assertIn("migration protocol", err)
        err = self.ctl(path, "migrate", "exec:cat > /dev/null", "--capability", "nonsense", status=1).stderr
        self.assertIn("nonsense", err)
        err = self.ctl(path, "migrate", "exec:cat > /dev/null", "--peer", "10.0", status=1).stderr
        self.assertIn("x-godwit-peer", err)  # a QEMU has no such thing
        err = self.ctl(path, "migrate", "exec:cat > /dev/null", "--peer", "9.9", status=2).stderr
        self.assertIn("7.2, 8.1, 9.0, 10.0 or godwit", err)

    def slow(self):
        vm, path = self.vm(ram=pattern(SIZE), parameters=SLOW_LINK)
        return vm, path, ["migrate", "exec:cat > /dev/null"]

    def test_interrupt_cancels(self):
        for number in signal.SIGINT, signal.SIGTERM:
            with self.subTest(number):
                vm, path, command = self.slow()
                p, _ = self.start(path, *command)
                wait_until("active", lambda: vm.migration().get("status") == "active")
                p.send_signal(number)
                out, err = p.communicate(timeout=DEADLINE_S * SLOW)
                self.assertEqual(p.returncode, 1)
                self.assertEqual(out, b"")
                self.assertEqual(err.decode(), "godwit ctl: cancelling\n"
                                               "godwit ctl: migrate: cancelled; the machine here is running\n")
                self.assertEqual(vm.migration()["status"], "cancelled")
                vm.close()
                os.unlink(path)

    def test_interrupts_twice_leaves(self):
        vm, path, command = self.slow()
        p, _ = self.start(path, *command)
        wait_until("active", lambda: vm.migration().get("status") == "active")
        os.kill(vm.process.pid, signal.SIGSTOP)
        try:
            p.send_signal(signal.SIGINT)
            self.assertEqual(p.stderr.readline(), b"godwit ctl: cancelling\n")
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        finally:
            os.kill(vm.process.pid, signal.SIGCONT)
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"no longer waiting: the migration may still run", err)

    def test_monitor_lost(self):
        vm, path, command = self.slow()
        p, _ = self.start(path, *command)
        wait_until("active", lambda: vm.migration().get("status") == "active")
        vm.process.kill()
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 1)
        self.assertIn(b"how the migration ended is not known", err)

    def test_pre_switchover_is_told(self):
        vm, path, command = self.slow()
        p, _ = self.start(path, *command, "--capability", "pause-before-switchover", "--parameter", "max-bandwidth=1G")
        line = p.stderr.readline().decode()
        self.assertIn("pre-switchover: the machine is stopped until `continue` or `cancel`", line)
        vm.qmp.command("migrate-continue", state="pre-switchover")
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 0, err)
        self.assertIn(b"completed", out)

    def test_progress_on_a_terminal(self):
        vm, path, command = self.slow()
        p, terminal = self.start(path, *command, terminal=True)
        seen = b""
        end = time.monotonic() + DEADLINE_S * SLOW
        whole = re.compile(rb"active  \d+%  .* of 16.0 MiB  .*/s  ETA ")  # it may come in pieces
        while not whole.search(seen) and time.monotonic() < end:
            seen += os.read(terminal, 4096)
        self.assertRegex(seen, whole)
        vm.qmp.command("migrate-set-parameters", max_bandwidth=1 << 40)
        out, _ = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 0)
        self.assertNotIn(b"ETA", out)
        # The line is gone when all is over.
        while True:
            try:
                more = os.read(terminal, 4096)
            except OSError:  # EIO: the other end is closed
                break
            if not more:
                break
            seen += more
        self.assertTrue(seen.endswith(b"\r\x1b[K"), seen[-200:])

    def keep_busy(self, mib):
        """A ctl that migrates a guest which writes so much in each round, until it says something or ends. Returns the QEMU,
        the ctl and its first line."""
        vm, path = self.vm("vm%d" % mib, block=None, machine="q35", size=64 << 20, qtest=True, paused=True,
                           parameters={"max-bandwidth": 8 << 20, "downtime-limit": 1})
        test = Qtest(vm.qtest_path)
        self.addCleanup(test.close)
        p, _ = self.start(path, "migrate", "exec:cat > /dev/null")
        line, turn = [], 0
        reader = threading.Thread(target=lambda: line.append(p.stderr.readline().decode()))
        reader.start()
        while reader.is_alive():
            turn += 1
            test.command("memset 0x%x 0x%x 0x%x" % (16 << 20, mib << 20, turn % 255 + 1))
            time.sleep(0.01)
        reader.join()
        return vm, p, line[0]

    def test_no_end_is_told(self):
        """A guest that writes as fast as the link carries: reported once, with a remedy, and the remedy works."""
        for mib in (2, 8, 32):  # where this program is not let run for a round, longer rounds
            vm, p, line = self.keep_busy(mib)
            if line:
                break
            self.assertEqual(p.wait(DEADLINE_S * SLOW), 0)
        self.assertIn("does not converge", line)
        self.assertIn("the limit 1 ms", line)
        self.assertGreater(vm.migration()["ram"]["dirty-sync-count"], 5)
        vm.qmp.command("migrate-set-parameters", **{"downtime-limit": 60000})
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual((p.returncode, err), (0, b""), out)

    # ---- snapshots

    def test_snapshots(self):
        disk = self.path("disk")
        subprocess.run([peer(self.version) + "-tool", "qemu-img", "create", "-q", "-f", "qcow2", disk,
                        "64M"], check=True)
        blockdev = "driver=qcow2,node-name=d,file.driver=file,file.filename=" + disk
        vm, path = self.vm(args=["-blockdev", blockdev], ram=pattern(SIZE))
        if not at_least(self.version, "6.0"):
            self.assertIn("has not been found", self.ctl(path, "snapshot", "save", "one", "d", "d", status=1).stderr)
            return
        self.ctl(path, "snapshot", "save", "one", "d", "d")
        self.assertIn("already exists", self.ctl(path, "snapshot", "save", "one", "d", "d", status=1).stderr)
        self.ctl(path, "snapshot", "load", "one", "d", "d")
        self.ctl(path, "snapshot", "delete", "one", "d")
        self.assertIn("snapshot", self.ctl(path, "snapshot", "load", "one", "d", "d", status=1).stderr)
        self.assertEqual(vm.qmp.command("query-jobs"), [])


class Ctl52(Ctl):
    version = "5.2"


class Ctl100(Ctl):
    version = "10.0"


class Ctl111(Ctl):
    version = "11.1"


class CtlOurs(CtlCase):
    """The machine in the box answers as QEMU does."""

    def vm(self, role, *args):
        path = self.path(role)
        p = Program(self, role, [with_machine(), "vm", "--memory", "64M", "--accel", "unicorn", "--name", role,
                                 "--serial", "file:" + self.path(role + ".serial"), "--qmp", "unix:" + path] + list(args))
        wait_listening(p, "unix:" + path)
        return p, path

    def test_a_life(self):
        uri = "unix:" + self.path("m")
        source, a = self.vm("anna", "--workload", "hotset,rate=8M,set=8M")
        target, b = self.vm("berta", "--incoming", uri)
        self.assertRegex(self.ctl(a, "status").stdout, r"monitor +godwit \d(.|\n)*machine +running\nmigration +none\n$")
        self.assertEqual(self.ctl_json(b, "status")["status"]["status"], "inmigrate")
        self.assertEqual(self.ctl_json(a, "qmp", "query-name"), {"name": "anna"})
        self.ctl(a, "stop")
        self.assertEqual(self.ctl_json(a, "status")["status"]["status"], "paused")
        self.ctl(a, "cont")
        self.assertIn("cannot do what capability x-colo asks for", self.ctl(a, "caps", "x-colo=on", status=1).stderr)
        self.assertIn("no outgoing migration", self.ctl(a, "postcopy", status=1).stderr)
        self.assertIn("there is no disk with the device or node name 'c'", self.ctl(a, "snapshot", "save", "a", "b", "c", status=1).stderr)
        self.assertIn("no postcopy here that was paused", self.ctl(a, "recover", "tcp:127.0.0.1:0", status=1).stderr)
        # Too slow to end, interrupted; then for good.
        self.ctl(a, "param", "max-bandwidth=1M")
        self.ctl(a, "migrate", "--detach", "exec:cat > /dev/null")
        self.assertIn("migration cancelled, machine running", self.ctl(a, "cancel").stdout)
        doc = self.ctl_json(a, "migrate", uri, "--capability", "return-path", "--parameter", "max-bandwidth=0")
        self.assertEqual((doc["status"], doc["run-state"]), ("completed", "postmigrate"))
        self.assertEqual(doc["x-godwit"]["owner"], "destination")
        self.assertEqual(sum(doc["x-godwit"]["bytes-by-cause"].values()), doc["ram"]["transferred"])
        self.assertEqual(self.ctl_json(b, "status")["status"]["status"], "running")
        report = self.ctl(a, "status").stdout
        self.assertRegex(report, r"round +sent +pages")
        self.assertIn("belongs to the destination", report)
        self.assertIn("has gone to the other side", self.ctl(a, "migrate", uri, status=1).stderr)
        for p, path in (source, a), (target, b):
            self.ctl(path, "qmp", "quit")
            self.assertEqual(p.wait_exit(), 0, p.text())


if __name__ == "__main__":
    unittest.main()
