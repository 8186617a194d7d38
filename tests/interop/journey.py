# SPDX-License-Identifier: MIT
"""Journeys of one Linux guest from QEMU to QEMU: directly, or through a file of ours. The same guest boots once.

    journey = Journey(self, "q35", "7.2")
    journey.move("10.0", "tcp")                        QEMU -> QEMU
    journey.park_and_move("7.2", "unix", "exec")       QEMU -> receive -> file -> send -> QEMU
    journey.end()                                      the clocks of the guest, over all of it

After each move all of the guest's memory has been checked by the guest before the next one begins. QEMU 7.2 under TCG
loses writes to pages that are written while a pass is slow (a fault that 10.0 does not have): the guests' kernel is told
to keep it from that (guest.py), and from 7.2 no limit is ever set to the bandwidth, so that its passes are few.
"""
import os
import re
import shlex

from guest import Guest
from harness import Program, built, wait_until
from places import exec_uri, file_uri, wait_file
from versions import says_switchover

TRANSPORTS = ("unix", "tcp", "exec", "file")
NEW_MACHINE = re.compile(r"-1\d\.\d+$")  # of 10.0 or newer
BOOT_S = 300  # some seconds, in an emulator on a machine that does nothing else
# Four moves of a guest that boots in the last of them: through every version, up and down.
ROUND = ("10.0", "7.2", "11.1", "5.2")


class Journey:
    def __init__(self, case, machine, version, **guest_options):
        self.case, self.machine, self.options = case, machine, guest_options
        self.legs, self.away_s = 0, 0.0
        self.guest = self.qemu(version, "0-" + version)
        self.guest.wait_beats(5, BOOT_S)
        self.first = punctual(self.guest.beats)
        self.log = []

    def qemu(self, version, role, **options):
        properties = []
        if says_switchover(version) and not NEW_MACHINE.search(self.machine):
            # Old machine types report a warning; microvm has no versions, and an old QEMU does not have the message.
            properties = [("send-switchover-start", "off")]
        return Guest(self.case, version, role, self.machine, properties=properties, **dict(self.options, **options))

    def path(self, name):
        return self.case.path("%d.%s" % (self.legs, name))

    def meeting_point(self, transport, name):
        return "tcp:127.0.0.1:0" if transport == "tcp" else "unix:" + self.path(name)

    # -- the two ways

    def move(self, version, transport):
        source = self.leave()
        if transport in ("unix", "tcp"):
            uri = self.meeting_point(transport, "direct")
            target = self.qemu(version, self.role(version), incoming=uri)
            source.migrate(target.address() if transport == "tcp" else uri)
            source.wait()
        else:
            path = self.path("stream")
            source.migrate(exec_uri(path, False) if transport == "exec" else file_uri(source.version, path, False))
            source.wait()
            wait_file(path)
            target = self.qemu(version, self.role(version), incoming=exec_uri(path, True) if transport == "exec" else
                               file_uri(version, path, True))
        self.arrive(source, target)

    def park_and_move(self, version, to_us, from_us, receive=(), send=(), **options):
        """receive, send: further arguments of our commands. options: of the QEMU that it moves to."""
        source = self.leave()
        parked = self.path("parked")
        self.park(source, parked, to_us, receive)
        target = self.qemu(version, self.role(version), incoming="", **options)  # to be told later
        self.unpark(target, parked, from_us, send)
        self.arrive(source, target)
        os.unlink(parked)

    # -- their halves

    def role(self, version):
        return "%d-%s" % (self.legs, version)

    def leave(self):
        self.legs += 1
        self.guest.qmp.poll()
        self.guest.qmp.events.clear()  # those of its arrival
        return self.guest

    def command(self, *argv):
        return Program(self.case, "%d-%s" % (self.legs, argv[0]), [built("cli/godwit"), *argv])

    def done(self, program):
        status = program.wait_exit()
        self.case.assertEqual(status, 0, "%s: exit status %d: %s" % (program.role, status, program.text()[-2000:]))

    def park(self, source, parked, transport, arguments=()):
        """The running guest of source into a file."""
        if transport == "exec":  # QEMU starts us
            source.migrate("exec:%s receive fd:0 --output %s %s" % (shlex.quote(built("cli/godwit")), parked, " ".join(arguments)))
            source.wait()
            wait_file(parked)
        elif transport == "file":
            stream = self.path("stream")
            source.migrate(file_uri(source.version, stream, False))
            source.wait()
            wait_file(stream)
            self.done(self.command("receive", "file:" + stream, "--output", parked, *arguments))
            os.unlink(stream)
        else:
            receive = self.command("receive", self.meeting_point(transport, "park"), "--output", parked, "--json", *arguments)
            source.migrate(receive.wait_event("listening")["uri"])
            source.wait()
            self.done(receive)

    def unpark(self, target, parked, transport, arguments=()):
        """A file into target, which waits to be told where."""
        if transport == "exec":  # QEMU starts us
            target.qmp.command("migrate-incoming", uri="exec:%s send %s fd:1 --quiet %s" % (
                shlex.quote(built("cli/godwit")), parked, " ".join(arguments)))
        elif transport == "file":
            stream = self.path("stream")
            self.done(self.command("send", parked, "file:" + stream, *arguments))
            target.qmp.command("migrate-incoming", uri=file_uri(target.version, stream, True))
        else:
            uri = self.meeting_point(transport, "unpark")
            target.qmp.command("migrate-incoming", uri=uri)
            self.done(self.command("send", parked, target.address() if transport == "tcp" else uri, *arguments))
        target.wait()

    def arrive(self, source, target):
        target.wait()
        before = source.hear()[-1]
        gone = wait_until("the source has stopped", lambda: source.qmp.seen("STOP"))
        there = wait_until("the target runs", lambda: target.qmp.seen("RESUME"))
        source.wait_state("postmigrate")
        after = target.wait_good()
        first = target.beats[0]
        away_s = seconds_of(there) - seconds_of(gone)
        self.away_s += away_s
        self.log.append("%s -> %s: away %.2f s, first beat %d after %d" % (
            source.version, target.version, away_s, first.number, before.number))
        # No heartbeat is lost or repeated: the guest ran on from where it was.
        self.case.assertEqual([b.number for b in target.beats], list(range(first.number, after.number + 1)))
        self.case.assertIn(first.number - before.number, (1, 2), self.log[-1])  # the last one may be incomplete
        self.case.assertEqual(target.status(), "running")
        source.close()
        self.guest = target

    def end(self):
        """The guest's uptime equals the elapsed time minus the time it was stopped. Returns a text about it."""
        self.guest.wait_beats(5)
        last = punctual(self.guest.beats[-5:])
        passed_s = last.seen_s - self.first.seen_s
        saw_s = (last.mono_us - self.first.mono_us) / 1e6
        words = "%s: %d moves, %.1f s passed, %.1f s away, the guest's clock went on by %.1f s" % (
            self.machine, self.legs, passed_s, self.away_s, saw_s)
        # A busy host starts a processor late.
        self.case.assertLess(abs(passed_s - self.away_s - saw_s), 0.5 + 0.1 * self.legs + 0.01 * passed_s, words)
        # In its own view it was never suspended. Between its two reads of the clock it may have to wait for its host.
        self.case.assertLess(min(abs(b.boot_us - b.mono_us) for b in self.guest.beats[-5:]), 1000)
        return words


def punctual(beats):
    """The heartbeat that was read with the least delay: delays of the guest, its host or the test only add."""
    return min(beats, key=lambda b: b.seen_s - b.mono_us / 1e6)


def seconds_of(event):
    return event["timestamp"]["seconds"] + event["timestamp"]["microseconds"] / 1e6
