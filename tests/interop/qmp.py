# SPDX-License-Identifier: MIT
"""A QMP client for tests."""
import json
import select
import socket
import time

from waiting import DEADLINE_S, SLOW, wait_until


class QmpError(AssertionError):
    pass


class QmpClosed(QmpError):
    """The other side has closed the connection. It may do so at any moment, also between a check and a send."""


class QmpGreeted(QmpError):
    pass


class Qmp:
    """A QMP client. Events are kept in order, also beyond the end of the connection."""

    def __init__(self, alive, path=None, sock=None):
        """Over a socket that is connected, or to a path where one will be."""
        self.alive, self.events = alive, []
        if sock:
            self.sock, self.buffer = sock, b""
            self.negotiate(DEADLINE_S)
            return
        # A QEMU that is still starting may greet an early client and then, in rare cases, never answer.
        for seconds in (5, 10, 30, DEADLINE_S):
            self.connect(path)
            try:
                self.negotiate(seconds)
                return
            except QmpError:
                self.sock.close()
                if seconds == DEADLINE_S or not alive():
                    raise

    def connect(self, path):
        self.buffer = b""

        def connected():
            if not self.alive():
                raise AssertionError("the process ended before its QMP socket was there")
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(path)
                return True
            except OSError:
                self.sock.close()
                return False
        wait_until("QMP at %s" % path, connected)

    def negotiate(self, seconds):
        if self.message(DEADLINE_S * SLOW) is None:
            raise QmpError("no greeting")
        while True:
            try:
                return self.command("qmp_capabilities", seconds=seconds)
            except QmpGreeted:
                continue  # it has lost its earlier state

    def message(self, seconds):
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            try:
                if not select.select([self.sock], [], [], max(0, end - time.monotonic()))[0]:
                    return None
                data = self.sock.recv(1 << 16)
            except OSError as e:
                raise QmpClosed("QMP connection: %s" % e) from e
            if not data:
                raise QmpClosed("QMP connection closed")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, /, seconds=DEADLINE_S, **arguments):
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        try:
            self.sock.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        except OSError as e:
            raise QmpClosed("%s: %s" % (name, e)) from e
        while True:
            m = self.message(seconds * SLOW)
            if m is None:
                raise QmpError("%s: no reply" % name)
            if "event" in m:
                self.events.append(m)
            elif "QMP" in m:
                raise QmpGreeted("%s: greeted again" % name)
            elif "error" in m:
                raise QmpError("%s: %s" % (name, m["error"]["desc"]))
            else:
                return m["return"]

    def poll(self):
        """Reads the available events. A closed connection has no more."""
        try:
            while True:
                m = self.message(0)
                if m is None:
                    return
                if "event" in m:
                    self.events.append(m)
        except QmpClosed:
            pass

    def seen(self, name, **data):
        self.poll()
        for e in self.events:
            if e["event"] == name and all(e.get("data", {}).get(k) == v for k, v in data.items()):
                return e
        return None
