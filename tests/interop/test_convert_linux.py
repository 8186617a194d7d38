# SPDX-License-Identifier: MIT
"""Real Linux guests through files that QEMU wrote and `godwit convert` turned into others."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from journey import Journey  # noqa: E402
from places import exec_uri, wait_file  # noqa: E402
from test_convert import XML, Files  # noqa: E402


class Linux(Files):
    """A Linux guest that checks itself rests in files that QEMU wrote, and goes on from what convert made of them."""

    def save(self, source, path, capabilities=(), **parameters):
        for name in capabilities:
            source.set_capabilities(name)
        if parameters:
            source.qmp.command("migrate-set-parameters", **parameters)
        source.migrate("file:" + path if "mapped-ram" in capabilities else exec_uri(path, False))
        source.wait()
        wait_file(path)

    def load(self, journey, version, uri, capabilities=()):
        return journey.qemu(version, journey.role(version), incoming=uri, capabilities=capabilities)

    def leg(self, journey, version, saved, formats, mapped=False, uri="file:%s"):
        """saved: arguments of save(). formats: of one convert after the other."""
        source, path = journey.leave(), journey.path("saved")
        self.save(source, path, **saved)
        kinds = self.kinds(path)
        for number, how in enumerate(formats):
            before, path = path, "%s.%d" % (path, number)
            self.godwit("convert", before, path, "--format", *how)
            os.unlink(before)
        journey.arrive(source, self.load(journey, version, uri % path, ["mapped-ram"] if mapped else []))
        os.unlink(path)
        return kinds

    def kinds(self, path):
        blocks = json.loads(self.godwit("inspect", "--json", "--ram", path))["ram"]["blocks"]
        return {kind: sum(b["pages"].get(kind, 0) for b in blocks) for kind in ("plain", "xbzrle", "compressed", "mapped")}

    def test_every_format(self):
        xml = self.put("xml", XML.encode())
        journey = Journey(self, "q35", "7.2")
        # Waiting for the threads that compress makes passes slow, and then 7.2 loses writes (journey.py).
        kinds = self.leg(journey, "10.0", {"capabilities": ["compress"], "compress_wait_thread": False},
                         [["parked"], ["mapped-ram"]], mapped=True)
        self.assertGreater(kinds["compressed"], 100)
        kinds = self.leg(journey, "7.2", {"capabilities": ["mapped-ram"]}, [["stream", "--compress", "gzip"]], uri="exec:gzip -dc %s")
        self.assertGreater(kinds["mapped"], 1000)
        self.leg(journey, "10.0", {}, [["libvirt", "--xml", xml], ["libvirt", "--compress", "sparse"], ["stream"]])
        kinds = self.leg(journey, "10.0", {"capabilities": ["xbzrle"], "max_bandwidth": 24 << 20, "downtime_limit": 20},
                         [["stream"]])
        self.assertGreater(kinds["xbzrle"], 0)
        print(journey.end())


if __name__ == "__main__":
    unittest.main()
