# SPDX-License-Identifier: MIT
"""The places of streams: files, commands and sockets, as URIs, and waits until they exist."""
import os
import random
import socket

from versions import has_file
from waiting import wait_until


def exec_uri(path, incoming):
    """A QEMU that writes to a command has finished when the command has read everything, not when the file is written:
    so the file gets its name when it is complete."""
    return "exec:cat < %s" % path if incoming else "exec:cat > %s.part && mv %s.part %s" % (path, path, path)


def file_uri(version, path, incoming):
    """How this QEMU says `file:`, which old ones do not have."""
    return "file:" + path if has_file(version) else exec_uri(path, incoming)


def wait_file(path):
    wait_until("a file " + path, lambda: os.path.exists(path))


def free_port():
    """A port for programs that cannot choose one themselves: outside the kernel's range of ephemeral ports."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def listens(uri):
    """Whether a process listens there, without connecting. A Unix socket's path exists before it listens."""
    path = uri[5:] if uri.startswith("unix:") else None
    with open("/proc/net/unix" if path else "/proc/net/tcp") as f:
        sockets = [line.split() for line in f.readlines()[1:]]
    if path:
        return any(s[3] == "00010000" and s[-1] == path for s in sockets)
    return any(s[1].endswith(":%04X" % int(uri.rsplit(":", 1)[1])) and s[3] == "0A" for s in sockets)


def wait_listening(program, uri):
    def there():
        if not program.alive():
            raise AssertionError("%s ended: %s" % (program.role, program.text()))
        return listens(uri)
    wait_until("%s listens" % program.role, there)
