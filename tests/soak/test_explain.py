# SPDX-License-Identifier: MIT
"""`godwit schema explain` against real QEMUs: every machine of tests/interop/loading.py, fresh and after its firmware has
read a disk, from each version to each version.

    GODWIT_CASES   names of machines, with spaces between; all of them otherwise
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from harness import Case  # noqa: E402
from loading import CASES, NONE, Matrix  # noqa: E402
from versions import VERSIONS  # noqa: E402


class All(Case):
    pass


def compare(self, machine):
    matrix = Matrix(self)
    versions = [v for v in VERSIONS if machine.exists_in(v)]
    for m in [machine] if machine is NONE else [machine, machine.booted()]:
        for source in versions:
            for into in versions:
                matrix.pair(m, source, into)
    print("%s\n%s" % (machine.name, matrix.summary()), flush=True)


for c in list(CASES.values()) + [NONE]:
    if c.name in os.environ.get("GODWIT_CASES", c.name).split():
        setattr(All, "test_" + c.name, lambda self, c=c: compare(self, c))


if __name__ == "__main__":
    unittest.main()
