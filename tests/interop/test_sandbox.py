# SPDX-License-Identifier: MIT
# builds: plain
"""The rights that commands give up after opening their files: calls refused in each of them, and --user."""
import glob
import gzip
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, Program, built, read_file, wait_until, write_file  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-pc-10.0.bin.gz")
USER = "nobody"
EPERM, EFAULT, ENOSYS = 1, 14, 38
# Numbers of x86-64 with arguments, and what they fail with; 0: they do not.
CALLS = {"getpid": ("39", 0), "socket": ("41,1,1,0", EPERM), "ptrace": ("101,16,1,0,0", EPERM), "setuid": ("105,0", EPERM),
         "userfaultfd": ("323,0", EPERM), "bpf": ("321,0,0,0", EPERM)}
# And those that only a process that starts no programs refuses.
STRICT = {"execve": ("59,0,0,0", EPERM), "fork": ("57", EPERM), "a process by clone": ("56,17,0,0,0,0", ENOSYS),
          "no call at all": ("1000", ENOSYS), "TIOCSTI": ("16,0,0x5412,0", ENOSYS), "mkdir": ("83,0,0", ENOSYS),
          "memory that can be executed": ("9,0,4096,5,0x22,-1,0", ENOSYS)}
PROGRAMS = {"execve": ("59,0,0,0", EFAULT), "no call at all": ("1000", ENOSYS), "mkdir": ("83,0,0", EFAULT)}


class Sandbox(Case):
    def godwit(self, *argv, **options):
        return subprocess.run([built("cli/godwit"), *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S * SLOW, **options)

    def parked(self):
        stream = write_file(self.path("stream"), gzip.decompress(read_file(CAPTURE)))
        r = self.godwit("convert", stream, self.path("guest"), "--format", "parked", "--sandbox", "on")
        self.assertEqual(r.returncode, 0, r.stderr)
        return self.path("guest")

    # ---- system calls

    def errors_at(self, function, calls, argv):
        """The results of the calls in a command that has reached this function, where it is confined."""
        script = ["set confirm off", "set pagination off", "set breakpoint pending on", "set debuginfod enabled off",
                  "break " + function, "run"]
        for name, (arguments, _) in calls.items():
            padded = ",".join((arguments.split(",") + ["0"] * 6)[:7])
            script += ["print ((long(*)(long,long,long,long,long,long,long))syscall)(%s)" % padded,
                       "print $ < 0 ? *((int*(*)(void))__errno_location)() : 0", 'printf "result %%s: %%d\\n", "%s", $' % name]
        command = ["gdb", "-nx", "-batch", *[x for line in script for x in ("-ex", line)], "--args", built("cli/godwit"), *argv]
        r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        found = dict((m[0], int(m[1])) for m in re.findall(r"^result (.+): (\d+)$", r.stdout, re.M))
        self.assertEqual(set(found), set(calls), r.stdout + r.stderr)
        return found

    @unittest.skipUnless(platform.machine() == "x86_64", "the numbers of the calls are x86-64's")
    @unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
    def test_refused(self):
        guest, out = self.parked(), self.path("out")
        schema = write_file(self.path("schema"), self.godwit("schema", "dump").stdout.encode())
        commands = (("gw_image_verify", STRICT, ["verify", guest]),
                    ("gw_image_diff", STRICT, ["diff", guest, guest]),
                    ("gw_ram_map_new", STRICT, ["map", guest]),
                    ("gw_extract_device", STRICT, ["extract", guest, "--device", "timer"]),
                    ("gw_image_write", STRICT, ["convert", guest, out, "--format", "stream"]),
                    ("gw_image_write", PROGRAMS, ["convert", guest, out, "--format", "stream", "--compress", "gzip"]),
                    ("gw_inspect_file", PROGRAMS, ["inspect", guest]),
                    ("gw_inspect_explain", PROGRAMS, ["schema", "explain", guest, guest]),
                    ("gw_schema_check", STRICT, ["schema", "check", schema, schema]),
                    ("gw_target_commit", STRICT, ["send", guest, "file:" + self.path("sent")]),
                    ("gw_transfer_turn", STRICT, ["receive", "unix:" + self.path("s1"), "-o", self.path("r1")]),
                    ("gw_transfer_turn", dict(STRICT, socket=(CALLS["socket"][0], 0)), ["serve", guest, "--listen", "unix:" + self.path("s3")]),
                    ("gw_transfer_turn", PROGRAMS, ["receive", "unix:" + self.path("s2"), "-o", self.path("r2"), "--format", "stream",
                                                    "--compress", "gzip"]))
        for function, more, argv in commands:
            calls = dict(CALLS, **more)
            with self.subTest(argv[:2]):
                found = self.errors_at(function, calls, argv + ["--sandbox", "on"])
                self.assertEqual(found, {name: error for name, (_, error) in calls.items()})
        off = self.errors_at("gw_image_verify", dict(CALLS, **STRICT), ["verify", guest, "--sandbox", "off"])
        self.assertEqual((off["socket"], off["execve"], off["memory that can be executed"]), (0, EFAULT, 0))

    def status_of(self, program):
        """Of each thread."""
        found = []
        for path in glob.glob("/proc/%d/task/*/status" % program.process.pid):
            try:
                text = read_file(path).decode()
            except OSError:
                continue  # it has ended
            found.append(dict(re.findall(r"^(\w+):[ \t]*(.*?)\s*$", text, re.M)))
        return found

    def receive(self, *options, folder=None, uri=None):
        folder = folder or self.path("out")
        os.makedirs(folder, exist_ok=True)
        rx = Program(self, "receive", [built("cli/godwit"), "receive", uri or "unix:" + self.path("in"), "--output",
                                       os.path.join(folder, "guest"), "--json", *options])
        rx.wait_event("listening")
        return rx

    def test_all_threads(self):
        rx = self.receive("--sandbox", "on")
        wait_until("it is confined", lambda: all(s["Seccomp"] == "2" for s in self.status_of(rx)))
        threads = self.status_of(rx)
        self.assertGreater(len(threads), 1) # the session's was there before the filter
        self.assertEqual([s["NoNewPrivs"] for s in threads], ["1"] * len(threads))
        limits = read_file("/proc/%d/limits" % rx.process.pid).decode()
        self.assertRegex(limits, r"Max core file size +0 +0 ")
        r = self.godwit("send", self.parked(), "unix:" + self.path("in"), "--sandbox", "on")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(rx.wait_exit(), 0, rx.text())

    def test_off(self):
        rx = self.receive("--sandbox", "off")
        self.assertEqual({(s["Seccomp"], s["NoNewPrivs"]) for s in self.status_of(rx)}, {("0", "0")})

    def test_a_command_is_not_confined(self):
        """What exec: starts may be what changes its user (sudo)."""
        r = self.godwit("send", self.parked(), "exec:cat /proc/self/status > %s; cat > /dev/null" % self.path("status"),
                        "--sandbox", "on")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertRegex(read_file(self.path("status")).decode(), r"NoNewPrivs:\s+0\n(.*\n)*Seccomp:\s+0\n")

    def test_wrong_words(self):
        for argv in (["verify", "x", "--sandbox", "maybe"], ["receive", "unix:x", "-o", "y", "--sandbox", ""]):
            self.assertEqual(self.godwit(*argv).returncode, 2)

    # ---- --user

    def made(self, name, mode=0o755, owner=None):
        path = self.path(name)
        os.chmod(self.folder, 0o755)
        os.mkdir(path)
        os.chmod(path, mode)
        if owner:
            os.chown(path, pwd.getpwnam(owner).pw_uid, -1)
        return path

    def root(self):
        if os.getuid() != 0:
            self.skipTest("only root can become another user")
        return pwd.getpwnam(USER)

    def test_user(self):
        """The socket is where only root may make one, the file and all else is the user's."""
        user, guest = self.root(), self.parked()
        private, own = self.made("private", 0o700), self.made("own", 0o700, USER)
        rx = self.receive("--user", USER, "--sandbox", "on", folder=own, uri="unix:" + os.path.join(private, "s"))
        wait_until("it is confined", lambda: all(s["Seccomp"] == "2" for s in self.status_of(rx)))
        for s in self.status_of(rx):
            self.assertEqual(set(s["Uid"].split()), {str(user.pw_uid)})
            self.assertEqual(set(s["Gid"].split()), {str(user.pw_gid)})
            self.assertEqual(set(s["Groups"].split()), {str(g) for g in os.getgrouplist(USER, user.pw_gid)})
            self.assertEqual(int(s["CapEff"], 16) | int(s["CapPrm"], 16), 0)
        source = shutil.copy(guest, os.path.join(own, "source"))
        os.chown(source, user.pw_uid, -1)
        r = self.godwit("send", source, "unix:" + os.path.join(private, "s"), "--user", USER, "--remove", "--sandbox", "on")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(rx.wait_exit(), 0, rx.text())
        self.assertEqual(os.listdir(own), ["guest"])
        self.assertEqual(os.stat(os.path.join(own, "guest")).st_uid, user.pw_uid)

    def test_what_the_user_may_not(self):
        """It is told before a guest comes or goes."""
        self.root()
        guest = self.parked()
        shut, sticky, own = self.made("shut"), self.made("sticky", 0o1777), self.made("own", 0o700, USER)
        theirs = write_file(os.path.join(sticky, "x"), b"theirs")
        at = "unix:" + self.path("nobody listens")
        mine = shutil.copy(guest, os.path.join(shut, "mine"))
        os.chown(mine, pwd.getpwnam(USER).pw_uid, -1)
        for words, argv in (
                ("cannot create a file", ["receive", at, "-o", os.path.join(shut, "x")]),
                ("sticky bit", ["receive", at, "-o", theirs, "--force"]),
                ("cannot be made", ["receive", at, "-o", os.path.join(own, "x"), "--ram-folder", shut]),
                ("could not be marked as sent", ["send", guest, at]),
                ("may not change this folder", ["send", mine, at, "--remove"]),
                ("cannot create a file", ["send", mine, "file:" + os.path.join(shut, "out")])):
            with self.subTest(argv):
                r = self.godwit(*argv, "--user", USER)
                self.assertEqual(r.returncode, 1, r.stdout)
                self.assertIn(words, r.stderr)
                self.assertNotIn("listening", r.stderr)
        self.assertIn("no such user", self.godwit("send", guest, at, "--user", "no such").stderr)
        self.assertIn("this is root", self.godwit("send", guest, at, "--user", "root").stderr)

    def test_a_command_of_the_user(self):
        user, guest = self.root(), self.parked()
        own = self.made("own", 0o700, USER)
        source = shutil.copy(guest, os.path.join(own, "source"))
        os.chown(source, user.pw_uid, -1)
        r = self.godwit("send", source, "exec:id -ur > %s; cat > /dev/null" % os.path.join(own, "id"), "--user", USER)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(read_file(os.path.join(own, "id")).decode(), "%d\n" % user.pw_uid)

    def test_only_root(self):
        if os.getuid() == 0:
            self.root()
            argv = ["setpriv", "--reuid", USER, "--clear-groups", built("cli/godwit")]
            os.chmod(self.folder, 0o755)
            if not shutil.which("setpriv"):
                self.skipTest("setpriv is not installed")
        else:
            argv = [built("cli/godwit")]
        os.chmod(self.parked(), 0o644)
        r = subprocess.run([*argv, "send", self.path("guest"), "unix:/x", "--user", USER], capture_output=True, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("only root can become another user", r.stderr)


if __name__ == "__main__":
    unittest.main()
