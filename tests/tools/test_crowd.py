# SPDX-License-Identifier: MIT
"""tools/crowd.py: how many programs run at a time."""
import os
import sys
import threading
import unittest

TOP = os.environ.get("GODWIT_TOP") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import crowd  # noqa: E402

PLENTY = crowd.FREE_BYTES


class Processors:
    """Each look finds so much more idle time among so many more ticks."""

    def __init__(self, idle, ticks=crowd.LOOK_TICKS):
        self.idle, self.ticks, self.seen = idle, ticks, 0

    def __call__(self):
        self.seen += self.ticks
        return int(self.seen * self.idle), self.seen


class Room(unittest.TestCase):
    def crowd(self, idle, free=PLENTY, jobs=None, **look):
        return crowd.Crowd(jobs, 2, Processors(idle, **look), lambda: free)

    def test_one_for_each_processor_however_busy(self):
        c = self.crowd(0)
        self.assertEqual([c.room(n) for n in range(4)], [True, True, False, False])

    def test_more_while_processors_are_idle(self):
        c = self.crowd(0.5)
        self.assertEqual([c.room(n) for n in range(8)], [n < 2 * crowd.MOST for n in range(8)])

    def test_a_short_look_tells_nothing(self):
        self.assertFalse(self.crowd(1, ticks=crowd.LOOK_TICKS - 1).room(2))

    def test_not_without_memory(self):
        self.assertFalse(self.crowd(1, free=PLENTY - 1).room(2))

    def test_a_number_that_was_asked_for(self):
        c = self.crowd(1, jobs=3)
        self.assertEqual([c.room(n) for n in range(5)], [True, True, True, False, False])

    def test_where_nothing_is_told(self):
        self.assertFalse(crowd.Crowd(None, 2, lambda: None, lambda: PLENTY).room(2))

    def test_what_this_machine_tells(self):
        idle, ticks = crowd.idle_ticks()
        self.assertTrue(0 <= idle <= ticks)
        self.assertGreater(crowd.free_bytes(), 0)


class Run(unittest.TestCase):
    def test_every_one_ends_and_no_more_at_a_time(self):
        lock, running, most = threading.Lock(), [], []

        def work(n):
            with lock:
                running.append(n)
                most.append(len(running))
            with lock:
                running.remove(n)
            return n

        self.assertEqual(sorted(crowd.Crowd(3).run(work, range(50))), list(range(50)))
        self.assertLessEqual(max(most), 3)

    def test_others_go_on_beside_one_that_waits(self):
        free = threading.Event()
        ended = []
        for n in crowd.Crowd(2).run(lambda n: n if n else free.wait() and n, range(5)):
            ended.append(n)
            if len(ended) == 4:
                free.set()
        self.assertEqual(ended[-1], 0)

    def test_nothing_to_do(self):
        self.assertEqual(list(crowd.Crowd(2).run(None, [])), [])


if __name__ == "__main__":
    unittest.main()
