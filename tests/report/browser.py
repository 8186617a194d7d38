# SPDX-License-Identifier: MIT
"""A real browser without a window, for pages that people look at. Where none is installed, tests are skipped."""
import html
import os
import re
import shutil
import struct
import subprocess
import sys
import unittest
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop"))
from harness import DEADLINE_S, SLOW  # noqa: E402

# Put into a copy of a page: writes what is wrong with its layout, as seen by the browser, into the title.
LOOK = """<script>
const wrong = [];
if (document.documentElement.scrollWidth > innerWidth + 1)
  wrong.push('wider than the window: ' + document.documentElement.scrollWidth);
let texts = 0;
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  if (!frame.width || svg.querySelector('svg')) continue;
  const boxes = [...svg.querySelectorAll(':scope > text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  texts += boxes.length;
  boxes.forEach(([a, p], i) => {
    if (p.left < frame.left - 1 || p.right > frame.right + 1 || p.top < frame.top - 1 || p.bottom > frame.bottom + 1)
      wrong.push('outside: ' + a);
    if (p.height < 8) wrong.push('too small to read: ' + a);
    boxes.slice(i + 1).forEach(([b, q]) => {
      if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3)
        wrong.push('overlap: ' + a + ' / ' + b);
    });
  });
}
document.title = 'texts ' + texts + ' wrong ' + JSON.stringify(wrong);
</script>"""


def browser():
    for name in ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome"):
        if shutil.which(name):
            return name
    raise unittest.SkipTest("no browser to look with: install chromium")


def run(folder, page, width, height, *more):
    """What it wrote, and what it had to say."""
    argv = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--enable-logging=stderr", "--user-data-dir=" + os.path.join(folder, "profile"),
            "--force-device-scale-factor=1", "--window-size=%d,%d" % (width, height), *more, "file://" + page]
    p = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S * SLOW)
    if p.returncode:
        raise AssertionError("%s ended with %d: %s" % (argv[0], p.returncode, p.stderr[-2000:]))
    return p


def console(said):
    return [line for line in said.splitlines() if "CONSOLE" in line]


def shoot(folder, page, width, height, dark=False):
    """(the path of a PNG of the page, what the console said)."""
    path = os.path.join(folder, "%s-%d%s.png" % (os.path.basename(page), width, "-dark" if dark else ""))
    more = ["--blink-settings=preferredColorScheme=0"] if dark else []
    p = run(folder, page, width, height, "--screenshot=" + path, *more)
    return path, console(p.stderr)


def layout(folder, page, width):
    """(how many labels were looked at, what is wrong with them)."""
    with open(page, encoding="utf-8") as f:
        text = f.read()
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace("</body>", LOOK + "</body>")
    copy = page + ".look.html"
    with open(copy, "w", encoding="utf-8") as f:
        f.write(text)
    dom = run(folder, copy, width, 900, "--dump-dom").stdout
    found = re.search(r"<title>texts (\d+) wrong (\[.*?\])</title>", html.unescape(dom), re.S)
    if not found:
        raise AssertionError("the page was not looked at: " + dom[:500])
    return int(found.group(1)), found.group(2)


def pixels(path):
    """Of a PNG of 8 bits: width, height, and each pixel's (r, g, b) with how often it is there."""
    with open(path, "rb") as f:
        data = f.read()
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        if kind == b"IDAT":
            packed += body
        at += size + 12
    n = {2: 3, 6: 4}[colour]
    assert depth == 8
    raw, line, counts = zlib.decompress(packed), width * n, {}
    before = bytes(line)
    for y in range(height):
        how, row = raw[y * (line + 1)], bytearray(raw[y * (line + 1) + 1:(y + 1) * (line + 1)])
        for i in range(line if how else 0):
            a, b, c = row[i - n] if i >= n else 0, before[i], before[i - n] if i >= n else 0
            if how == 1:
                add = a
            elif how == 2:
                add = b
            elif how == 3:
                add = (a + b) // 2
            else:
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                add = a if pa <= pb and pa <= pc else b if pb <= pc else c
            row[i] = (row[i] + add) & 255
        before = bytes(row)
        for i in range(0, line, n):
            pixel = before[i:i + 3]
            counts[pixel] = counts.get(pixel, 0) + 1
    return width, height, counts
