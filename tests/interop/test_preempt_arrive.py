# SPDX-License-Identifier: MIT
# builds: plain asan tsan
"""QEMU -> godwit with a channel of its own for pages that are asked for (postcopy-preempt), in the old form (7.2, or asked for) and the
new one: all that is true of postcopy without it."""
import os
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import test_arrive_postcopy  # noqa: E402
from harness import wait_until  # noqa: E402
from test_receive_postcopy import switch  # noqa: E402
from versions import VERSIONS, at_least  # noqa: E402

HAVE_IT = tuple(v for v in VERSIONS if at_least(v, "7.2"))
BOTH = ("postcopy-ram", "postcopy-preempt")


class Preempt(test_arrive_postcopy.Arriving):
    CAPABILITIES, VERSIONS = BOTH, HAVE_IT


class Old(Preempt):
    """Newer ones in the form of 7.2."""
    VERSIONS = tuple(v for v in HAVE_IT if at_least(v, "8.0"))

    def source(self, version, **options):
        return super().source(version, properties=[("x-preempt-pre-7-2", "on")], **options)


if __name__ == "__main__":
    unittest.main()
