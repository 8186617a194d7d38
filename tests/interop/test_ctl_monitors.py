# SPDX-License-Identifier: MIT
"""`godwit ctl` and monitors of every kind: tests that need no QEMU, or are the same with all versions."""
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ctl_case import CtlCase  # noqa: E402
from harness import DEADLINE_S, SLOW, wait_until  # noqa: E402
from versions import VERSIONS  # noqa: E402

SIZE = 16 << 20


class CtlMonitors(CtlCase):
    def test_usage(self):
        for args in [], ["x"], ["x", "plan"], ["x", "status", "y"], ["x", "migrate"], ["--nonsense"], \
                ["x", "snapshot", "save", "a"], ["x", "status", "--timeout", "soon"]:
            with self.subTest(args):
                self.ctl(*args, status=2)
        self.assertIn("migrate URI", self.ctl("--help").stdout)
        self.assertIn("No such file", self.ctl(self.path("nowhere"), "status", status=1).stderr)

    def test_quit_needs_no_answer(self):
        """A QEMU may be gone before it has answered; whatever else was asked was not done then."""
        for command, status in (("quit", 0), ("stop", 1)):
            path = self.path(command)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
                listener.listen(1)

                def serve():
                    s, _ = listener.accept()
                    with s, s.makefile("rwb") as f:
                        f.write(b'{"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}}, "capabilities": []}}\n')
                        f.flush()
                        f.write(json.dumps({"return": {}, "id": json.loads(f.readline()).get("id")}).encode() + b"\n")
                        f.flush()
                        f.readline()
                server = threading.Thread(target=serve)
                server.start()
                p = self.ctl(path, "qmp", command, status=status)
                server.join()
                if status:
                    self.assertIn("closed the connection", p.stderr)
                else:
                    self.assertEqual(p.stdout, "{}\n")

    def monitor(self, answers, indent=None, pieces=1 << 20):
        """A monitor whose commands have these answers, one after the other, the last one for good; (path, commands heard).
        No answers at all: it stays silent."""
        heard, path = [], self.path("monitor%d" % len(os.listdir(self.folder)))
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen(1)

        def serve():
            s, _ = listener.accept()
            with s, s.makefile("rb") as f, contextlib.suppress(OSError):  # it may leave at any time
                def say(what):
                    data = json.dumps(what, indent=indent).encode() + b"\r\n"
                    for at in range(0, len(data), pieces):
                        s.sendall(data[at:at + pieces])
                say({"QMP": {"version": {"qemu": {"major": 10, "minor": 0, "micro": 2}}, "capabilities": []}})
                for line in f:
                    asked = json.loads(line)
                    heard.append(asked["execute"])
                    queue = answers.get(asked["execute"], [{}])
                    if not queue:
                        continue
                    say({"return": queue.pop(0) if len(queue) > 1 else queue[0], "id": asked.get("id")})
        threading.Thread(target=serve, daemon=True).start()
        return path, heard

    def test_the_last_state_counts(self):
        """A QEMU says that a migration has completed, or was cancelled, before its machine has come to rest."""
        for command, end, last in ((["migrate", "tcp:x:1"], "completed", "postmigrate"), (["cancel"], "cancelled", "running")):
            path, heard = self.monitor({
                "query-migrate": [{"status": "active"}, {"status": end}],
                "query-status": [{"status": "finish-migrate"}] * 3 + [{"status": last}]})
            doc = self.ctl_json(path, *command)
            self.assertEqual((doc["status"], doc["run-state"]), (end, last))
            self.assertEqual(heard.count("query-status"), 4)

    def test_interrupted_before_the_answer(self):
        """An interrupt that comes before `migrate` was answered cancels at once: nothing else is asked before."""
        path, heard = self.monitor({"migrate": [], "query-migrate": [{"status": "cancelled"}],
                                    "query-status": [{"status": "running"}]})
        p, _ = self.start(path, "migrate", "tcp:x:1")
        wait_until("migrate", lambda: "migrate" in heard)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(err.decode(), "godwit ctl: cancelling\n"
                                       "godwit ctl: migrate: cancelled; the machine here is running\n")
        self.assertEqual(heard[heard.index("migrate") + 1], "migrate_cancel")

    def test_pretty_monitors(self):
        """`-qmp-pretty`: a message over many lines, brackets in strings, several in one packet, or in pieces."""
        text = 'a } b ] \\" { [ c'
        for indent, pieces in ((4, 1 << 20), (4, 1), (None, 7)):
            path, _ = self.monitor({"query-name": [{"name": text, "more": [[{}], []]}]}, indent=indent, pieces=pieces)
            self.assertEqual(self.ctl_json(path, "qmp", "query-name"), {"name": text, "more": [[{}], []]})
        for version in VERSIONS:
            with self.subTest(version):
                path = self.path("pretty" + version)
                self.qemu(version, "vm" + version, memory=SIZE, args=[
                    "-chardev", "socket,id=pretty,path=%s,server=on,wait=off" % path, "-mon",
                    "chardev=pretty,mode=control,pretty=on"])
                self.assertIn("running", self.ctl(path, "status").stdout)

    def test_what_is_no_message(self):
        for said in b"SSH-2.0-OpenSSH_9.2\r\n", b'{"QMP": }\r\n', b"]\n", b"{} " * 3:
            with self.subTest(said):
                path = self.path("x%d" % len(os.listdir(self.folder)))
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.bind(path)
                    listener.listen(1)

                    def serve():
                        s, _ = listener.accept()
                        with s, contextlib.suppress(OSError):
                            s.sendall(said)
                            s.recv(1)
                    server = threading.Thread(target=serve)
                    server.start()
                    self.assertIn("not a QMP monitor", self.ctl(path, "status", status=1).stderr)
                    server.join()

    def test_a_state_that_stays(self):
        """A machine that does not reach a final state is reported in its current state."""
        path, heard = self.monitor({"query-migrate": [{"status": "completed"}], "query-status": [{"status": "finish-migrate"}]})
        self.assertEqual(self.ctl_json(path, "migrate", "tcp:x:1")["run-state"], "finish-migrate")


if __name__ == "__main__":
    unittest.main()
