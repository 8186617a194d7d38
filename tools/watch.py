# SPDX-License-Identifier: MIT
"""Run a program until it ends by itself or is found to hang.

The time on the wall says little on a machine that is slow or busy, so three other things end a program:

* It hangs: for `silence_s` it printed nothing, used (nearly) no processor time, and no thread of it wanted a processor or
  waited for a disk. On the busiest machine a thread that has work to do is seen as runnable, and then the time does not count.
* It spins: it used `cpu_s` of processor time without printing anything.
* The last resort: `wall_s` have passed. While the machine is busy with other things this time passes more slowly.

Time in which this process itself was not let run does not count either. "It" is everything that was started: all processes
of its session, and those that have its mark in their environment.
"""
import glob
import os
import select
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
IDLE = 0.05  # of one processor: less is idle; a thread that polls a clock now and then uses as much
GRACE_S = 20  # for stack traces, after SIGABRT


class Limits:
    def __init__(self, silence_s, cpu_s, wall_s):
        self.silence_s, self.cpu_s, self.wall_s = silence_s, cpu_s, wall_s
        self.step_s = min(5.0, silence_s / 5, wall_s / 5)


class Busy:
    """What part of this machine a program could have had since the last look: 1 on an idle machine."""

    def __init__(self):
        self.then = self.ticks()

    @staticmethod
    def ticks():
        try:
            with open("/proc/stat") as f:
                return [int(x) for x in f.readline().split()[1:9]]
        except (OSError, ValueError):
            return []

    def share(self):
        now, then = self.ticks(), self.then
        self.then = now
        stolen = 0.0
        if len(now) == 8 and len(then) == 8 and sum(now) > sum(then):
            stolen = max(0.0, (now[7] - then[7]) / (sum(now) - sum(then)))
        return (1 - min(stolen, 0.95)) / max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:  # it has ended, or belongs to another user
        return b""


def fields(path):
    """Of a stat file from its third field on: a name may have any character in it."""
    return read(path).rpartition(b")")[2].split()


def members(leader, mark):
    """{pid: fields of stat} of all that the program consists of."""
    found = {}
    for folder in glob.glob("/proc/[0-9]*"):
        stat = fields(folder + "/stat")
        if len(stat) > 14 and (int(stat[3]) == leader or mark in read(folder + "/environ").split(b"\0")):
            found[int(os.path.basename(folder))] = stat
    return found


def threads(pids):
    """(state, words) of each thread."""
    for pid in pids:
        for folder in glob.glob("/proc/%d/task/*" % pid):
            stat = fields(folder + "/stat")
            if stat:
                yield stat[0].decode(), "%d/%s %s %s %s" % (
                    pid, os.path.basename(folder), read(folder + "/comm").decode("utf-8", "replace").strip(),
                    stat[0].decode(), read(folder + "/wchan").decode("utf-8", "replace"))


class Life:
    """Adds up the signs of life."""

    def __init__(self, limits):
        self.limits, self.busy = limits, Busy()
        self.idle_s = self.cpu_s = self.wall_s = 0.0
        self.last_cpu_s = 0.0

    def output(self):
        self.idle_s = self.cpu_s = 0.0

    def look(self, passed_s, processes):
        """So much time has passed. Why the program is to be ended, or None."""
        passed_s = min(passed_s, 2 * self.limits.step_s)
        cpu_s = sum(int(x) for stat in processes.values() for x in stat[11:15]) / TICKS
        used_s = max(0.0, cpu_s - self.last_cpu_s)  # the time of children that are not reaped is lost
        self.last_cpu_s = cpu_s
        self.cpu_s += used_s
        self.wall_s += passed_s * self.busy.share()
        if used_s > IDLE * passed_s:
            self.idle_s = 0.0
        elif not any(state in "RD" for state, _ in threads(processes)):
            self.idle_s += passed_s
        if self.idle_s >= self.limits.silence_s:
            return "no sign of life for %.0f s" % self.idle_s
        if self.cpu_s >= self.limits.cpu_s:
            return "nothing printed while it used %.0f s of processor time" % self.cpu_s
        if self.wall_s >= self.limits.wall_s:
            return "not done after %.0f s" % self.wall_s
        return None


def watch(proc, mark, limits):
    """Waits for the end of a process with stdout=PIPE that leads a session. Returns (output, why it was ended or None)."""
    fd, life, parts = proc.stdout.fileno(), Life(limits), []
    poll = select.poll()
    poll.register(fd, select.POLLIN)

    def take(seconds):
        """What comes within this time; False when there is no more."""
        if not poll.poll(max(0, seconds) * 1000):
            return True
        part = os.read(fd, 1 << 16)
        parts.append(part)
        life.output()
        return bool(part)

    last = time.monotonic()
    while take(last + limits.step_s - time.monotonic()):
        now = time.monotonic()
        if now - last < limits.step_s:
            continue
        found = members(proc.pid, mark)
        why = life.look(now - last, found)
        last = now
        if not why:
            continue
        where = "\n".join("  " + words for _, words in threads(found))
        end_group(proc, signal.SIGABRT)  # a sanitizer or a fault handler may still print the stack
        end = time.monotonic() + GRACE_S
        while time.monotonic() < end and take(end - time.monotonic()):
            pass
        finish(proc)
        parts.append(("\nended by check.py: %s; its threads, their states and what they waited for:\n%s\n" % (why, where)).encode())
        return b"".join(parts), why
    # Its output is closed. It has ended, is about to end, or hangs.
    pause_s, why = 0.001, None
    while not why and not os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, limits.step_s)
        now = time.monotonic()
        if now - last >= limits.step_s:
            why, last = life.look(now - last, members(proc.pid, mark)), now
    finish(proc)
    return b"".join(parts), why


def end_group(proc, number):
    try:
        os.killpg(proc.pid, number)
    except OSError:
        pass


def cpu_seconds(pid):
    """What it and the children that it has waited for have used."""
    stat = fields("/proc/%d/stat" % pid)
    return sum(int(x) for x in stat[11:15]) / TICKS if len(stat) > 14 else 0.0


def finish(proc):
    """Ends what is left of it. Before it is reaped: afterwards another program may have its number."""
    end_group(proc, signal.SIGKILL)
    os.waitid(os.P_PID, proc.pid, os.WEXITED | os.WNOWAIT)
    proc.cpu_seconds = cpu_seconds(proc.pid)
    proc.wait()
