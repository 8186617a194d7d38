#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run one file of unittest tests and print each outcome the way cmocka does, so that check.py reads one form only.

    run_unittest.py FILE [-k PATTERN]...
"""
import argparse
import faulthandler
import importlib.util
import os
import sys
import time
import traceback
import unittest


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.said, self.lacking = False, []  # lacking: parts of the test (subTest) that were skipped, and why

    @staticmethod
    def name(test):
        return test.id().split(".", 1)[-1] if "." in test.id() else test.id()

    def say(self, outcome, test, text=""):
        if text:
            print(text.rstrip())
        print("[%9s ] %s" % (outcome, self.name(test)), flush=True)
        self.said = True

    def startTest(self, test):
        super().startTest(test)
        self.said, self.lacking = False, []
        self.began = time.monotonic()
        print("[ RUN      ] %s" % self.name(test), flush=True)

    def stopTest(self, test):
        super().stopTest(test)
        if not self.said and self.lacking:
            self.say("SKIPPED", test, "; ".join(self.lacking))
        if not self.said:  # all of its subtests failed or it did not say: never lost
            self.say("FAILED", test, "the test ended without an outcome")
        if time.monotonic() - self.began > 5:
            print("[   TIME   ] %.1f s" % (time.monotonic() - self.began))

    def addSuccess(self, test):
        self.say("OK", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if isinstance(test, unittest.case._SubTest):  # other subtests may still fail
            self.lacking.append("%s: %s" % (self.name(test), reason))
            return
        if not getattr(self, "began", None) or isinstance(test, unittest.suite._ErrorHolder):
            print("[ RUN      ] %s" % self.name(test))
        self.say("SKIPPED", test, reason)

    def fail(self, test, err):
        # A failed fixture of a class or module is outside any test: it counts as one.
        if not isinstance(test, unittest.TestCase):
            print("[ RUN      ] %s" % self.name(test))
        self.say("FAILED", test, "".join(traceback.format_exception(*err)))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fail(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.fail(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print("".join(traceback.format_exception(*err)).rstrip())
            if not self.said:
                self.said = True
                print("[  FAILED  ] %s" % self.name(test), flush=True)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.say("FAILED", test, "succeeded although it was expected to fail")


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("file")
    ap.add_argument("-k", action="append", default=[])
    args = ap.parse_args()
    faulthandler.enable()  # prints the stack of each thread when check.py ends us with SIGABRT
    path = os.path.abspath(args.file)
    sys.path.insert(0, os.path.dirname(path))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    loader = unittest.TestLoader()
    if args.k:
        loader.testNamePatterns = ["*%s*" % k for k in args.k]
    result = Result()
    loader.loadTestsFromModule(module).run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
