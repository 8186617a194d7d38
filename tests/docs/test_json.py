# SPDX-License-Identifier: MIT
"""docs/json.md has the keys that the commands print with --json: none is missing there, and none is made up."""
import glob
import gzip
import json
import os
import re
import shutil
import shutil
import subprocess
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, make_folder, wait_until, with_machine  # noqa: E402
from places import listens  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
GODWIT = os.path.join(BUILD, "cli", "godwit")
GOLDEN = os.path.join(TOP, "tests", "golden")
PC = os.path.join(GOLDEN, "captures", "precopy-pc-10.0.bin.gz")
OLD = os.path.join(GOLDEN, "captures", "precopy-pc-7.2.bin.gz")
PARKED = os.path.join(GOLDEN, "parked", "accept", "arrived.park")

# What is documented, and no capture has.
RARE = {"inspect": {"lacking_bytes", "elements[].known", "elements_not_listed", "ram.blocks[].host_page_bytes", "devices[].error",
                    "bytes_by_cause.unknown_live_sections"},
        "send": {"text"}}
FREE = ("devices[].values.", "migration.", "status.")  # what is below is somebody else's


def documented(command):
    with open(os.path.join(TOP, "docs", "json.md"), encoding="utf-8") as f:
        section = f.read().split("\n## %s\n" % command)[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.M))


def keys(value, path=""):
    found = set()
    if isinstance(value, dict):
        for key, inner in value.items():
            here = path + "." + key if path else key
            found.add(here)
            if not any(here + "." == free for free in FREE):
                found |= keys(inner, here)
    elif isinstance(value, list):
        for inner in value:
            found |= keys(inner, path + "[]")
    return found


class Json(unittest.TestCase):
    def setUp(self):
        self.folder = make_folder()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def said(self, *argv, status=(0,), lines=False):
        r = subprocess.run([GODWIT, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertIn(r.returncode, status, r.stderr)
        if not r.stdout:
            return set()
        documents = [json.loads(line) for line in r.stdout.splitlines()] if lines else [json.loads(r.stdout)]
        return set().union(*(keys(d) for d in documents))

    def compare(self, command, printed):
        known = documented(command)
        self.assertEqual(printed - known, set(), "printed, and not in docs/json.md")
        self.assertEqual(known - printed, RARE.get(command, set()), "in docs/json.md, and not printed")

    def test_inspect(self):
        printed = set()
        for file in glob.glob(os.path.join(GOLDEN, "captures", "*")) + glob.glob(os.path.join(GOLDEN, "parked", "accept", "*.park")):
            if not file.endswith((".md", ".txt")):
                printed |= self.said("inspect", "--json", file, status=(0, 1))
        self.compare("inspect", printed)

    def test_map(self):
        subprocess.run([GODWIT, "convert", "--quiet", PARKED, self.path("stream"), "--format", "stream"], check=True)
        self.compare("map", self.said("map", "--json", PARKED) | self.said("map", "--json", self.path("stream")))

    def test_verify(self):
        with open(PARKED, "rb") as f:
            broken = bytearray(f.read())
        broken[5000] ^= 1  # in a page
        with open(self.path("broken"), "wb") as f:
            f.write(broken)
        with gzip.open(PC) as f, open(self.path("longer"), "wb") as to:
            to.write(f.read() + b"\0x")
        self.compare("verify", self.said("verify", "--json", PC) | self.said("verify", "--json", self.path("broken"), status=(3,)) |
                     self.said("verify", "--json", self.path("longer"), status=(3,)))

    def test_diff(self):
        self.compare("diff", self.said("diff", "--json", PC, OLD, status=(3,)))

    def test_explain(self):
        self.compare("schema explain", self.said("schema", "explain", "--json", "--all", PC, OLD, status=(3, 5)))

    def test_transfers(self):
        # A listening receive, so that "listening" is among the events.
        place = "unix:" + self.path("s")
        p = subprocess.Popen([GODWIT, "receive", place, "--json", "--output", self.path("out")], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
        try:
            wait_until("receive listens", lambda: listens(place) or p.poll() is not None)
            parked = shutil.copy(PARKED, self.path("parked"))  # what was sent is marked so
            sent = self.said("send", "--json", parked, place, lines=True)
            text = p.communicate(timeout=DEADLINE_S * SLOW)[0]
        finally:
            p.kill()
            p.wait()
        received = set().union(*(keys(json.loads(line)) for line in text.splitlines()))
        self.assertEqual(sent - documented("send"), set())
        self.assertEqual(received - documented("receive"), set())
        self.assertLessEqual({"machine", "ram-bytes", "sent-bytes", "seconds"}, sent)
        self.assertLessEqual({"machine", "ram-bytes", "file-bytes", "uri", "status"}, received)

    def test_ctl_status(self):
        with_machine()
        monitor = "unix:" + self.path("qmp")
        p = subprocess.Popen([GODWIT, "vm", "--memory", "16M", "--qmp", monitor], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            wait_until("the monitor listens", lambda: listens(monitor) or p.poll() is not None)
            printed = self.said("ctl", monitor, "status", "--json")
        finally:
            p.kill()
            p.wait()
        self.assertEqual(printed - documented("ctl status"), set())
        self.assertLessEqual({"server", "status", "migration"}, printed)

    def test_the_comparison_sees(self):
        with self.assertRaises(AssertionError):
            self.compare("map", {"[].block"})
        with self.assertRaises(AssertionError):
            self.compare("map", documented("map") | {"[].new"})


if __name__ == "__main__":
    unittest.main()
