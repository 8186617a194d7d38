# SPDX-License-Identifier: MIT
"""The memory of a QEMU's guest, read and written from outside while it runs."""
import socket

from waiting import wait_until


class Qtest:
    """Reads and writes guest-physical memory of a QEMU that was started with qtest=True and has a CPU."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        wait_until("qtest at " + path, lambda: self.sock.connect_ex(path) == 0)
        self.file = self.sock.makefile("rwb")

    def command(self, text):
        self.file.write(text.encode() + b"\n")
        self.file.flush()
        reply = self.file.readline().decode().split()
        if not reply or reply[0] != "OK":
            raise AssertionError("qtest %s: %s" % (text[:60], " ".join(reply)))
        return reply[1:]

    def write(self, address, data):
        self.command("write 0x%x 0x%x 0x%s" % (address, len(data), data.hex()))

    def read(self, address, size):
        return bytes.fromhex(self.command("read 0x%x 0x%x" % (address, size))[0][2:])

    def bios_tables(self):
        """Whether a BIOS has left its ACPI and SMBIOS tables, with their checksums; the signatures alone are also in
        its code."""
        bios = self.read(0xF0000, 0x10000)
        heads = [bios[i:i + 32] for i in range(0, len(bios), 16)]
        return (any(h[:8] == b"RSD PTR " and not sum(h[:20]) % 256 for h in heads) and
                any(h[:4] == b"_SM_" and h[16:21] == b"_DMI_" and not sum(h[:h[5]]) % 256 for h in heads))

    def close(self):
        self.file.close()
        self.sock.close()
