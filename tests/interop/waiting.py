# SPDX-License-Identifier: MIT
"""Waiting for things, on a machine that may be slow, loaded, or not let run for a while.

A deadline only keeps a test from hanging: it is long, and nothing is made of it. Where the time itself is what is tested,
within() adds however late this machine was meanwhile.
"""
import contextlib
import os
import threading
import time

SLOW = float(os.environ.get("GODWIT_SLOW", "1"))  # factor for all deadlines
DEADLINE_S = 120


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


class Lateness:
    """A thread that only sleeps: seconds is by how much it was woken too late, altogether."""

    STEP_S = 0.005

    def __init__(self):
        self.seconds, self.stop = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.measure, daemon=True)
        self.thread.start()

    def measure(self):
        while not self.stop.is_set():
            began = time.monotonic()
            time.sleep(self.STEP_S)
            self.seconds += max(0.0, time.monotonic() - began - self.STEP_S)

    def end(self):
        self.stop.set()
        self.thread.join()
        return self.seconds


@contextlib.contextmanager
def within(seconds, what):
    """What is done in here takes at most so long, and as much longer as the machine was late."""
    late, began = Lateness(), time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - began
        late_s = late.end()
    if took > seconds * SLOW + late_s:
        raise AssertionError("%s took %.2f s, allowed %g s and %.2f s for a busy machine (%s)" % (
            what, took, seconds * SLOW, late_s, machine_words()))
