# SPDX-License-Identifier: MIT
"""A self-checking machine goes by postcopy: between processes, and out of a file whose sender is killed."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from between import Between  # noqa: E402
from box import Program, QmpError, built, wait_until  # noqa: E402
from followed import Postcopy  # noqa: E402


class There(Postcopy):
    def test_uniform(self):
        self.there("uniform")

    def test_two_vcpus_two_blocks(self):
        self.there("hotset", more=["--cpus", "2", "--memory", "16M,name=more,backing=memfd"])

    def test_disk(self):
        self.there("disk", moves=1, least=0)

    def test_how_long_it_waited(self):
        """Only what it asks for comes, nearly, until it has waited; then the rest."""
        box = self.begin(more=["--cpus", "2"])
        to = self.box("to", more=["postcopy-blocktime"])
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 64 << 10})
        self.assertNotIn("postcopy-blocktime", to.migration())
        box.qmp.command("migrate", uri=to.address())
        box.qmp.command("migrate-start-postcopy")
        wait_until("it waited", lambda: sum(to.migration().get("postcopy-latency-dist", [])) > 3)
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        info = to.migration()
        self.assertEqual(len(info["postcopy-vcpu-blocktime"]), 2, info)
        self.assertGreater(max(info["postcopy-vcpu-latency"]), 0, info)
        self.assertGreater(info["postcopy-latency"], 0, info)
        self.assertEqual(len(info["postcopy-latency-dist"]), 24, info)
        self.assertLessEqual(info["postcopy-blocktime"], max(info["postcopy-vcpu-blocktime"]), info)
        self.ends_well(self.arrived(box, to))

    def test_it_waits_while_its_pages_come(self):
        box = self.begin()
        to = self.box("to", options=["--paused"])
        box.qmp.command("migrate", uri=to.address())
        box.qmp.command("migrate-start-postcopy")
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.assertTrue(to.qmp.seen("MIGRATION", status="postcopy-active"))
        self.assertEqual(to.beats(), [])
        to.qmp.command("cont")
        self.ends_well(self.arrived(box, to))


class Persistent(Postcopy):
    def test_named_and_goes_without(self):
        box = self.begin("hotset", ["--memory", "8M,name=pmem,backing=" + self.path("pmem")])
        self.options[-1] = "8M,name=pmem,backing=memfd"
        to = self.box("to")
        why = "RAM block pmem is on persistent memory"
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 4 << 20})
        box.qmp.command("migrate", uri=to.address())
        wait_until("it goes", lambda: box.migration().get("ram", {}).get("transferred", 0) > 1 << 20)
        self.assertRaisesRegex(QmpError, why, box.qmp.command, "migrate-start-postcopy")
        self.assertEqual(box.migration()["status"], "active")
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 0})
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed", box.text())
        self.ends_well(self.arrived(box, to))

    def test_at_the_destination(self):
        with self.assertRaisesRegex(QmpError, "RAM block pmem cannot do postcopy: it is on persistent memory"):
            self.options = ["--memory", "16M", "--memory", "8M,name=pmem,backing=" + self.path("pmem")]
            self.box("to")


class Told(Postcopy):
    def ctl(self, box, role, *arguments):
        return Program(self, role, [built("cli/godwit"), "ctl", box.qmp_path, "migrate", *arguments])

    def test_ctl_of_one_that_is_paused(self):
        """It ends with a status of its own and says what is to be done; or waits."""
        box = self.begin()
        to = self.box("to")
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 4 << 20, "downtime-limit": 1, "max-postcopy-bandwidth": 4096})
        first = self.ctl(box, "first", to.address())
        wait_until("it goes", lambda: box.migration().get("status") == "active")
        box.qmp.command("migrate-start-postcopy")
        wait_until("its pages follow", lambda: to.qmp.seen("MIGRATION", status="postcopy-active"))
        to.qmp.command("migrate-pause")
        self.assertEqual(first.wait_exit(), 6, first.text())
        self.assertRegex(first.text(), "postcopy-paused: .*recover URI.*migrate URI --resume")
        wait_until("it stands", lambda: to.migration()["status"] == "postcopy-paused")
        for word in "wait", "watch":  # of somebody else
            also = Program(self, word, [built("cli/godwit"), "ctl", box.qmp_path, word])
            self.assertEqual(also.wait_exit(), 6, also.text())
            self.assertRegex(also.text(), word + ": postcopy-paused: .*the guest is at the destination.*recover URI.*migrate URI --resume")
        there = Program(self, "there", [built("cli/godwit"), "ctl", to.qmp_path, "wait"])
        self.assertEqual(there.wait_exit(), 6, there.text())
        self.assertRegex(there.text(), "wait: postcopy-paused.*the guest is here.*recover URI.*at the source `migrate URI --resume`")
        to.qmp.command("migrate-recover", uri="unix:" + self.path("r"))
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        last = self.ctl(box, "last", "unix:" + self.path("r"), "--resume", "--wait-recovery")
        self.assertEqual(last.wait_exit(), 0, last.text())
        self.ends_well(self.arrived(box, to))


class GivenBack(Postcopy):
    def rss(self, box):
        with open("/proc/%d/status" % box.proc.pid) as f:
            return int(next(line for line in f if line.startswith("RssAnon")).split()[1]) << 10

    def test_release_ram(self):
        """Memory goes to the host as it comes there: at the switch what is clean, then what follows; a lost connection in between."""
        box = self.begin("sequential,rate=64M")
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "release-ram", "state": True}])
        to = self.box("to")
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 64 << 20, "downtime-limit": 1,
                                                     "max-postcopy-bandwidth": 256 << 10})
        box.qmp.command("migrate", uri=to.address())
        wait_until("a pass", lambda: box.migration().get("ram", {}).get("dirty-sync-count", 0) > 2)
        before = self.rss(box)
        box.qmp.command("migrate-start-postcopy")
        wait_until("what was clean went", lambda: self.rss(box) < before - (12 << 20))
        self.assertEqual(box.migration()["status"], "postcopy-active")
        box.qmp.command("migrate-pause")
        wait_until("it stands", lambda: to.migration()["status"] == "postcopy-paused")
        wait_until("its source waits", lambda: box.migration()["status"] == "postcopy-paused")
        with self.assertRaisesRegex(QmpError, "was given back to the host"):
            box.qmp.command("cont", **{"x-godwit-force": True})
        to.qmp.command("migrate-recover", uri="unix:" + self.path("again"))
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        box.qmp.command("migrate", uri="unix:" + self.path("again"), resume=True)
        self.assertEqual(wait_until("an end", box.ended)["status"], "completed", box.text())
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.assertLess(self.rss(box), before - (24 << 20))
        self.ends_well(self.arrived(box, to))


class Recovered(Postcopy):
    def test_senders_that_are_killed(self):
        """Each brings a part. In between it stands at the next page that it lacks, and says so."""
        box = self.begin()
        box.qmp.command("migrate-set-capabilities", capabilities=[{"capability": "postcopy-ram", "state": False}])
        path, uri = self.path("parked"), "unix:" + self.path("m")
        receive = Program(self, "receive", [built("cli/godwit"), "receive", uri, "--output", path])
        wait_until("it listens", lambda: "listening" in receive.text())
        box.qmp.command("migrate-set-parameters", **{"downtime-limit": 2000000})
        box.qmp.command("migrate", uri=uri)
        self.assertEqual(receive.wait_exit(), 0, receive.text())
        box.quit()
        to = self.box("to", incoming="unix:" + self.path("n"))
        name, how = "n", ["--postcopy"]
        for i in range(3):
            send = Program(self, "send%d" % i, [built("cli/godwit"), "send", path, "unix:" + self.path(name), *how, "--force",
                                                "--parameter", "max-postcopy-bandwidth=64K"][:-2 if i == 2 else None])
            if i == 2:
                self.assertEqual(send.wait_exit(), 0, send.text())
                break
            wait_until("its pages follow", lambda: to.qmp.seen("MIGRATION", status="postcopy-active"))
            self.assertTrue(send.alive(), send.text())
            send.process.kill()
            wait_until("it stands", lambda: to.migration()["status"] == "postcopy-paused")
            self.assertTrue(to.migration()["error-desc"])
            to.qmp.poll()
            to.qmp.events.clear()
            name, how = "n%d" % i, ["--resume"]
            to.qmp.command("migrate-recover", uri="unix:" + self.path(name))
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.ends_well(to)

    def test_it_is_given_up(self):
        """Nobody brings the rest: it does not run on."""
        box = self.begin()
        to = self.box("to")
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 4096})
        box.qmp.command("migrate", uri=to.address())
        box.qmp.command("migrate-start-postcopy")
        wait_until("its pages follow", lambda: to.qmp.seen("MIGRATION", status="postcopy-active"))
        wait_until("its source knows", lambda: box.migration()["status"] == "postcopy-active")  # else it is not known who has it
        to.qmp.command("migrate-pause")
        wait_until("it stands", lambda: to.migration()["status"] == "postcopy-paused")
        wait_until("its source waits", lambda: box.migration()["status"] == "postcopy-paused")
        self.assertNotEqual(box.status(), "running")
        to.qmp.command("yank", instances=[{"type": "migration"}])
        self.assertEqual(wait_until("an end there", to.ended)["status"], "failed")
        n = len(to.beats())
        self.assertIn("did not complete", self.refused(to, "cont"))
        self.assertEqual(len(to.beats()), n)

    def refused(self, box, command):
        with self.assertRaises(QmpError) as why:
            box.qmp.command(command)
        return str(why.exception)


class Preempt(Postcopy):
    """What is asked for has a connection of its own."""
    ON = (*Postcopy.ON, "postcopy-preempt")

    def test_there(self):
        self.there("uniform")

    def test_it_dies_alone(self):
        """Both sides find out, and go on with a new one."""
        box = self.begin("uniform,rate=512K,verify=512K")  # slowly: there is much that it has not asked for when it is cut off
        to = self.box("to")
        link = Between(self, to.address())
        box.qmp.command("migrate-set-parameters", **{"max-bandwidth": 1 << 20, "max-postcopy-bandwidth": 64 << 10})
        box.qmp.command("migrate", uri=link.uri)
        box.qmp.command("migrate-start-postcopy")
        wait_until("it asks", lambda: box.migration().get("ram", {}).get("postcopy-requests", 0) > 5)
        self.assertEqual(len(link.pairs), 2)
        link.cut(1)
        for side in (box, to):
            wait_until("it is lost", lambda s=side: s.migration()["status"] == "postcopy-paused")
        before = box.migration()["ram"]["postcopy-requests"]
        to.qmp.command("migrate-recover", uri="unix:" + self.path("r"))
        box.qmp.command("migrate", uri="unix:" + self.path("r"), resume=True)
        # It asks again, and all that it asks for may have gone before we look.
        wait_until("it asks again", lambda: box.migration()["ram"]["postcopy-requests"] > before + 5)
        box.qmp.command("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
        wait_until("all has come", lambda: to.qmp.seen("MIGRATION", status="completed"))
        self.ends_well(self.arrived(box, to))


if __name__ == "__main__":
    unittest.main()
