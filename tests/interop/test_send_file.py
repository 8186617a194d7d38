# SPDX-License-Identifier: MIT
# builds: plain asan
"""`godwit send FILE file:PATH`: never destroys an existing file, in particular not FILE."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import DEADLINE_S, SLOW, TOP, Case, built, read_file, write_file  # noqa: E402

CAPTURE = os.path.join(TOP, "tests", "golden", "captures", "precopy-none-10.0.bin")


class Files(Case):
    def setUp(self):
        os.mkdir(self.path("d"))
        self.guest = self.out("guest")
        self.godwit("convert", CAPTURE, self.guest, "--format", "parked")
        self.bytes = read_file(self.guest)

    def out(self, name):
        return os.path.join(self.path("d"), name)

    def godwit(self, *argv, status=0, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        r = subprocess.run([built("cli/godwit"), *argv], capture_output=True, text=True, timeout=DEADLINE_S * SLOW, **options)
        self.assertNotIn("Sanitizer", r.stderr)
        self.assertEqual(r.returncode, status, r.stderr)
        return r

    def refused(self, uri, why, *options, file=None, **more):
        r = self.godwit("send", file or self.guest, uri, *options, status=1, **more)
        self.assertEqual(r.stderr, "godwit send: %s: %s\n" % (uri, why))
        self.assertEqual(read_file(self.guest), self.bytes)

    def whole(self, path):
        self.godwit("diff", self.guest, path)
        self.assertEqual(read_file(self.guest), self.bytes)

    def test_not_over_itself(self):
        why = "this is the file to be sent"
        os.symlink("guest", self.out("soft"))
        os.link(self.guest, self.out("hard"))
        for name in ("guest", "soft", "hard"):
            for options in ((), ("--force",), ("--force", "--remove")):
                self.refused("file:" + self.out(name), why, *options)
        with open(self.guest, "rb") as f:
            self.refused("file:" + self.guest, why, "--force", file="-", stdin=f)
        with open(self.guest, "r+b") as f:
            self.refused("fd:%d" % f.fileno(), why, pass_fds=[f.fileno()])
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["guest", "hard", "soft"])

    def test_not_over_another(self):
        write_file(self.out("there"), b"mine")
        self.refused("file:" + self.out("there"), "File exists; --force replaces it")
        self.assertEqual(read_file(self.out("there")), b"mine")
        self.godwit("send", self.guest, "file:" + self.out("there"), "--force")
        self.whole(self.out("there"))
        self.assertEqual(os.stat(self.out("there")).st_mode & 0o777, 0o600)

    def test_a_new_one(self):
        self.godwit("send", self.guest, "file:" + self.out("new"))
        self.whole(self.out("new"))
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["guest", "new"])

    def test_offset(self):
        head = b"somebody's head " * 20000
        write_file(self.out("there"), head)
        self.refused("file:%s,offset=300000" % self.out("there"), "File exists; --force replaces it")
        self.godwit("send", self.guest, "file:%s,offset=300000" % self.out("there"), "--force")
        data = read_file(self.out("there"))
        self.assertEqual(data[:300000], head[:300000])
        self.whole(write_file(self.path("behind"), data[300000:]))
        self.godwit("send", self.guest, "file:%s,offset=8K" % self.out("new"))
        data = read_file(self.out("new"))
        self.assertEqual(data[:8192], bytes(8192))
        self.whole(write_file(self.path("behind"), data[8192:]))

    def test_nothing_is_left(self):
        """A disk that is full, a folder that is none."""
        write_file(self.out("there"), b"mine")
        script = 'ulimit -f 4; trap "" XFSZ; exec "$@"'
        for name, options in (("new", ()), ("there", ("--force",))):
            r = subprocess.run(["sh", "-c", script, "sh", built("cli/godwit"), "send", self.guest,
                                "file:" + self.out(name), *options], capture_output=True, text=True)
            self.assertEqual(r.returncode, 1, r.stderr)
            self.assertIn("File too large", r.stderr)
            self.assertIn("the machine is still here", r.stderr)
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["guest", "there"])
        self.assertEqual(read_file(self.out("there")), b"mine")
        r = self.godwit("send", self.guest, "file:" + self.path("none/x"), status=1)
        self.assertIn("No such file", r.stderr)

    def kept(self, uri, **options):
        r = self.godwit("send", self.guest, uri, "--remove", "--force", status=1, **options)
        self.assertEqual(r.stderr, "godwit send: %s: not removed: %s received all of it, but cannot confirm that the machine runs "
                         "there: check, and remove the file yourself\n" % (self.guest, uri))
        self.assertEqual(read_file(self.guest), self.bytes)

    def test_remove_needs_an_answer(self):
        self.kept("exec:cat >" + self.path("taken"))
        self.whole(self.path("taken"))
        self.kept("file:/dev/null")
        r, w = os.pipe()
        with subprocess.Popen(["cat"], stdin=r, stdout=subprocess.PIPE) as cat:
            os.close(r)
            self.kept("fd:%d" % w, pass_fds=[w])
            os.close(w)
            self.whole(write_file(self.path("taken"), cat.stdout.read()))

    def test_remove_after_a_file(self):
        write_file(self.path("copy"), self.bytes)
        self.godwit("send", self.guest, "file:" + self.out("there"), "--remove")
        self.assertEqual(os.listdir(self.path("d")), ["there"])
        self.godwit("diff", self.path("copy"), self.out("there"))
        with open(self.path("other"), "wb") as f:
            self.godwit("send", self.out("there"), "fd:%d" % f.fileno(), "--remove", pass_fds=[f.fileno()])
        self.assertEqual(os.listdir(self.path("d")), [])
        self.godwit("diff", self.path("copy"), self.path("other"))

    def test_remove_that_fails(self):
        if os.geteuid() == 0:
            if subprocess.run(["mount", "--bind", self.guest, self.guest], capture_output=True).returncode:
                self.skipTest("a file that cannot be removed cannot be made here")
        else:
            os.chmod(self.path("d"), 0o500)
        try:
            r = self.godwit("send", self.guest, "file:" + self.path("there"), "--remove", status=1)
            self.assertIn("not removed: ", r.stderr)
            self.assertIn("do not start it a second time", r.stdout)
        finally:
            os.chmod(self.path("d"), 0o700)
            subprocess.run(["umount", self.guest], capture_output=True)

    def test_what_is_no_file(self):
        self.godwit("send", self.guest, "file:/dev/null")
        os.mkfifo(self.path("fifo"))
        # A send that gives up must not leave a process waiting for a writer.
        with subprocess.Popen(["cat", self.path("fifo")], stdout=subprocess.PIPE) as cat:
            for _ in range(100):
                r = subprocess.run([built("cli/godwit"), "send", self.guest, "file:" + self.path("fifo"), "--force"],
                                   capture_output=True, text=True)
                if "no process reads" not in r.stderr:
                    break
            if r.returncode:
                cat.kill()
            self.assertEqual(r.returncode, 0, r.stderr)
            self.whole(write_file(self.path("through"), cat.stdout.read()))

    # ---- one machine, one guest

    def test_once(self):
        """A machine that was sent is not sent again by mistake, even if its file was renamed; a send to a file does not
        count."""
        uri = "exec:cat >" + self.path("taken")
        self.godwit("send", self.guest, "file:" + self.path("one"))
        self.godwit("send", self.guest, uri)
        os.rename(self.guest, self.out("renamed"))
        for where in uri, "tcp:127.0.0.1:1":
            r = self.godwit("send", self.out("renamed"), where, status=1)
            self.assertIn("this machine was sent to %s at 2" % uri, r.stderr)
            self.assertIn("--force", r.stderr)
        self.godwit("send", self.out("renamed"), "file:" + self.path("two"))
        self.godwit("send", self.out("renamed"), uri, "--force")

    def test_not_after_a_failure(self):
        """It is here, and can be sent."""
        r = self.godwit("send", self.guest, "exec:exit 3", status=1)
        self.assertIn("the machine is still here", r.stderr)
        self.godwit("send", self.guest, "exec:cat >" + self.path("taken"))

    def holding(self):
        """A send that is under way until `go on` is written to what is returned."""
        os.mkfifo(self.path("gate"))
        p = subprocess.Popen([built("cli/godwit"), "send", self.guest, "exec:cat %s >/dev/null; cat >%s" % (
            self.path("gate"), self.path("taken")), "--remove"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p, open(self.path("gate"), "w")  # waits for the reader

    def end(self, p, gate):
        gate.close()
        return p.communicate(timeout=DEADLINE_S * SLOW)

    def test_one_at_a_time(self):
        p, gate = self.holding()
        r = self.godwit("send", self.guest, "exec:cat >/dev/null", status=1)
        self.assertIn("another process is sending this machine", r.stderr)
        self.end(p, gate)

    # ---- --remove, and other files

    def test_removes_what_a_link_leads_to(self):
        os.symlink("guest", self.out("link"))
        self.godwit("send", self.out("link"), "file:" + self.path("there"), "--remove")
        self.assertEqual(os.listdir(self.path("d")), ["link"])


if __name__ == "__main__":
    unittest.main()
