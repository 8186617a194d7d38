# SPDX-License-Identifier: MIT
# builds: aarch64
"""The command that was built for aarch64, in an emulator: it starts, and reads files that were written on x86-64."""
import json
import os
import shlex
import subprocess
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, built  # noqa: E402

CAPTURES = os.path.join(TOP, "tests", "golden", "captures")


def godwit(*argv):
    emulator = shlex.split(os.environ.get("GODWIT_EMULATOR", ""))
    return subprocess.run([*emulator, built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S * SLOW)


class Emulated(unittest.TestCase):
    def test_version(self):
        r = godwit("--version")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertRegex(r.stdout, r"\Agodwit \d+\.\d+\.\d+\n")
        self.assertRegex(r.stdout, r"(?m)^  machine +no ")

    def test_inspect(self):
        """Of another machine's bytes: sections, and RAM by its name."""
        r = godwit("inspect", "--json", "--sandbox", "off", os.path.join(CAPTURES, "precopy-none-7.2.bin"))
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertIn("none", json.dumps(json.loads(r.stdout)))

    def test_verify(self):
        r = godwit("verify", "--json", "--sandbox", "off", os.path.join(CAPTURES, "precopy-none-10.0.bin"))
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertTrue(json.loads(r.stdout)["whole"])


if __name__ == "__main__":
    unittest.main()
