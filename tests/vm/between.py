# SPDX-License-Identifier: MIT
"""Connections through here: each can be cut alone."""
import socket
import threading


class Between:
    def __init__(self, case, to):
        """to: tcp:HOST:PORT."""
        host, port = to.split(":")[1:]
        self.to, self.pairs = (host, int(port)), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.uri = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept)
        self.thread.start()
        case.addCleanup(self.close)

    def accept(self):
        try:
            while True:
                here, _ = self.listener.accept()
                there = socket.create_connection(self.to)
                self.pairs.append((here, there))
                for a, b in ((here, there), (there, here)):
                    threading.Thread(target=self.pump, args=(a, b), daemon=True).start()
        except OSError:
            pass

    @staticmethod
    def pump(a, b):
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    b.shutdown(socket.SHUT_WR)
                    return
                b.sendall(data)
        except OSError:
            pass

    def cut(self, k):
        for s in self.pairs[k]:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for k in range(len(self.pairs)):
            self.cut(k)
