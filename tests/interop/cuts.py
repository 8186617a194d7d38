# SPDX-License-Identifier: MIT
"""A connection between godwit and a QEMU that is cut at a byte, and the rules for every outcome: no machine runs twice
because of godwit's messages, and none is lost.

The machines here are small, and their processor stops at its first instruction: a stream is always the same.
"""
import os
import select
import shutil
import socket
import subprocess
import threading

from harness import DEADLINE_S, SLOW, Program, built, pattern, wait_until, write_file

TAIL = 200 << 10  # where a stream is cut: in its last bytes
SHUT = 8          # the last message of a destination
RESET = b"\1\0\0\0\0\0\0\0"
MEMORY = 2 << 20
HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to that


def connect(uri):
    kind, _, rest = uri.partition(":")
    if kind == "tcp":
        return socket.create_connection(("127.0.0.1", int(rest.rsplit(":", 1)[1])))
    s = socket.socket(socket.AF_UNIX)
    s.connect(rest)
    return s


class Cutter(threading.Thread):
    """Passes on the data of both sides and cuts both connections at once: when `forward` bytes have been passed to the
    destination, or when byte `back` of the answers is there. kind: "close" (what is unread then makes it a reset),
    "reset", or "swallow": unforwarded data is read before the close, so that no reset is sent. A client that connects
    before start() waits."""

    def __init__(self, uri, forward=None, back=None, kind="close"):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.to = uri
        self.most, self.kind, self.passed, self.cut = (forward, back), kind, [0, 0], False

    def run(self):
        with self.listener:
            here, _ = self.listener.accept()
        there = connect(self.to)
        for s in here, there:
            if s.family != socket.AF_UNIX:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with here, there:
            try:
                self.carry([(here, there), (there, here)])
            except OSError:
                pass  # one side has closed: so does the other
            if self.cut and self.kind == "reset":
                for s in here, there:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def carry(self, ways):
        open_ways = [0, 1]
        while open_ways:
            ready = select.select([ways[n][0] for n in open_ways], [], [])[0]
            for n in [n for n in open_ways if ways[n][0] in ready]:
                source, target = ways[n]
                most = self.most[n]
                if most is not None and self.passed[n] == most:
                    self.cut = True
                    if self.kind == "swallow":
                        source.recv(1 << 16)
                    return
                data = source.recv(1 << 16 if most is None else min(1 << 16, most - self.passed[n]))
                if not data:
                    open_ways.remove(n)
                    target.shutdown(socket.SHUT_WR)
                    continue
                target.sendall(data)
                self.passed[n] += len(data)
                if n == 0 and self.passed[0] == most:
                    self.cut = True
                    return

    def end(self):
        self.join(DEADLINE_S * SLOW)
        if self.is_alive():
            raise AssertionError("the connection is still there, with %s of %s" % (self.passed, self.most))


class Direction:
    """One of the two. once(**limits) makes one move through a Cutter and returns the result in one word."""

    def __init__(self, case, version):
        self.case, self.version, self.counts = case, version, {}
        self.firmware = write_file(case.path("firmware"), (bytes((64 << 10) - 16) + HALT).ljust(64 << 10, b"\0"))

    def machine(self, role, **options):
        return self.case.qemu(self.version, role, machine="microvm,acpi=off", memory=MEMORY, args=["-bios", self.firmware],
                              **options)

    def source(self, role, **options):
        return self.machine(role, ram=write_file(self.case.path(role + ".ram"), pattern(MEMORY)), **options)

    def all(self, offsets, back=None):
        """Cuts at this many offsets, more of them near the end, and at bytes of the answers; back: how many, None:
        each."""
        forward, answers = self.whole()
        last = range(answers + 1) if back is None else sorted({0, answers - SHUT, answers - SHUT + 1, answers - 1, answers})
        cuts = [{"forward": forward - int(min(TAIL, forward - 1) * (i / max(1, offsets - 1)) ** 2), "kind": ("close", "reset")[i % 2]}
                for i in range(offsets)]
        cuts += [{"back": n, "kind": kind} for n in last for kind in ("close", "reset", "swallow")]
        for cut in cuts:
            with self.case.failing_as("%s, QEMU %s, %s" % (type(self).__name__, self.version, cut)):
                did = self.once(**cut)
            name = "%s %s: %s" % ("forward" if "forward" in cut else "back", cut["kind"], did)
            self.counts[name] = self.counts.get(name, 0) + 1
        return "%s, QEMU %s, %d bytes, %d of answers\n%s" % (
            type(self).__name__, self.version, forward, answers,
            "\n".join("  %4d  %s" % (n, name) for name, n in sorted(self.counts.items())))

    def whole(self):
        """Uncut: the bytes of both directions."""
        self.case.assertEqual(self.once(), "moved")
        return self.cutter.passed

    def close(self, process):
        process.close()
        self.case.processes.remove(process)


class Send(Direction):
    """godwit send FILE --remove to a QEMU."""

    def __init__(self, case, version):
        super().__init__(case, version)
        self.parked, self.file = case.path("parked-" + version), case.path("guest")
        source = self.source("parked-from")
        source.migrate_to(case.path("stream"))
        subprocess.run([built("cli/godwit"), "convert", case.path("stream"), self.parked, "--format", "parked"], check=True)
        self.close(source)

    def once(self, **cut):
        case = self.case
        if os.path.exists(self.file):
            os.unlink(self.file)  # with its mark
        shutil.copyfile(self.parked, self.file)
        qemu = self.machine("there", incoming="tcp:127.0.0.1:0")
        self.cutter = Cutter(qemu.address(), **cut)
        self.cutter.start()
        r = subprocess.run([built("cli/godwit"), "send", self.file, self.cutter.uri, "--remove", "--running"], text=True,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S * SLOW)
        with case.failing_as(r):
            self.cutter.end()
        wait_until("an end there", lambda: not qemu.alive() or qemu.qmp.seen("MIGRATION", status="completed"))
        runs = qemu.alive()
        if runs:
            qemu.wait_state("running")
        self.close(qemu)
        said = (r.returncode, r.stdout + r.stderr)
        case.assertNotIn("Sanitizer", r.stderr)
        case.assertIn(r.returncode, (0, 1), said)
        case.assertEqual(os.path.exists(self.file), r.returncode != 0, said)
        if r.returncode == 0:
            case.assertTrue(runs, said)
            return "moved"
        undecided = "it is not known whether the destination runs the machine" in r.stderr
        case.assertNotEqual(undecided, "the machine is still here" in r.stderr, said)
        case.assertTrue(undecided or not runs, said)
        return "%s, %s there" % ("undecided" if undecided else "still here", "runs" if runs else "not")


class Receive(Direction):
    """godwit receive from a QEMU with a return path, which has the same machine each time."""

    def __init__(self, case, version):
        super().__init__(case, version)
        self.qemu = self.source("source", capabilities=["return-path"])
        self.folder = case.path("d-" + version)

    def once(self, early=(), **cut):
        case, qemu = self.case, self.qemu
        shutil.rmtree(self.folder, ignore_errors=True)
        os.mkdir(self.folder)
        qemu.wait_state("running")
        rx = Program(case, "receive", [built("cli/godwit"), "receive", "tcp:127.0.0.1:0", "--output",
                                       os.path.join(self.folder, "guest"), "--json", *early])
        self.cutter = Cutter(rx.wait_event("listening")["uri"], **cut)
        self.cutter.start()
        qemu.migrate(self.cutter.uri)
        # If nothing of the machine was received it waits for another source.
        wait_until("an end of receive", lambda: rx.seen("refused") or not rx.alive())
        if rx.alive() and rx.seen("refused"):
            rx.process.terminate()
        status = rx.wait_exit()
        self.cutter.end()
        wait_until("an end at the source", lambda: qemu.migration()["status"] in ("completed", "failed"))
        runs = qemu.migration()["status"] == "failed"
        qemu.wait_state("running" if runs else "postmigrate")
        text = rx.text()
        self.close(rx)
        if not runs:
            qemu.qmp.command("cont")
        files = os.listdir(self.folder)
        for name in files:
            subprocess.run([built("cli/godwit"), "verify", "--quiet", os.path.join(self.folder, name)], check=True)
        case.assertNotIn("Sanitizer", text)
        case.assertIn(status, (0, 1), text)
        if status == 0:
            case.assertEqual(files, ["guest"], text)
            # A source that read the whole last message and closed normally looks like one that has processed it.
            case.assertTrue(not runs or (self.cutter.cut and self.cutter.kind == "swallow"), text)
            return "moved" + (", but runs there: cannot be told" if runs else "")
        undecided = "perhaps has not heard it" in text
        case.assertEqual(files, ["guest.undecided"] if undecided else [], text)
        case.assertTrue(undecided or runs, text)
        return "%s, %s there" % ("undecided" if undecided else "failed", "runs" if runs else "not")
