# SPDX-License-Identifier: MIT
"""A monitor between `godwit ctl` and a QEMU, for tests in which one command of many fails."""
import contextlib
import json
import os
import socket
import threading


class QmpProxy:
    """Listens at `path` for one client after another and passes everything on to the monitor at `to`. judge(name, arguments) is asked
    about each command, on the proxy's thread: a text is an error in place of the answer, None passes it on."""

    def __init__(self, path, to, judge):
        self.to, self.judge = to, judge
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        self.listener.bind(path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.serve(client)
            client.close()

    def serve(self, client):
        with socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(self.to)
            except OSError:
                return
            back = threading.Thread(target=self.pass_back, args=(server, client), daemon=True)
            back.start()
            try:
                self.pass_on(client, server)
            except OSError:
                pass  # one side has gone
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # else the other thread would hold the connection
            back.join()

    def pass_on(self, client, server):
        for line in client.makefile("rb"):
            message = json.loads(line)
            error = self.judge(message.get("execute") or message["exec-oob"], message.get("arguments", {}))
            if error is None:
                server.sendall(line)
            else:
                client.sendall(json.dumps({"id": message["id"], "error": {"class": "GenericError", "desc": error}}).encode() + b"\n")

    @staticmethod
    def pass_back(server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
