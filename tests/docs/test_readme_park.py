# SPDX-License-Identifier: MIT
"""The README's section for those who run QEMU, followed word for word with a real QEMU."""
import os
import re
import struct
import subprocess
import sys
import time
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, Case, built, peer, wait_until, write_file  # noqa: E402
from places import free_port, listens  # noqa: E402


def section(title):
    with open(os.path.join(TOP, "README.md")) as f:
        return f.read().split("## %s\n" % title)[1].split("\n## ")[0]


def commands(text):
    """The indented lines; one that ends in a backslash goes on in the next."""
    joined = re.sub(r" \\\n +", " ", text)
    return re.findall(r"^    (\S.*)$", joined, re.M)


class Shell:
    """One background command; Case closes it."""

    def __init__(self, case, number, command, environment):
        self.role, self.argv = "command %d" % number, [command]
        self.log = open(case.path("log%d" % number), "w+b")
        self.process = subprocess.Popen(["/bin/sh", "-c", "exec " + command], env=environment, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, cwd=case.folder)
        case.processes.append(self)

    def text(self):
        with open(self.log.name, errors="replace") as f:
            return f.read()

    def waits(self):
        """Whether it has nothing to do for a while. Who types is late enough; a program that connects to a QEMU that is
        still starting may find it deaf (harness.py)."""
        idle = 0
        for _ in range(20):
            with open("/proc/%d/stat" % self.process.pid) as f:
                idle += f.read().rsplit(")", 1)[1].split()[0] == "S"
            time.sleep(0.01)
        return idle > 15

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


class Park(Case):
    """Word for word, save that /tmp is a folder of its own and the programs are those that are tested."""

    def programs(self, version):
        """A folder for PATH with QEMU and us in it."""
        run = peer(version)
        tools = self.path("bin")
        os.mkdir(tools)
        for name, text in (("qemu-system-x86_64", 'exec %s "$@"' % run),
                           ("qemu-img", 'exec %s qemu-img "$@"' % (run + "-tool"))):
            os.chmod(write_file(os.path.join(tools, name), ("#!/bin/sh\n%s\n" % text).encode()), 0o755)
        os.symlink(built("cli/godwit"), os.path.join(tools, "godwit"))
        return dict(os.environ, PATH=tools + ":" + os.environ["PATH"])

    def appears(self, command, process):
        """A background command listens at the sockets that are named in it."""
        for uri in re.findall(r"unix:[^\s,]+", command):
            def there(uri=uri):
                if process.process.poll() is not None:
                    raise AssertionError("%s\nended: %s" % (command, process.text()))
                return listens(uri)
            wait_until("%s, of: %s" % (uri, command), there)
        if command.startswith("qemu-system"):
            wait_until("it waits in its main loop, of: " + command, process.waits)

    def follow(self, version):
        environment, said, background = self.programs(version), {}, []
        todo = commands(section("Park a running QEMU guest").split("### With libvirt")[0])
        self.assertGreaterEqual(len(todo), 7)
        for number, command in enumerate(c.replace("/tmp/", self.folder + "/") for c in todo):
            if command.endswith("&"):
                background.append(Shell(self, number, command[:-1], environment))
                self.appears(command, background[-1])
                continue
            r = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=DEADLINE_S * SLOW,
                               stdin=subprocess.DEVNULL, cwd=self.folder)
            self.assertEqual(r.returncode, 0, "%s\n%s%s" % (command, r.stdout, r.stderr))
            said[command.replace(self.folder + "/", "")] = r.stdout + r.stderr
        end = time.monotonic() + DEADLINE_S * SLOW
        for p in background:  # `quit` ends each QEMU, and receive ends by itself
            self.assertEqual(p.process.wait(max(1, end - time.monotonic())), 0, p.text())
        return said

    def test_with_qemu(self):
        said = self.follow("10.0")
        text = "\n".join(said.values())
        self.assertIn("completed", text)
        self.assertIn("q35", text)
        status = [v for k, v in said.items() if k.endswith("status")]
        self.assertIn("running", status[-1])

    VIRSH = """#!/usr/bin/env python3
import json, os, socket, sys
what, arguments = sys.argv[1], sys.argv[2:]
if what == "dumpxml":
    print("<domain type='qemu'><name>DOMAIN</name></domain>")
elif what in ("qemu-monitor-command", "destroy"):
    s = socket.socket(socket.AF_UNIX)
    s.connect(os.environ["DOMAIN_QMP"])
    f = s.makefile("rw")
    def qmp(name, **given):
        f.write(json.dumps({"execute": name, "arguments": given}) + "\\n")
        f.flush()
        while True:
            answer = json.loads(f.readline())
            if "error" in answer:
                sys.exit(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]
    f.readline()
    qmp("qmp_capabilities")
    if what == "destroy":
        qmp("quit")
    else:
        assert arguments[:2] == ["DOMAIN", "--hmp"], arguments
        sys.stdout.write(qmp("human-monitor-command", **{"command-line": arguments[2]}))
elif what != "restore":
    sys.exit("virsh: " + what)
"""

    def test_with_libvirt(self):
        """There is no libvirt here: a `virsh` of ours passes the commands on to a QEMU, and at the end that QEMU gets the
        stream which is in the image. That libvirt itself takes such images was tried by hand."""
        environment = self.programs("10.0")
        os.chmod(write_file(self.path("bin/virsh"), self.VIRSH.encode()), 0o755)
        domain = self.qemu("10.0", "domain", machine="pc-q35-7.2", block=None, memory=64 << 20,
                           args=["-qmp", "unix:%s,server=on,wait=off" % self.path("domain.qmp")])
        todo = commands(section("Park a running QEMU guest").split("### With libvirt")[1])
        self.assertGreaterEqual(len(todo), 8)
        # In one shell, for `wait`; receive has to be there first.
        port = free_port()
        script = "\n".join(todo).replace("/tmp/", self.folder + "/").replace(":4444", ":%d" % port)
        wait = "until grep -q '^ *[0-9]*: [0-9A-F]*:%04X [0-9A-F:]* 0A ' /proc/net/tcp; do kill -0 $!; sleep 0.02; done" % port
        script = "set -e\n" + script.replace(" &\n", " &\n%s\n" % wait)
        r = subprocess.run(["/bin/sh", "-c", script], env=dict(environment, DOMAIN_QMP=self.path("domain.qmp")),
                           stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW, cwd=self.folder)
        self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        self.assertEqual(domain.process.wait(DEADLINE_S * SLOW), 0)
        with open(self.path("domain.save"), "rb") as f:
            image = f.read()
        self.assertEqual(image[:16], b"LibvirtQemudSave")
        self.assertIn(b"<name>DOMAIN</name>", image[92:1000])
        write_file(self.path("stream"), image[92 + struct.unpack_from("=I", image, 20)[0]:])
        again = self.qemu("10.0", "again", machine="pc-q35-7.2", block=None, memory=64 << 20,
                          incoming="file:" + self.path("stream"))
        again.wait()


if __name__ == "__main__":
    unittest.main()
