# SPDX-License-Identifier: MIT
"""`godwit demo` shows a machine that moves, and leaves nothing behind, however it ends."""
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import wait_until  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, with_machine  # noqa: E402


def children(pid):
    """(pid, command line) of each machine."""
    found = []
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            pids = [int(p) for p in f.read().split()]
        for p in pids:
            with open("/proc/%d/cmdline" % p, "rb") as f:
                found.append((p, f.read().replace(b"\0", b" ").decode()))
    except OSError:
        pass
    return [c for c in found if " vm " in c[1]]


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Demo(Case):
    def start(self, *options):
        p = subprocess.Popen([with_machine(), "demo", "--memory", "64M", "--accel", "unicorn", *options],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        return p

    def machines(self, p, count):
        found = wait_until("%d machines" % count, lambda: len(children(p.pid)) >= count and children(p.pid))
        folder = re.search(r"unix:(/tmp/godwit-demo-\w+)/", found[0][1]).group(1)
        self.assertTrue(os.path.isdir(folder))
        return [pid for pid, _ in found], folder

    def gone(self, pids, folder=None):
        wait_until("the end of its machines", lambda: not any(alive(pid) for pid in pids))
        if folder:
            self.assertFalse(os.path.exists(folder))

    def test_to_its_end(self):
        p = self.start("--workload", "hotset,rate=4M,set=8M")
        pids, folder = self.machines(p, 2)
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual((p.returncode, err), (0, ""), out)
        self.assertIn("the guest found no wrong byte", out)
        self.gone(pids, folder)

    def test_ended_by_a_signal(self):
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
            with self.subTest(number):
                p = self.start("--workload", "idle")
                pids, folder = self.machines(p, 1)
                wait_until("a heartbeat", lambda: p.stdout.readline().startswith("    here | beat"))
                p.send_signal(number)
                out, err = p.communicate(timeout=DEADLINE_S * SLOW)
                self.assertEqual((p.returncode, err),
                                 (1, "godwit demo: ended by a signal; its machines were ended and its files removed\n"))
                self.gone(pids, folder)

    def test_ended_while_it_moves(self):
        # Too much that gets dirty too fast for the 128 MiB/s that are usual, so that it does not end by itself.
        p = self.start("--workload", "uniform,set=40M,fill=on")
        said = []

        def moves():
            said.append(p.stdout.readline())
            self.assertTrue(said[-1], "it has ended: %s" % said)
            return " migrate tcp:" in said[-1]
        wait_until("the move", moves)
        pids, folder = self.machines(p, 2)
        p.send_signal(signal.SIGINT)
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 1, out)
        self.assertIn("files removed", err)
        self.gone(pids, folder)

    def test_ctrl_c_is_for_the_demo_alone(self):
        """A terminal tells the whole group; the machines are to be ended in order."""
        p = self.start("--workload", "idle")
        pids, folder = self.machines(p, 1)
        self.assertNotEqual(os.getpgid(pids[0]), os.getpgid(p.pid))
        os.killpg(p.pid, signal.SIGINT)
        out, err = p.communicate(timeout=DEADLINE_S * SLOW)
        self.assertEqual(p.returncode, 1)
        self.gone(pids, folder)

    def test_killed(self):
        p = self.start("--workload", "idle")
        pids, folder = self.machines(p, 1)
        self.addCleanup(shutil.rmtree, folder)  # nobody else is there to do that
        p.kill()
        p.wait()
        self.gone(pids)


if __name__ == "__main__":
    unittest.main()
