# SPDX-License-Identifier: MIT
"""The basis of the tests against real peers: processes with logs and deadlines, QMP, qtest, comparison of RAM.

A test derives from Case. Everything it starts is ended after it, whatever the result; if it failed, the logs are
printed.

    GODWIT_BUILD   the build directory whose programs are tested (default: build)
    GODWIT_PEERS   where scripts/peers put the QEMUs (default: build/peers)
    GODWIT_SLOW    factor for all deadlines (default 1; waiting.py)
    CI=true        a peer that is not there is a failure, not a skip
"""
import contextlib
import ctypes
import errno
import json
import os
import queue
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from memory import PAGE, differing_pages, map_shared, pattern, read_file, write_file  # noqa: F401  as the next ones
from places import exec_uri, wait_file
from qmp import Qmp, QmpClosed, QmpError, QmpGreeted  # noqa: F401
from qtest import Qtest  # noqa: F401  for those who import us
from waiting import DEADLINE_S, SLOW, wait_until  # also for those who import us

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build"))
PEERS = os.environ.get("GODWIT_PEERS") or os.path.join(TOP, "build", "peers")
SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:")
UUID = "0e9bd4a1-1111-4222-8333-abcdef012345"


def peer(version):
    """The QEMU of this version; skips the test, or in CI fails it, when there is none."""
    return fetched(os.path.join(PEERS, version, "run"), "QEMU " + version)


def kernel():
    """The Linux kernel for guests; skips or fails as peer() does."""
    return fetched(os.path.join(PEERS, "linux", "vmlinuz"), "Linux kernel")


def fetched(path, what):
    if os.path.exists(path):
        return path
    text = "peer: no %s in %s (scripts/peers fetches it)" % (what, PEERS)
    if os.environ.get("CI") == "true":
        raise AssertionError(text)
    raise unittest.SkipTest(text)


def built(name):
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise AssertionError("%s is not built" % path)
    return path


def with_machine():
    """The command; skips the test where it was built without the machine in the box (-Dmachine)."""
    exe = built("cli/godwit")
    said = subprocess.run([exe, "vm", "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
    if "no built-in test machine" in said:
        raise unittest.SkipTest(said.strip())
    return exe


def with_faults():
    """Skips the test where another user than root may not answer the page faults of kernel code, as a destination of postcopy does."""
    fd = ctypes.CDLL(None, use_errno=True).syscall(323 if os.uname().machine == "x86_64" else 282, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd >= 0:
        os.close(fd)
    elif os.geteuid() and ctypes.get_errno() == errno.EPERM:
        raise unittest.SkipTest("userfaultfd: not for this user")


def with_locked_memory(size):
    """Skips the test where this user may not lock as much memory as QEMU does for zero-copy-send."""
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if os.geteuid() and 0 <= limit < size:
        raise unittest.SkipTest("this user may lock %d bytes only (ulimit -l)" % limit)


def not_this_user(text):
    """Skips the test if it was refused something that needs root or a raised limit: userfaultfd, locked memory."""
    for what in ("userfaultfd: Operation not permitted", "this process may lock", "Postcopy is not supported",
                 "not supported by host kernel"):
        if os.geteuid() and what in text:
            raise unittest.SkipTest("not for this user: " + text.strip()[-300:])


# ---- QEMU ----------------------------------------------------------------------------------------------------------

class Qemu:
    """A QEMU process of one version. Machine `none` with one block of RAM `r` in a shared file, unless told otherwise;
    block=None: RAM as QEMU makes it when nothing is said. program: of a version that has several."""

    def __init__(self, case, version, role, memory=16 << 20, machine="none", ram=None, incoming=None, capabilities=(),
                 parameters=None, properties=(), uuid=None, args=(), block="r", qtest=False, paused=False,
                 program=None):
        self.version, self.role = version, role
        self.folder = case.folder
        self.ram_path = ram or os.path.join(self.folder, role + ".ram")
        self.memory = memory
        self.log_path = os.path.join(self.folder, role + ".log")
        # A connection that exists before QEMU starts: QEMU may crash if a client connects during its start.
        ours, theirs = socket.socketpair()
        argv = [peer(version), *([program] if program else []), "-nodefaults", "-display", "none", "-m", "%dK" % (memory >> 10),
                "-M", machine + (",memory-backend=" + block if block else ""),
                "-chardev", "socket,id=qmp,fd=%d" % theirs.fileno(), "-mon", "chardev=qmp,mode=control"]
        if block:
            argv += ["-object", "memory-backend-file,id=%s,size=%d,mem-path=%s,share=on" % (block, memory, self.ram_path)]
            if not os.path.exists(self.ram_path):
                with open(self.ram_path, "wb") as f:
                    f.truncate(memory)
        if incoming is not None:
            argv += ["-incoming", "defer"]
        if uuid:
            argv += ["-uuid", uuid]
        if paused:
            argv += ["-S"]
        for name, value in properties:
            argv += ["-global", "migration.%s=%s" % (name, value)]
        self.qtest_path = None
        if qtest:
            self.qtest_path = os.path.join(self.folder, role + ".qtest")
            argv += ["-qtest-log", "none", "-qtest", "unix:%s,server=on,wait=off" % self.qtest_path]
        self.log = open(self.log_path, "w")
        self.argv = argv + list(args)
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True, pass_fds=[theirs.fileno()])
        theirs.close()
        case.processes.append(self)
        self.qmp = Qmp(self.alive, sock=ours)
        self.set_capabilities("events", *capabilities)
        parameters = dict({"max-bandwidth": 1 << 40}, **(parameters or {}))
        self.qmp.command("migrate-set-parameters", **parameters)
        if incoming:
            self.qmp.command("migrate-incoming", uri=incoming)

    def set_capabilities(self, *names):
        try:
            self.qmp.command("migrate-set-capabilities", capabilities=[{"capability": n, "state": True} for n in names])
        except QmpError as e:
            not_this_user(str(e))
            raise

    def alive(self):
        return self.process.poll() is None

    def status(self):
        return self.qmp.command("query-status")["status"]

    def migration(self):
        return self.qmp.command("query-migrate")

    def address(self):
        """Where an incoming tcp: really listens, as a URI."""
        a = self.migration()["socket-address"][0]
        return "tcp:%s:%s" % ("[%s]" % a["host"] if ":" in a["host"] else a["host"], a["port"])

    def migrate(self, uri):
        self.qmp.command("migrate", uri=uri)

    def wait(self, status="completed", seconds=DEADLINE_S):
        """Until the migration has this status; any other end is an error. The machine may change its state a moment later:
        wait_state()."""
        def done():
            ended = not self.alive()  # before the look at what it said
            if self.qmp.seen("MIGRATION", status=status):
                return True
            for bad in ("failed", "cancelled", "completed"):
                if bad != status and self.qmp.seen("MIGRATION", status=bad):
                    try:
                        why = self.migration().get("error-desc", "")
                    except QmpClosed:
                        self.wait_exit()
                        why = self.text()
                    raise AssertionError("%s: %s instead of %s: %s" % (self.role, bad, status, why))
            if ended:
                raise AssertionError("%s ended: %s" % (self.role, self.text()))
            return False
        wait_until("%s: %s" % (self.role, status), done, seconds)

    def wait_sent(self, unless=lambda: False):
        """Waits until the other side has some of its memory: more was sent than a Unix socket buffers."""
        wait_until("%s: some of its memory is sent" % self.role,
                   lambda: self.migration().get("ram", {}).get("transferred", 0) > 3 << 17 or unless())

    def wait_state(self, state):
        """QEMU reports the end of a migration before its machine runs on or is in postmigrate."""
        wait_until("%s: %s" % (self.role, state), lambda: self.status() == state)

    def wait_text(self, *words):
        """It prints the load error after it has closed the connection."""
        wait_until("%s says %s" % (self.role, words), lambda: all(w in self.text() for w in words))

    def migrate_to(self, path):
        """Its stream as a whole file."""
        self.migrate(exec_uri(path, False))
        self.wait()
        wait_file(path)

    def wait_exit(self, seconds=DEADLINE_S):
        wait_until("%s ends" % self.role, lambda: not self.alive(), seconds)
        return self.process.returncode

    def ram(self):
        return read_file(self.ram_path)

    def saved_ram(self):
        """RAM as the machine sees it, read by pmemsave."""
        path = os.path.join(self.folder, self.role + ".pmem")
        self.qmp.command("pmemsave", val=0, size=self.memory, filename=path)
        return read_file(path)

    def text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def close(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.qmp_close()
        self.log.close()

    def qmp_close(self):
        if hasattr(self, "qmp"):
            self.qmp.sock.close()


# ---- godwit's own programs -----------------------------------------------------------------------------------------

class Program:
    """A program of godwit that prints one JSON object per line. Its events are collected by a thread."""

    def __init__(self, case, role, argv, env=None):
        self.role, self.argv = role, argv
        self.log_path = os.path.join(case.folder, role + ".log")
        self.log = open(self.log_path, "w")
        self.events, self.new = [], queue.Queue()
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        start_new_session=True, env=dict(os.environ, **(env or {})))
        case.processes.append(self)
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        for line in self.process.stdout:
            self.log.write(line.decode("utf-8", "replace"))
            self.log.flush()
            try:
                self.new.put(json.loads(line))
            except ValueError:
                self.new.put({"event": "noise", "text": line.decode("utf-8", "replace")})
        self.new.put(None)

    def alive(self):
        return self.process.poll() is None

    def tell(self, word):
        """The program may have ended before, and then does not read this; waiting for an answer detects that."""
        try:
            self.process.stdin.write(word.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def seen(self, event, **data):
        while not self.new.empty():
            e = self.new.get()
            if e is not None:
                self.events.append(e)
        for e in self.events:
            if e.get("event") == event and all(e.get(k) == v for k, v in data.items()):
                return e
        return None

    def wait_event(self, event, seconds=DEADLINE_S, **data):
        """The first such event; an error at the deadline or when the program ends without it."""
        def done():
            ended = not self.alive() and not self.thread.is_alive()
            found = self.seen(event, **data)
            if not found and ended:
                raise AssertionError("%s ended without %s %s: %s" % (self.role, event, data, self.text()[-2000:]))
            return found
        return wait_until("%s: %s %s" % (self.role, event, data), done, seconds)

    def settle(self, passes=4):
        """After some passes with writes the source may stop the machine for any time: the time depends on the host."""
        wait_until("%s: pass %d" % (self.role, passes),
                   lambda: self.seen("pass", **{"pass": str(passes)}) or self.seen("end") or not self.alive())
        self.tell("max-bandwidth=%d" % (1 << 40))
        self.tell("downtime-limit=1000000")

    def ask(self, word, event):
        """Sends a command and waits for a new event in answer to it."""
        self.seen(event)
        self.events = [e for e in self.events if e.get("event") != event]
        self.tell(word)
        return self.wait_event(event)

    def statuses(self):
        self.seen("")
        return [e["status"] for e in self.events if e.get("event") == "status"]

    def wait_exit(self, seconds=DEADLINE_S):
        wait_until("%s ends" % self.role, lambda: not self.alive(), seconds)
        self.thread.join(DEADLINE_S)  # what it said last
        self.seen("")
        return self.process.returncode

    def text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def close(self):
        try:
            self.process.stdin.close()
            if self.alive() and (self.seen("end") or self.seen("refused")):
                self.process.wait(DEADLINE_S * SLOW)  # the end of its input lets it go by itself, leak check and all
        except (OSError, subprocess.TimeoutExpired):
            pass
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.thread.join(5)
        if not self.thread.is_alive():  # a child of its own may still have the pipe
            self.process.stdout.close()
            self.log.close()


class NoneVm(Program):
    """Machine `none` in tests/interop/none_vm.c. ram: initial contents of its first block."""

    def __init__(self, case, role, mode, uri, memory=16 << 20, block="r", ram=None, machine=None, peer=None,
                 capabilities=(), parameters=None, uuid=None, rate=0, working_set=None, paused=False, stay=False,
                 tracker=None, timeout_ms=None, hello_ms=None, blocks=(), file=None, behind=0, without=None, disks=(), images=()):
        self.dump_path = os.path.join(case.folder, role + ".dump")
        argv = [built("tests/interop/none_vm"), "--dump", self.dump_path]
        argv += ["--memory", "%dK,name=%s,behind=%d%s" % (memory >> 10, block, behind, ",file=" + file if file else "")]
        for name, size in blocks:
            argv += ["--memory", "%dK,name=%s" % (size >> 10, name)]
        for name, path in images:
            argv += ["--image", "%s=%s" % (name, path)]
        if ram is not None:
            argv += ["--load", write_file(os.path.join(case.folder, role + ".load"), ram)]
        for flag, value in (("--machine", machine), ("--peer", peer), ("--uuid", uuid), ("--tracker", tracker),
                            ("--rate", rate or None), ("--set", working_set), ("--timeout-ms", timeout_ms), ("--hello-ms", hello_ms),
                            ("--without", without)):
            if value is not None:
                argv += [flag, str(value)]
        for name in capabilities:
            argv += ["--capability", name]
        for name, value in (parameters or {}).items():
            argv += ["--parameter", "%s=%s" % (name, value)]
        for option, text in disks:  # as in none_vm_disks.c
            argv += ["--" + option, text]
        argv += (["--paused"] if paused else []) + (["--stay"] if stay else []) + [mode, uri]
        super().__init__(case, role, argv)

    def address(self):
        return self.wait_event("listening")["address"]

    def end(self, seconds=DEADLINE_S):
        try:
            return self.wait_event("end", seconds)
        except AssertionError:
            not_this_user((self.seen("refused") or {}).get("text", ""))
            raise

    def ended(self):
        return self.seen("end") is not None

    def ram(self):
        """The first block as it was when the program ended."""
        if self.alive():
            self.tell("quit")
        self.wait_exit()
        return read_file(self.dump_path)


# ---- the test case -------------------------------------------------------------------------------------------------

def make_folder():
    """Short, as paths of Unix sockets hold 107 bytes, and without characters that are special in a shell or in QEMU's
    options."""
    usual = tempfile.gettempdir()
    return tempfile.mkdtemp(prefix="godwit-", dir=usual if re.fullmatch(r"[\w./+-]{1,40}", usual) else "/tmp")


class Case(unittest.TestCase):
    """A folder and processes of its own for each test."""

    def run(self, result=None):
        self.folder = make_folder()
        self.processes = []
        bad = len(result.failures) + len(result.errors)
        self.addCleanup(self.close_all)
        try:
            return super().run(result)
        finally:
            if len(result.failures) + len(result.errors) > bad:
                self.show_processes()
            shutil.rmtree(self.folder, ignore_errors=True)

    def show_processes(self):
        for p in self.processes:
            print("---- %s: %s\n%s" % (p.role, " ".join(p.argv), p.text().rstrip()))

    def close_all(self):
        wrong = []
        for p in self.processes:
            try:
                p.close()
            except Exception as e:  # the others have to go as well
                wrong.append(e)
        if wrong:
            raise wrong[0]
        for p in self.processes:
            if isinstance(p, Program) and SANITIZER.search(p.text()):
                raise AssertionError("a sanitizer spoke up in " + p.role)

    def path(self, name):
        return os.path.join(self.folder, name)

    def qemu(self, version, role, **options):
        return Qemu(self, version, role, **options)

    def none_vm(self, role, mode, uri, **options):
        return NoneVm(self, role, mode, uri, **options)

    @contextlib.contextmanager
    def failing_as(self, what):
        """A failure in here names the case and ends the test, unlike a failed subTest()."""
        try:
            yield
        except AssertionError as e:
            self.show_processes()  # the next one of its kind takes their place
            raise AssertionError("%s: %s" % (what, e)) from e

    def assert_same_ram(self, got, expected, text=""):
        pages = differing_pages(got, expected)
        if pages:
            o = pages[0] * PAGE
            self.fail("%s%d pages differ, first %d: %s... instead of %s..." % (
                text and text + ": ", len(pages), pages[0], got[o:o + 16].hex(), expected[o:o + 16].hex()))

    def assert_ok(self, end):
        self.assertTrue(end["ok"], "%s (blame %s)" % (end["error"], end["blame"]))
