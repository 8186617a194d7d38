# SPDX-License-Identifier: MIT
"""`godwit vm` processes and journeys between them. The guest checks itself: what it says is the verdict."""
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from harness import DEADLINE_S, SLOW, Case, Program, Qmp, QmpClosed, QmpError, built, wait_until, with_machine  # noqa: E402

WORKLOADS = ("idle", "uniform", "hotset", "sequential", "sparse", "zero", "disk")
BEAT = re.compile(r"^beat (\d+) up_ms (\d+) gap_us (\d+) .* errors (\d+)$", re.M)


class Box:
    """One `godwit vm`. incoming: the address where a machine is to arrive; True: at any free port."""

    def __init__(self, case, role, options=(), incoming=False):
        self.role, self.case = role, case
        self.serial, self.qmp_path = case.path(role + ".serial"), case.path(role + ".qmp")
        self.log = open(case.path(role + ".log"), "w+b")
        self.argv = [with_machine(), "vm", "--quiet", "--name", role, "--qmp", "unix:" + self.qmp_path, "--serial",
                     "file:" + self.serial, *options]
        if "--timeout" not in options:
            self.argv += ["--timeout", "3600"]
        if incoming:
            self.argv += ["--incoming", "tcp:127.0.0.1:0" if incoming is True else incoming]
        self.proc = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        case.processes.append(self)
        self.qmp = None
        self.qmp = Qmp(self.alive, self.qmp_path)

    def alive(self):
        return self.proc.poll() is None

    def text(self):
        said = b""
        for path in (self.log.name, self.serial):
            if os.path.exists(path):
                with open(path, "rb") as f:
                    said += f.read()[-2000:]
        return said.decode(errors="replace")

    def beats(self):
        """(number, uptime in ms, largest gap in us, errors) of each heartbeat."""
        if not os.path.exists(self.serial):
            return []
        with open(self.serial, errors="replace") as f:
            return [tuple(int(x) for x in b) for b in BEAT.findall(f.read())]

    def status(self):
        return self.qmp.command("query-status")["status"]

    def migration(self):
        return self.qmp.command("query-migrate")

    def address(self):
        at = wait_until("address", lambda: self.migration().get("socket-address"))
        return "unix:" + at[0]["path"] if at[0]["type"] == "unix" else "tcp:127.0.0.1:" + at[0]["port"]

    def ended(self):
        m = self.migration()
        return m if m.get("status") in ("completed", "failed", "cancelled") else None

    def quit(self):
        """The exit status, which is the guest's verdict."""
        try:
            self.qmp.command("quit")
        except QmpClosed:
            pass  # it has ended before it was told or before it could answer
        return self.proc.wait(DEADLINE_S * SLOW)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()
        if self.qmp:
            self.qmp.sock.close()
        self.log.close()


class Journey(Case):
    """Moves a machine again and again, with cancelled attempts in between, and watches the guest."""

    MEMORY = "64M"

    def disk(self, workload):
        if workload != "disk":
            return []
        path = self.path("disk.raw")
        if not os.path.exists(path):
            with open(path, "wb") as f:
                f.truncate(64 << 20)
        return ["--disk", path]

    def start(self, workload, accel="unicorn", more=()):
        self.options = ["--memory", self.MEMORY, "--accel", accel, *more, *self.disk(workload)]
        box = Box(self, "vm0", [*self.options, "--workload", workload + ("" if "," in workload else ",rate=20M") + ",seed=%d" % self.seed])
        wait_until("the first heartbeat", box.beats)
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        return box

    def attempt_cancelled(self, box, role):
        """A migration that is cancelled at a random moment. The machine stays, unless it was gone before."""
        to = Box(self, role, self.options, incoming=self.incoming(role))
        box.qmp.command("migrate", uri=self.goal(box, to))
        time.sleep(self.random.choice((0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)) * self.random.random())
        try:
            box.qmp.command("migrate_cancel")
        except QmpError:
            pass  # too late: it has changed hands
        info = wait_until("an end", box.ended)
        if info["status"] == "completed":
            return self.arrived(box, to)
        self.assertEqual(info["status"], "cancelled", info)
        self.assertEqual(box.status(), "running")
        self.cancelled += 1
        to.close()
        self.processes.remove(to)
        return box

    def arrived(self, box, to):
        wait_until("the machine runs there", lambda: to.status() == "running")
        self.assertNotEqual(box.status(), "running")
        self.assertEqual(box.quit(), 0, box.text())
        self.processes.remove(box)
        box.close()
        return to

    def incoming(self, role):
        """Where this machine arrives."""
        return True

    def goal(self, box, to):
        """Both sides are set up; the address."""
        return to.address()

    def migrate(self, box, to):
        """What became of it."""
        box.qmp.command("migrate", uri=self.goal(box, to))
        return wait_until("an end", box.ended)

    def move(self, box, role):
        to = Box(self, role, self.options, incoming=self.incoming(role))
        info = self.migrate(box, to)
        self.assertEqual(info["status"], "completed", "%s\n%s\n%s" % (info, box.text(), to.text()))
        self.downtimes.append(info["x-godwit"]["downtime-us"] if "downtime-us" in info.get("x-godwit", {})
                              else info["downtime"] * 1000)
        return self.arrived(box, to)

    def at_end(self, box):
        """Behind the last move, before the machine is told to end."""

    def journey(self, workload, moves, accel="unicorn", more=(), seed=None, cancel_every=4):
        self.seed = seed or random.randrange(1 << 30)
        self.random = random.Random(self.seed)
        self.cancelled, self.downtimes = 0, []
        began = time.monotonic()
        box = self.start(workload, accel, more)
        for i in range(moves):
            if cancel_every and i % cancel_every == cancel_every - 1:
                box = self.attempt_cancelled(box, "c%d" % i)
            box = self.move(box, "vm%d" % (i + 1))
        seen = len(box.beats())
        wait_until("a heartbeat after the last move", lambda: len(box.beats()) >= seen + 2)
        self.assertEqual(box.beats()[-1][3], 0)
        self.at_end(box)
        if box.alive():
            self.assertEqual(box.quit(), 0, box.text())
        d = sorted(self.downtimes)
        print("%s, %s, seed %d: %d moves, %d cancelled attempts, downtime median %.1f ms, 95%% %.1f ms, %.0f s" % (
            workload, accel, self.seed, moves, self.cancelled, d[len(d) // 2] / 1e3, d[int(len(d) * 0.95)] / 1e3,
            time.monotonic() - began))
