# SPDX-License-Identifier: MIT
"""200 consecutive migrations under every workload, and with XBZRLE, with cancelled ones in between (Unicorn; 20 on KVM).

GODWIT_MOVES=N changes the 200.
"""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vm"))
from box import WORKLOADS, Box, Journey  # noqa: E402
from harness import built  # noqa: E402

MOVES = int(os.environ.get("GODWIT_MOVES", "200"))


class Unicorn(Journey):
    pass


class Kvm(Journey):
    pass


def make(workload, accel, moves):
    def test(self):
        if accel == "kvm" and not os.path.exists("/dev/kvm"):
            self.skipTest("no /dev/kvm on this machine")
        self.journey(workload, moves, accel)
    return test


for w in WORKLOADS:
    setattr(Unicorn, "test_" + w, make(w, "unicorn", MOVES))
    setattr(Kvm, "test_" + w, make(w, "kvm", MOVES // 10))


class KvmTrackers(Journey):
    """R2: the dirty trackers that KVM has."""

    def test_log(self):
        self.journey("hotset", MOVES // 10, "kvm", ["--tracker", "kvm-log"])

    def test_ring(self):
        self.journey("hotset", MOVES // 10, "kvm", ["--tracker", "kvm-ring"])


class Xbzrle(Journey):
    """The command moves the machine, with XBZRLE, over Unix sockets. Pages that are sent again are found in the cache."""

    def incoming(self, role):
        return "unix:" + self.path(role + ".in")

    def migrate(self, box, to):
        # The limits make several passes; the guest could be moved in two.
        p = subprocess.run([built("cli/godwit"), "ctl", box.qmp_path, "--quiet", "migrate", to.address(), "--capability",
                            "xbzrle", "--parameter", "max-bandwidth=64M", "--parameter", "downtime-limit=2"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr + box.text() + to.text())
        info = box.migration()
        for name in self.cache:
            self.cache[name] += info["xbzrle-cache"][name]
        return info

    def xbzrle(self, workload, moves, accel):
        self.cache = {"pages": 0, "bytes": 0, "cache-miss": 0, "overflow": 0}
        # The attempts that are cancelled have it from here.
        self.journey(workload, moves, accel, ["--capability", "xbzrle"])
        print("    XBZRLE: %(pages)d pages as differences of %(bytes)d bytes, %(cache-miss)d misses, %(overflow)d overflows" %
              self.cache)
        self.assertGreater(self.cache["pages"], 0)

    def test_unicorn(self):
        self.xbzrle("sparse", MOVES, "unicorn")

    def test_kvm(self):
        if not os.path.exists("/dev/kvm"):
            self.skipTest("no /dev/kvm on this machine")
        self.xbzrle("sparse", MOVES // 10, "kvm")


if __name__ == "__main__":
    unittest.main()
