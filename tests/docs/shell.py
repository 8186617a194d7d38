# SPDX-License-Identifier: MIT
"""Commands of a page are run word for word, save that /tmp is a folder of its own and `godwit` the one that was built."""
import os
import re
import shutil
import subprocess
import sys

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, make_folder, wait_until  # noqa: E402
from places import listens  # noqa: E402

BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
GODWIT = os.path.join(BUILD, "cli", "godwit")


def read(name):
    with open(os.path.join(TOP, name)) as f:
        return f.read()


def first_block(page):
    """The commands of its first example."""
    lines = re.search(r"(?:^    \S.*\n)+", read(page), re.M).group(0)
    return [line.strip() for line in lines.replace("\\\n", " ").splitlines()]


def run(case, commands):
    """What those said that were waited for. Those that end with & must have listened before the next one begins, and all end well."""
    folder = make_folder()
    case.addCleanup(shutil.rmtree, folder)
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
            case.assertEqual(r.returncode, 0, "%s\n%s%s" % (command, r.stdout, r.stderr))
            said.append(r.stdout)
        for p in background:
            case.assertEqual(p.wait(DEADLINE_S * SLOW), 0)
    finally:
        for p in background:
            p.kill()
            p.wait()
    return said
