# SPDX-License-Identifier: MIT
"""The Debian packages' files agree with the rest of the tree. scripts/package-check builds and uses the packages themselves."""
import fnmatch
import json
import os
import re
import subprocess
import sys
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GODWIT_BUILD") or os.path.join(TOP, "build")
sys.path.insert(0, os.path.join(TOP, "tools"))
import print_symbols  # noqa: E402

PACKAGES = ("godwit", "libgodwit0", "libgodwit-dev")


def read(name):
    with open(os.path.join(TOP, name)) as f:
        return f.read()


def introspect(what):
    return json.loads(subprocess.check_output(["meson", "introspect", what, BUILD]))


def paragraphs(text):
    """Of a control file: one dict for each."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip()):
        fields = re.findall(r"^([\w-]+):(.*(?:\n[ \t].*)*)", part, re.M)
        found.append({name: " ".join(value.split()) for name, value in fields})
    return found


def names(depends):
    """The packages of a list, without versions and architectures."""
    return {re.split(r"[\s(\[]", d.strip())[0] for d in depends.split(",") if d.strip()}


class Packages(unittest.TestCase):
    def setUp(self):
        self.source, *self.binaries = paragraphs(read("debian/control"))
        self.binaries = {p["Package"]: p for p in self.binaries}

    def test_one_version(self):
        changelog = re.match(r"(\S+) \((\S+)\) ", read("debian/changelog"))
        meson = re.search(r"version: '([^']+)'", read("meson.build")).group(1)
        header = ".".join(re.findall(r"#define GW_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", read("include/godwit/version.h")))
        self.assertEqual(changelog.groups(), ("godwit", meson))
        self.assertEqual(header, meson)

    def test_names(self):
        self.assertEqual(tuple(self.binaries), PACKAGES)

    def test_symbols_are_the_map(self):
        self.assertEqual(read("debian/libgodwit0.symbols"), print_symbols.symbols_file(read("src/libgodwit.map")),
                         "python3 tools/print_symbols.py > debian/libgodwit0.symbols")

    def test_builds_with_what_setup_installs(self):
        wanted = set(subprocess.check_output([os.path.join(TOP, "scripts", "setup"), "--list"], text=True).split())
        self.assertEqual(names(self.source["Build-Depends"]) - {"debhelper-compat"}, wanted - {"make", "gcc", "libc6-dev"})

    def test_development_needs_what_pkg_config_asks_for(self):
        """libgodwit-dev depends on the -dev package of each library that the static library is linked with."""
        built = names(self.source["Build-Depends"]) - {"libseccomp-dev", "libunicorn-dev"}  # these are the command's
        needed = names(self.binaries["libgodwit-dev"]["Depends"])
        self.assertEqual(needed - {"${misc:Depends}", "libgodwit0"}, {d for d in built if re.match(r"(lib|zlib).*-dev$", d)})

    def test_every_option_is_decided(self):
        """A package has the same in it on each builder: no option of the build is left to what is found there."""
        options = set(re.findall(r"^option\('(\w+)'", read("meson_options.txt"), re.M))
        decided = set(re.findall(r"-D(\w+)=", read("debian/rules")))
        self.assertEqual(options - decided, {"fuzz"})

    def test_everything_installed_is_in_one_package(self):
        prefix = [o["value"] for o in introspect("--buildoptions") if o["name"] == "prefix"][0]
        libdir = [o["value"] for o in introspect("--buildoptions") if o["name"] == "libdir"][0]
        installed = sorted(introspect("--installed").values())
        self.assertGreater(len(installed), 20)
        patterns = {p: read("debian/%s.install" % p).split() for p in PACKAGES}
        for path in installed:
            path = os.path.join("usr", os.path.relpath(path, prefix)).replace("/" + libdir + "/", "/lib/x/")
            having = [p for p in PACKAGES if any(fnmatch.fnmatch(path, w) or path.startswith(w + "/") for w in patterns[p])]
            self.assertEqual(len(having), 1, "%s is in %s" % (path, having))

    def test_documents_are_there(self):
        for kind in ("docs", "examples"):
            for package in PACKAGES:
                path = "debian/%s.%s" % (package, kind)
                if not os.path.exists(os.path.join(TOP, path)):
                    continue
                for pattern in read(path).split():
                    folder = os.path.join(TOP, os.path.dirname(pattern))
                    self.assertTrue(fnmatch.filter(os.listdir(folder), os.path.basename(pattern)), "%s: %s" % (path, pattern))

    def test_licence(self):
        flat = " ".join(re.sub(r"^ \.?", "", read("debian/copyright"), flags=re.M).split())
        terms = read("LICENSE").split("\n\n", 2)[2]
        self.assertIn(" ".join(terms.split()), flat)


if __name__ == "__main__":
    unittest.main()
