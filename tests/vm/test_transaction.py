# SPDX-License-Identifier: MIT
"""The command `transaction` beside QEMU's: which ones are refused, and what bitmaps there are after each."""
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from box import Box, Journey, wait_until  # noqa: E402
from harness import QmpError  # noqa: E402
from versions import VERSIONS  # noqa: E402

BYTES = 1 << 20


class Transaction(Journey):
    def action(self, rnd, there, removed):
        """there: what there is when it is made. One that enables or disables a bitmap that is not there ends QEMUs of all versions. To
        QEMU what was removed is gone at the end only, so that its name is still taken."""
        what = rnd.choice(("add", "add", "remove", "clear", "enable", "disable", "merge"))
        name = rnd.choice(sorted(there)) if there and what in ("enable", "disable") else rnd.choice("abc")
        if (what in ("enable", "disable") and not there) or (what == "add" and name in removed):
            what = "clear"
        data = {"node": "d", "target" if what == "merge" else "name": name}
        if what == "add":
            data.update(granularity=512 << rnd.randrange(3), disabled=rnd.random() < 0.3)
            there.add(name)
        if what == "remove":
            there.discard(name)
            removed.add(name)
        if what == "merge":
            data["bitmaps"] = [rnd.choice(("a", "b", {"node": "d", "name": "c"})) for _ in range(rnd.randint(1, 2))]
        return {"type": "block-dirty-bitmap-" + what, "data": data}

    def do(self, qmp, actions):
        """Whether it was done, and what there is then."""
        try:
            qmp.command("transaction", actions=actions)
            done = True
        except QmpError:
            done = False
        nodes = [n for n in qmp.command("query-named-block-nodes") if n.get("node-name") == "d"]
        node = nodes[0] if nodes else [b["inserted"] for b in qmp.command("query-block") if b["device"] == "d"][0]
        return done, sorted((b["name"], b["granularity"], b["recording"], b["busy"], b["count"]) for b in node.get("dirty-bitmaps", []))

    def test_beside_qemu(self):
        with open(self.path("disk"), "wb") as f:
            f.truncate(BYTES)
        box = Box(self, "here", ["--memory", "16M", "--accel", "unicorn", "--disk", "%s,format=raw,id=d" % self.path("disk"),
                                 "--workload", "idle,seed=3"])
        wait_until("the first heartbeat", box.beats)
        for version in VERSIONS:
            qemu = self.qemu(version, "qemu" + version, memory=16 << 20, machine="none", block=None,
                             args=["-blockdev", "driver=null-co,node-name=d,size=%d" % BYTES])
            rnd, done, want = random.Random(version), 0, (True, [])
            for n in range(150):
                there, removed = {b[0] for b in want[1]}, set()
                actions = [self.action(rnd, there, removed) for _ in range(rnd.randint(1, 4))]
                want = self.do(qemu.qmp, actions)
                self.assertEqual(self.do(box.qmp, actions), want, "%s, %d: %s" % (version, n, actions))
                done += want[0]
            self.assertGreater(done, 15)
            self.assertLess(done, 140)
            for name in "abc":
                try:
                    box.qmp.command("block-dirty-bitmap-remove", node="d", name=name)
                except QmpError:
                    pass
            qemu.close()
        self.assertEqual(box.quit(), 0, box.text())


if __name__ == "__main__":
    unittest.main()
