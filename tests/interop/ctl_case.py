# SPDX-License-Identifier: MIT
"""`godwit ctl` as a command that is run, or left running."""
import json
import os
import pty
import signal
import subprocess

from harness import DEADLINE_S, SLOW, Case, built


class CtlCase(Case):
    def ctl(self, *args, status=0):
        p = subprocess.run([built("cli/godwit"), "ctl"] + list(args), capture_output=True, text=True,
                           timeout=DEADLINE_S * SLOW)
        if status is not None:
            self.assertEqual(p.returncode, status, "%s\n%s\n%s" % (args, p.stdout, p.stderr))
        if status == 1:
            self.assertTrue(p.stderr.startswith("godwit ctl: "), p.stderr)
        elif status == 0:
            self.assertEqual(p.stderr, "")
        return p

    def ctl_json(self, *args):
        return json.loads(self.ctl(*args, "--json").stdout)

    def start(self, *args, terminal=False):
        """A ctl that is left running. With a terminal: its standard error is one, which is returned too."""
        master, slave = pty.openpty() if terminal else (None, subprocess.PIPE)
        # A shell's background job would ignore SIGINT.
        p = subprocess.Popen([built("cli/godwit"), "ctl"] + list(args), stdout=subprocess.PIPE, stderr=slave,
                             stdin=subprocess.DEVNULL, restore_signals=True,
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        if terminal:
            os.close(slave)
            self.addCleanup(os.close, master)
        else:
            self.addCleanup(p.stderr.close)
        return p, master
