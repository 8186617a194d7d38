# SPDX-License-Identifier: MIT
"""Waiting for things, on a machine that may be slow, loaded, or not let run for a while.

A deadline only keeps a test from hanging: it is long, and nothing is made of it.
"""
import os
import time

SLOW = float(os.environ.get("GODWIT_SLOW", "1"))  # factor for all deadlines
DEADLINE_S = 240


def machine_words():
    """How busy this machine is, in words."""
    words = "load %.1f on %d processors" % (os.getloadavg()[0], len(os.sched_getaffinity(0)))
    try:
        with open("/proc/pressure/cpu") as f:
            words += ", CPU pressure " + f.readline().split()[1].split("=")[1] + "%"
    except (OSError, IndexError):
        pass
    return words


def wait_until(what, done, seconds=DEADLINE_S, step=0.01):
    """Polls done() and returns its first true value; AssertionError after the deadline."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = done()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s (%s)" % (seconds * SLOW, what, machine_words()))
        time.sleep(step)
