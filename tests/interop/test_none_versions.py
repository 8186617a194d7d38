# SPDX-License-Identifier: MIT
"""Machine `none` and the versions of QEMU that test_none_send.py and test_none_recv.py leave out: the same tests, in the
plain build only, since what a sanitizer looks for does not depend on the peer."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case  # noqa: E402
from test_none_recv import Receive, ReceiveNew  # noqa: E402
from test_none_send import Send, SendNew  # noqa: E402


class SendTo52(Send, Case):
    VERSION = "5.2"


class SendTo111(SendNew, Case):
    VERSION = "11.1"


class ReceiveFrom52(Receive, Case):
    VERSION = "5.2"


class ReceiveFrom111(ReceiveNew, Case):
    VERSION = "11.1"


if __name__ == "__main__":
    unittest.main()
