# SPDX-License-Identifier: MIT
"""Many more random images than the unit tests have: calls against plain bytes, writers that are killed, damage.

QCOW2_SEQUENCES=N changes the number of each.
"""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from harness import built  # noqa: E402


class Images(unittest.TestCase):
    def many(self, name, usual):
        environment = dict(os.environ, QCOW2_SEQUENCES=os.environ.get("QCOW2_SEQUENCES", str(usual)))
        done = subprocess.run([built("tests/unit/disk/node/test_disk_node_qcow2_" + name)], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_calls(self):
        self.many("model", 50000)

    def test_crashes(self):
        self.many("crash", 1500)

    def test_damage(self):
        self.many("hostile", 1500)


if __name__ == "__main__":
    unittest.main()
