# SPDX-License-Identifier: MIT
# builds: plain asan
"""Connections between godwit and QEMU that are cut (cuts.py), at a few offsets; tests/soak/test_cuts.py has many."""
import os
import select
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cuts import SHUT, Cutter, Receive, Send  # noqa: E402
from harness import DEADLINE_S, SLOW, Case, Program, built, read_file, write_file  # noqa: E402

OFFSETS = 12


class Cuts(Case):
    def test_send_10_0(self):
        print(Send(self, "10.0").all(OFFSETS, 5))

    def test_send_7_2(self):
        print(Send(self, "7.2").all(OFFSETS, 5))

    def test_receive_10_0(self):
        print(Receive(self, "10.0").all(OFFSETS, 5))

    def test_receive_7_2(self):
        print(Receive(self, "7.2").all(OFFSETS, 5))

    def test_received_is_not_lost(self):
        """The file exists if the source was told; if the source perhaps did not get the message it may exist
        nevertheless."""
        early = Receive(self, "10.0")
        answers = early.whole()[1]
        self.assertEqual(early.once(early=("--acknowledge", "received"), back=answers - SHUT, kind="reset"), "undecided, runs there")

    def test_another_guest_under_the_name(self):
        """Another machine is parked under that name while the first one is sent with --remove: its file stays."""
        send = Send(self, "10.0")
        first = write_file(send.file, read_file(send.parked))
        there = send.machine("there", incoming="tcp:127.0.0.1:0")
        cutter = Cutter(there.address())
        p = Program(self, "send", [built("cli/godwit"), "send", first, cutter.uri, "--remove", "--running", "--json"])
        self.assertTrue(select.select([cutter.listener], [], [], DEADLINE_S * SLOW)[0])  # it has opened its file
        second = send.source("second")
        rx = Program(self, "receive", [built("cli/godwit"), "receive", "tcp:127.0.0.1:0", "--output", first, "--force", "--json"])
        second.set_capabilities("return-path")
        second.migrate(rx.wait_event("listening")["uri"])
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        parked = read_file(first)
        cutter.start()
        self.assertEqual(p.wait_exit(), 1, p.text())
        cutter.end()
        self.assertIn("not removed: another file has its name now", p.text())
        there.wait_state("running")
        self.assertEqual(read_file(first), parked)
        subprocess.run([built("cli/godwit"), "verify", "--quiet", first], check=True)
        # Nor is it marked as sent.
        self.assertNotIn("user.godwit.sent", os.listxattr(first))


if __name__ == "__main__":
    unittest.main()
