# SPDX-License-Identifier: MIT
"""Each command's table of options, as --help, the manual and the completions of shells have it; and what is said of a wrong
command line."""
import os
import pty
import re
import select
import shutil
import socket
import subprocess
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "tests", "interop"))
from harness import DEADLINE_S, SLOW, make_folder, with_machine  # noqa: E402

GODWIT = os.path.join(BUILD, "cli", "godwit")


def godwit(*argv):
    return subprocess.run([GODWIT, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)


def printed(*argv):
    r = godwit(*argv)
    assert r.returncode == 0 and not r.stderr, (argv, r)
    return r.stdout


class Option:
    def __init__(self, command, of, name, letter, value, choices, text):
        self.command, self.of, self.name, self.letter, self.value = command, of.split(), name, letter.strip(), value
        self.choices, self.help = choices.split(), text


class Tables:
    """All of them: options, and each command and subcommand as the words that name it, with what is said about it."""
    def __init__(self):
        self.options, self.commands = [], {}
        for line in printed("--completion", "table").splitlines():
            kind, *parts = line.split("\t")
            if kind == "option":
                self.options.append(Option(*parts))
            else:
                self.commands[tuple((parts[0] + " " + parts[1]).split())] = parts[3]

    def of(self, words):
        """The options of a command, or of a subcommand: "schema check" has its own table, "ctl migrate" a part of one."""
        own = [o for o in self.options if o.command == " ".join(words)]
        return own or [o for o in self.options if o.command == words[0] and (len(words) == 1 or not o.of or words[1] in o.of)]


class Table(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with_machine()
        cls.tables = Tables()

    def test_all_is_there(self):
        """A command that was not converted has options without a text, or says nothing about itself."""
        lacking = ["godwit %s %s has no help text" % (o.command, o.name) for o in self.tables.options if not o.help]
        lacking += ["godwit %s has nothing about it" % " ".join(c) for c, about in self.tables.commands.items() if not about]
        self.assertEqual(lacking, [])
        listed = re.findall(r"^  (\w+) ", printed("help"), re.M)
        self.assertGreaterEqual(len(listed), 14)
        self.assertEqual(sorted({c[0] for c in self.tables.commands}), sorted(listed))

    def test_help(self):
        for command in [()] + list(self.tables.commands):
            with self.subTest(" ".join(command)):
                text = printed("help", *command)
                self.assertTrue(text.startswith("usage: godwit " + (command[0] if command else "")), text)
                self.assertEqual([line for line in text.splitlines() if len(line) > 80 or line != line.rstrip()], [])
                if command and command != ("schema",):
                    listed = re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.M)
                    options = [o for o in self.tables.of(command) if not o.of or len(command) > 1]
                    self.assertEqual(listed, [o.name for o in options] + ["--help"])
                for o in self.tables.of(command) if len(command) == 1 else []:
                    self.assertTrue(not o.choices or o.of or ", ".join(o.choices) in " ".join(text.split()), o.name)

    def test_each_way_to_help(self):
        for argv in (["help", "ctl", "migrate"], ["ctl", "migrate", "--help"], ["ctl", "/x", "migrate", "-h"]):
            self.assertTrue(printed(*argv).startswith("usage: godwit ctl SOCKET migrate URI [OPTION]..."), argv)
        self.assertEqual(printed("help", "schema", "check"), printed("schema", "check", "--help"))
        self.assertEqual(printed("help", "convert"), printed("convert", "-h"))
        self.assertEqual(printed("help"), printed("--help"))

    def test_manual(self):
        for command in sorted({c[0] for c in self.tables.commands}):
            with open(os.path.join(TOP, "docs", "man", "godwit-%s.1" % command)) as f:
                page = f.read().replace("\\-", "-")
            known = {o.name for o in self.tables.options if o.command.split()[0] == command}
            self.assertEqual(sorted(known - set(re.findall(r"--[a-z][a-z-]+", page))), [], "not in godwit-%s.1" % command)
            section = page.split(".SH OPTIONS")[1].split(".SH ")[0]
            heads = re.findall(r"^\.TP\n(.*)", section, re.M)
            told = {name for head in heads for name in re.findall(r"--[a-z][a-z-]+", head)}
            self.assertEqual(sorted(told - known), [], "godwit-%s.1 has what is not there" % command)
            self.assertRegex(page, r"(?m)^\.SH EXAMPLES?\n(.*\n)*?.*godwit %s" % command)
            with open(os.path.join(TOP, "docs", "man", "godwit.1")) as f:
                self.assertIn("godwit-" + command, f.read())

    def test_examples_are_taken(self):
        """Each option in an example of the manual is one of that command."""
        for command in sorted({c[0] for c in self.tables.commands}):
            with open(os.path.join(TOP, "docs", "man", "godwit-%s.1" % command)) as f:
                section = re.split(r"\.SH EXAMPLES?\n", f.read().replace("\\-", "-"))[1].split(".SH ")[0]
            for name, rest in re.findall(r"godwit (\w+)([^|&;\n]*)", section):
                known = {o.name for o in self.tables.options if o.command.split()[0] == name} | {"--help"}
                for option in re.findall(r"(?<=\s)--[a-z-]+", rest):
                    self.assertIn(option, known, "godwit-%s.1: godwit %s%s" % (command, name, rest))


class Bash(unittest.TestCase):
    """The function is called with what bash tells it, in bash."""
    @classmethod
    def setUpClass(cls):
        with_machine()
        cls.tables = Tables()

    def setUp(self):
        self.folder = make_folder()
        self.addCleanup(shutil.rmtree, self.folder)
        for name in "guest.parked", "guest.xml":
            open(os.path.join(self.folder, name), "w").close()
        os.mkdir(os.path.join(self.folder, "guests"))
        self.script = os.path.join(self.folder, "script")
        with open(self.script, "w") as f:
            f.write(printed("--completion", "bash"))

    def complete(self, *lines):
        """What is offered at the end of each line."""
        ask = 'ask() { COMP_LINE=$1; COMP_POINT=${#1}; _godwit; echo "${COMPREPLY[*]}"; }\n'
        r = subprocess.run(["bash", "--norc", "-uc", ". %s\n%s" % (self.script, ask + "\n".join("ask '%s'" % line for line in lines))],
                           cwd=self.folder, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
        self.assertEqual((r.returncode, r.stderr), (0, ""), r.stdout)
        return [line.split() for line in r.stdout.split("\n")][:len(lines)]

    def offered(self, line):
        return sorted(self.complete(line)[0])

    def test_each_option(self):
        commands = list(self.tables.commands)
        lines = ["godwit ctl /x %s -" % c[1] if c[0] == "ctl" and len(c) > 1 else "godwit %s -" % " ".join(c) for c in commands]
        for command, got in zip(commands, self.complete(*[line + "-" for line in lines])):
            if command != ("schema",):
                self.assertEqual(sorted(got), sorted({o.name for o in self.tables.of(command)} | {"--help"}), command)

    def test_choices(self):
        asked = [o for o in self.tables.options if o.choices]
        self.assertGreater(len(asked), 10)
        for o, got in zip(asked, self.complete(*["godwit %s %s " % (o.command, o.name) for o in asked])):
            self.assertEqual(got, o.choices, o.name)
        self.assertEqual(self.offered("godwit convert --format=p"), ["parked"])
        self.assertEqual(self.offered("godwit convert --format p"), ["parked"])

    def test_names(self):
        self.assertEqual(self.offered("godwit s"), ["salvage", "schema", "send", "serve", "snapshot"])
        self.assertEqual(self.offered("godwit help ctl mig"), ["migrate"])
        self.assertEqual(self.offered("godwit ctl --log info /x des"), ["destinations"])
        self.assertEqual(self.offered("godwit schema ch"), ["check"])
        self.assertEqual(self.offered("godwit nothing "), [])
        self.assertEqual(self.offered("godwit ctl /x nothing "), [])

    def test_files(self):
        files = ["guest.parked", "guest.xml", "guests"]
        for line in "convert gue", "convert a gue", "convert a b --xml gue", "send gue", "send --snapshot x gue":
            self.assertEqual(self.offered("godwit " + line), files, line)
        self.assertEqual(self.offered("godwit receive --ram-folder gue"), ["guests"])
        self.assertEqual(self.offered("godwit convert a b gue"), [])  # there is no third
        self.assertEqual(self.offered("godwit convert a b --level gue"), [])

    def test_addresses(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(os.path.join(self.folder, "monitor"))
            self.assertEqual(self.offered("godwit ctl mon"), ["monitor"])
            self.assertEqual(self.offered("godwit ctl gue"), ["guests/"])
            self.assertEqual(self.offered("godwit ctl unix:m"), ["monitor"])  # bash replaces what stands behind the colon
            self.assertEqual(self.offered("godwit send guest.parked unix:m"), ["monitor"])
        self.assertEqual(self.offered("godwit send guest.parked t"), ["tcp:"])
        self.assertEqual(self.offered("godwit ctl monitor migrate u"), ["unix:"])
        self.assertEqual(self.offered("godwit serve guest.parked tcp:a:1 v"), ["vsock:"])
        self.assertEqual(self.offered("godwit send guest.parked file:guest.p"), ["guest.parked"])

    def test_capabilities_and_parameters(self):
        """The names that this build knows, then what may stand behind the =."""
        for line in "ctl /x migrate tcp:a:1 --capability", "ctl /x caps", "send f tcp:a:1 --capability", "vm --capability":
            self.assertEqual(self.offered("godwit %s xb" % line), ["xbzrle"], line)
            self.assertEqual(self.offered("godwit %s xbzrle=" % line), ["off", "on"], line)
        for line in "ctl /x snapshot f --parameter", "ctl /x param", "receive tcp:a:1 --parameter":
            self.assertEqual(self.offered("godwit %s max-p" % line), ["max-postcopy-bandwidth="], line)
            self.assertEqual(self.offered("godwit %s multifd-compression=z" % line), ["zlib", "zstd"], line)
            self.assertEqual(self.offered("godwit %s max-bandwidth=" % line), [], line)
        self.assertEqual(self.offered("godwit vm --capability=xbzrle=of"), ["off"])
        self.assertEqual(self.offered("godwit ctl /x events xb"), [])  # names of another kind
        self.assertEqual(self.offered("godwit extract f --ram o --block p"), [])
        with open(os.path.join(TOP, "docs", "features.md")) as f:
            known = re.findall(r"^\| `([a-z-]+)` \| yes \|", f.read(), re.M)
        self.assertEqual(self.offered("godwit ctl /x caps "), sorted(known))

    def test_what_is_installed(self):
        for shell, name in ("bash", "godwit"), ("zsh", "_godwit"):
            path = os.path.join(BUILD, "cli", "completions", name)
            if not os.path.exists(path):
                self.skipTest("completions are not built where programs of the build do not run")
            with open(path) as f:
                self.assertEqual(f.read(), printed("--completion", shell))


class Zsh(unittest.TestCase):
    def setUp(self):
        with_machine()
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed")
        self.folder = make_folder()
        self.addCleanup(shutil.rmtree, self.folder)
        with open(os.path.join(self.folder, "_godwit"), "w") as f:
            f.write(printed("--completion", "zsh"))

    def until(self, mark):
        text = b""
        while mark not in text:
            ready, _, _ = select.select([self.fd], [], [], DEADLINE_S * SLOW)
            self.assertTrue(ready, "no %s in %s" % (mark, text))
            text += os.read(self.fd, 4096)
        return text.decode(errors="replace")

    def test_offers(self):
        """A shell on a terminal is typed to. What it has completed a line to is told by a widget."""
        open(os.path.join(self.folder, "guest.parked"), "w").close()
        init = os.path.join(self.folder, "init")
        with open(init, "w") as f:
            f.write("PS1=; PS2=; fpath=(%s $fpath); autoload -Uz compinit && compinit -u -D; unsetopt zle_bracketed_paste\n"
                    "unset zle_bracketed_paste; setopt no_beep; zstyle ':completion:*' insert-unambiguous true\n"
                    "tell() { print -r -- $'\\n'\"<<$BUFFER>>\"; BUFFER=; zle -I; }; zle -N tell; bindkey '^X' tell\n"
                    "cd %s; print RE''ADY\n" % (self.folder, self.folder))
        pid, self.fd = pty.fork()
        if not pid:
            os.execve(shutil.which("zsh"), ["zsh", "-f", "-i"], dict(os.environ, TERM="dumb", HOME=self.folder))
        try:
            os.write(self.fd, (". %s\n" % init).encode())
            self.until(b"READY")
            for typed, completed in (("godwit conv", "godwit convert "), ("godwit convert --form", "godwit convert --format="),
                                     ("godwit convert --format=map", "godwit convert --format=mapped-ram "),
                                     ("godwit convert gues", "godwit convert guest.parked "),
                                     ("godwit ctl /x migr", "godwit ctl /x migrate "),
                                     ("godwit ctl /x migrate --wait-r", "godwit ctl /x migrate --wait-recovery "),
                                     ("godwit ctl /x migrate tc", "godwit ctl /x migrate tcp:"),
                                     ("godwit schema expl", "godwit schema explain "),
                                     ("godwit schema check --qui", "godwit schema check --quiet "),
                                     ("godwit ctl /x caps xbz", "godwit ctl /x caps xbzrle "),
                                     ("godwit vm --capability xbzrle=of", "godwit vm --capability xbzrle=off "),
                                     ("godwit ctl /x param max-p", "godwit ctl /x param max-postcopy-bandwidth="),
                                     ("godwit vm --parameter=multifd-compression=zl", "godwit vm --parameter=multifd-compression=zlib "),
                                     ("godwit send guest.parked --peer god", "godwit send guest.parked --peer godwit ")):
                os.write(self.fd, typed.encode() + b"\t\x18")
                self.assertIn("<<%s>>" % completed, self.until(b">>"), typed)
        finally:
            os.close(self.fd)
            os.waitpid(pid, 0)


class Wrong(unittest.TestCase):
    """One line that names the fault, and 2."""
    def setUp(self):
        with_machine()

    def test_wrong(self):
        for line, says in (
                ("sned a b", "there is no command 'sned'; did you mean send?"),
                ("--versoin", "there is no option '--versoin'; did you mean --version?"),
                ("help sned", "did you mean send?"), ("help ctl migrat", "no command 'migrat'; did you mean migrate?"),
                ("help schema chek", "did you mean check?"), ("help diff x", "no 'x'"), ("help ctl migrate x", "surplus argument 'x'"),
                ("convert", "convert: IN is missing"), ("convert a --format parked", "OUT is missing"), ("convert a b", "--format is missing"),
                ("convert a b c --format parked", "surplus argument 'c'"), ("convert a b --format packed", "parked, stream, mapped-ram or libvirt"),
                ("convert a b --format parkd", "did you mean parked?"), ("convert --foramt x", "no option --foramt; did you mean --format?"),
                ("convert --for x", "--for could be --format or --force"), ("convert a b --format", "option --format: FORMAT is missing"),
                ("convert a --into d", "--snapshot is missing"), ("convert a --into d --snapshot n --level 3", "--level cannot be used with --into"),
                ("convert a b --format parked --level 23", "a number up to 22"), ("verify --quiet=1 a", "--quiet takes no value"),
                ("verify -Z a", "no option -Z"), ("diff a", "B is missing"), ("extract a", "--ram, --device, --xml, --description or --elf"),
                ("extract a --elf b --place ram", "--place 'ram'"), ("extract --ram b", "FILE is missing"),
                ("inspect --against a --ram b", "--ram cannot be used with --against"), ("receive unix:a", "--output is missing"),
                ("receive --output a", "URI is missing"), ("receive unix:a --output b --memory-max much", "a size such as 512M"),
                ("receive unix:a --output b --acknowledge soon", "durable or received"), ("salvage a --output b", "--from or --listen is missing"),
                ("salvage a --output b --from c --listen unix:d", "--from cannot be used with --listen"),
                ("send a", "URI is missing"), ("send a unix:b --timeout soon", "a number of seconds such as 30 or 0.5"),
                ("send a unix:b --peer 7.3", "7.2, 8.1, 9.0, 10.0 or godwit"), ("send a unix:b --capability x=maybe", "NAME=on or NAME=off"),
                ("send a unix:b --parameter x", "NAME=VALUE is expected"), ("vm --parameter downtime-limit=3x", "a time such as 300ms"), ("send a unix:b --paused --running", "--paused cannot be used with --running"),
                ("send a unix:b --record c", "--record goes with --postcopy only"), ("send a unix:b --sandbox auot", "did you mean auto?"),
                ("serve a", "URI is missing"), ("serve a unix:b --resume --paused", "--paused cannot be used with --resume"),
                ("schema", "COMMAND is missing"), ("schema chek a b", "did you mean check?"), ("schema check a", "TO is missing"),
                ("schema explain a", "INTO is missing"), ("schema dump --cpus 99", "a number from 1 to 32"), ("schema dump x", "surplus argument 'x'"),
                ("snapshot lits a", "did you mean list?"), ("snapshot list", "DISK is missing"), ("snapshot delete a b --json", "delete has no option --json"),
                ("vm x", "surplus argument 'x'"), ("vm --accel kmv", "did you mean kvm?"), ("vm --tracker none", "auto, pagemap, kvm-log, kvm-ring or explicit"),
                ("demo x", "surplus argument 'x'"), ("verify", "FILE is missing"),
                ("ctl", "SOCKET is missing"), ("ctl /x", "COMMAND is missing"), ("ctl /x migrat unix:a", "did you mean migrate?"),
                ("ctl /x migrate", "migrate: URI is missing"), ("ctl /x stop now", "stop: surplus argument 'now'"),
                ("ctl /x stop --report a", "stop has no option --report"), ("ctl /x migrate a --reprot b", "did you mean --report?"),
                ("ctl /x snapshot", "FILE|URI is missing"), ("ctl /x snapshot save a b", "snapshot save: DEVICE is missing"),
                ("ctl /x snapshot a b", "snapshot: surplus argument 'b'"), ("ctl /x plan a --bandwidth fast", "a size such as 512M"),
                ("ctl /x param downtime-limit=soon", "a time such as 300ms or 2s"), ("ctl /x param max-bandwidth=3ms", "a rate such as 100M"),
                ("ctl /x migrate a --parameter max-cpu-throttle=2s", "a percentage such as 20"), ("ctl /x qmp", "COMMAND is missing")):
            with self.subTest(line):
                r = godwit(*line.split())
                self.assertEqual((r.returncode, r.stdout), (2, ""), r.stderr)
                self.assertRegex(r.stderr, r"\Agodwit( \w+)?: [^\n]*\n\Z")
                self.assertIn(says, r.stderr)


if __name__ == "__main__":
    unittest.main()
