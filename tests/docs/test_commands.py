# SPDX-License-Identifier: MIT
"""The documentation is run: the commands of the README."""
import os
import re
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


def read(name):
    with open(os.path.join(TOP, name)) as f:
        return f.read()


class Readme(unittest.TestCase):
    def test_by_hand(self):
        """Word for word, save that /tmp is a folder of its own and `godwit` the one that was built."""
        with_machine()
        section = read("README.md").split("## Trying it by hand")[1].split("\n## ")[0]
        commands = re.findall(r"^    (godwit .*)$", section, re.M)
        self.assertGreaterEqual(len(commands), 5)
        folder = make_folder()
        self.addCleanup(shutil.rmtree, folder)
        environment = dict(os.environ, PATH=os.path.dirname(GODWIT) + ":" + os.environ["PATH"])
        background, said = [], []
        try:
            for command in (c.replace("/tmp/", folder + "/") for c in commands):
                if command.endswith("&"):
                    background.append(subprocess.Popen(["/bin/sh", "-c", "exec " + command[:-1]], env=environment,
                                                       stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                    for uri in re.findall(r"unix:[^\s,]+", command):
                        wait_until("%s, of: %s" % (uri, command), lambda: listens(uri) or background[-1].poll() is not None)
                    continue
                r = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
                self.assertEqual(r.returncode, 0, "%s\n%s%s" % (command, r.stdout, r.stderr))
                said.append(r.stdout)
            for p in background:
                self.assertEqual(p.wait(DEADLINE_S * SLOW), 0)
        finally:
            for p in background:
                p.kill()
                p.wait()
        self.assertIn("completed", said[0])
        self.assertIn("running", said[1])

    def test_links(self):
        for page in ["README.md"] + ["docs/" + f for f in os.listdir(os.path.join(TOP, "docs")) if f.endswith(".md")]:
            for target in re.findall(r"\]\(([^)#:]+)\)", read(page)):
                path = os.path.normpath(os.path.join(TOP, os.path.dirname(page), target))
                self.assertTrue(os.path.exists(path), "%s points at %s" % (page, target))


if __name__ == "__main__":
    unittest.main()
