# SPDX-License-Identifier: MIT
"""Real Linux guests that check themselves move between real QEMUs. tests/soak/test_guests.py has the whole matrix."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guest import Guest  # noqa: E402
from harness import PAGE, Case, Qtest  # noqa: E402
from journey import BOOT_S, ROUND, TRANSPORTS, Journey  # noqa: E402
from versions import VERSIONS, circuit  # noqa: E402


class Harness(Case):
    """The precondition of the other tests: QEMU to QEMU, without godwit."""

    def test_a_guest_moves_between_all_versions(self):
        journey = Journey(self, "microvm", ROUND[-1])
        for version, transport in zip(ROUND, TRANSPORTS):
            journey.move(version, transport)
        print(journey.end())

    def test_a_wrong_word_is_noticed(self):
        """The guest's own check can fail: a word of its work area is overwritten from outside."""
        guest = Guest(self, "10.0", "guest", "microvm", area_mib=32, qtest=True)
        guest.wait_beats(2, BOOT_S)
        guest.qmp.command("stop")
        ram = guest.saved_ram()
        # One word again and again, no two of its bytes alike: only the work area has such pages.
        page = next(o for o in range(0, len(ram), PAGE)
                    if ram[o:o + PAGE] == ram[o:o + 8] * (PAGE // 8) and len(set(ram[o:o + 8])) == 8)
        qtest = Qtest(guest.qtest_path)
        self.addCleanup(qtest.close)
        qtest.write(page + 0x7F8, b"not this")
        guest.qmp.command("cont")
        with self.assertRaisesRegex(AssertionError, "WRONG address 0x[0-9a-f]*7f8 .* found 0x736968"):
            guest.wait_good()


class Park(Case):
    """QEMU -> receive -> file -> send -> QEMU. Every version comes after each, and every transport is taken into us and out
    of us."""

    def journey(self, machine, ways):
        journey = Journey(self, machine, ROUND[-1])
        for version, (to_us, from_us) in zip(ROUND, ways):
            journey.park_and_move(version, to_us, from_us)
        print(journey.end())

    def test_each_version_to_each(self):
        """One guest goes all sixteen ways between four versions, the longest of which are as far apart as 5.2 and 11.1."""
        ways = circuit(VERSIONS)
        journey = Journey(self, "pc-q35-5.2", ways[0])
        for version in ways[1:]:
            with self.failing_as("%s to %s" % (journey.guest.version, version)):
                journey.park_and_move(version, "unix", "tcp")
        print("\n".join(journey.log + [journey.end()]))

    def test_pc(self):
        self.journey("pc", zip(("unix", "exec", "file", "tcp"), ("tcp", "file", "unix", "exec")))

    def test_q35(self):
        self.journey("q35", zip(("tcp", "unix", "exec", "file"), ("unix", "exec", "tcp", "file")))

    def test_microvm(self):
        self.journey("microvm", zip(("file", "tcp", "unix", "exec"), ("exec", "tcp", "file", "unix")))

    def test_a_new_machine_that_waits_for_our_word(self):
        """With a return path its QEMU gives the guest up only when the file exists; and it says when it switches
        over."""
        for version in ("10.0", "11.1"):
            with self.subTest(version):
                journey = Journey(self, "pc-q35-" + version, version, capabilities=["return-path"])
                journey.park_and_move(version, "unix", "tcp")
                print(journey.end())
                journey.guest.close()

    def test_at_once(self):
        """It runs on before its memory has arrived, in every version: it requests the pages it needs."""
        journey = Journey(self, "microvm", ROUND[-1])
        for version in ROUND:
            journey.park_and_move(version, "unix", "unix", send=["--postcopy"], capabilities=["postcopy-ram"])
            # It leaves by precopy, as `receive` refuses a source that announces postcopy.
            journey.guest.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": False}])
        print("\n".join(journey.log + [journey.end()]))


if __name__ == "__main__":
    unittest.main()
