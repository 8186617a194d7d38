# SPDX-License-Identifier: MIT
"""What `godwit map --json` says, beside the RAM itself and the file that it lies in."""
import collections

PAGE = 4096


def kinds(ram):
    """Of each page, as counted here."""
    pages = [ram[at:at + PAGE] for at in range(0, len(ram), PAGE)]
    seen = collections.Counter(pages)
    return ["zero" if not any(p) else "shared" if seen[p] > 1 else "data" for p in pages]


def check(test, runs, ram, file=None):
    """Of a machine with one block. Returns how many pages have a place in the file."""
    found, placed, end = [], 0, 0
    for run in runs:
        test.assertEqual(run["start"], end)
        end += run["length"]
        found += [run["kind"]] * (run["length"] // PAGE)
        if "offset" not in run:
            continue
        for i in range(run["length"] // PAGE):
            at, start = run["offset"] + i * run.get("stride", PAGE), run["start"] + i * PAGE
            test.assertTrue(file[at:at + PAGE] == ram[start:start + PAGE], "page at 0x%x is not at byte %d of the file" % (start, at))
            placed += 1
    test.assertEqual(end, len(ram))
    wrong = [(i * PAGE, a, b) for i, (a, b) in enumerate(zip(found, kinds(ram))) if a != b]
    test.assertEqual(wrong[:5], [])
    return placed
