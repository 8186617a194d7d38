# SPDX-License-Identifier: MIT
"""Programs that were compiled earlier still run with this library: nothing of src/libgodwit.abi is gone or changed."""
import os
import shutil
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "tools"))
import abi  # noqa: E402

FUNCTION = "function gw_send_wait: int (struct gw_send *, struct gw_error *)"
MEMBER = "struct gw_send_config: peer at 16: const char *"
SIZE = "struct gw_error: 520 bytes, never more"
CONSTANT = "enum gw_owner: GW_OWNER_SOURCE = 0"


class Abi(unittest.TestCase):
    def test_nothing_recorded_is_gone_or_changed(self):
        if not shutil.which("gdb"):
            self.skipTest("no gdb (scripts/setup check installs it)")
        now = abi.lines_of(os.path.join(BUILD, "src", "libgodwit.so"))
        with open(abi.RECORDED) as f:
            recorded = f.read().splitlines()
        for line in (FUNCTION, MEMBER, SIZE, CONSTANT):  # each kind is there, in this form
            self.assertIn(line, recorded)
        wrong = abi.compare(now, recorded)
        self.assertFalse(wrong, "programs that are compiled would break (tools/abi.py says how to accept it):\n" + "\n".join(wrong))
        new = [abi.name_of(line) for line in now if line.startswith("function") and line not in recorded]
        self.assertFalse(new, "not recorded yet: tools/abi.py print %s > src/libgodwit.abi" % os.path.join(BUILD, "src/libgodwit.so"))

    def test_what_is_noticed(self):
        recorded = [FUNCTION, MEMBER, SIZE, CONSTANT]
        self.assertEqual(abi.compare(recorded, recorded), [])
        self.assertEqual(abi.compare(recorded + [MEMBER.replace("peer at 16", "more at 96")], recorded), [])  # it grew at its end
        for old, new in ((FUNCTION, FUNCTION.replace("int (", "void (")), (MEMBER, MEMBER.replace("16", "24")),
                         (SIZE, SIZE.replace("520", "528")), (CONSTANT, CONSTANT.replace("0", "1"))):
            now = [new if line == old else line for line in recorded]
            self.assertEqual(abi.compare(now, recorded), ["%s\n    is now: %s" % (old, new)])
            now.remove(new)
            self.assertEqual(abi.compare(now, recorded), [old + "\n    is gone"])


if __name__ == "__main__":
    unittest.main()
