# SPDX-License-Identifier: MIT
"""The figures of bench/run.py as one HTML file: what godwit takes for the same work, as a ratio beside each QEMU of the same run.

The file needs no other, has no script, and looks like the reports of `godwit ctl migrate --report`. A row is
(group, what, of whom, [ratios turn by turn]); less is better in all.
"""
import html
import math
import statistics

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--ink:#16202c;--soft:#5b6878;--rule:#dde3ea;--good:#0d9270;--bad:#e8590c}
@media (prefers-color-scheme:dark){:root{--bg:#12171e;--ink:#e8edf3;--soft:#9aa7b6;--rule:#2c3642;--good:#38d0a4;--bad:#ff9447}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
main{max-width:1064px;margin:0 auto;padding:28px 32px 48px}h1{font-size:30px;line-height:1.2;margin:0 0 6px}
h2{font-size:18px;margin:36px 0 4px}.soft{color:var(--soft)}figure{margin:0}figure svg{display:block;max-width:100%;height:auto}
svg text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}
svg .soft{fill:var(--soft)}svg .strong{font-weight:600}svg .rule{stroke:var(--rule)}svg .one{stroke:var(--soft);stroke-width:1.5}
svg .good{fill:var(--good)}svg .bad{fill:var(--bad)}svg .spread{stroke:var(--ink);stroke-width:1.2}
svg.narrow{display:none!important}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;width:100%}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--rule)}td.n,th.n{text-align:right}
@media (max-width:700px){main{padding:20px 16px 40px}h1{font-size:23px}svg.wide{display:none!important}svg.narrow{display:block!important}}
"""


def times(ratio):
    return "%.2f" % ratio if ratio < 10 else "%.0f" % ratio


def axis(rows):
    """Powers of two that enclose all values and 1."""
    values = [v for row in rows for v in row[3]] + [1]
    low = max(-10, math.floor(math.log2(min(values))))
    high = min(10, math.ceil(math.log2(max(values))))
    return low, max(high, low + 1)


def chart(rows, low, high, width, look):
    """The bars of one group: from 1, as much as that QEMU takes, to the median; the thin line is from the least to the most."""
    narrow = width < 600
    left, right, step, top = (12, width - 52, 42, 22) if narrow else (300, width - 60, 26, 22)

    def x(ratio):
        return left + (right - left) * (min(max(math.log2(ratio), low), high) - low) / (high - low)

    height = top + step * len(rows) + 4
    title = "godwit beside QEMU: " + rows[0][0]
    out = ['<svg xmlns="http://www.w3.org/2000/svg" class="%s" role="img" aria-label="%s" width="%d" height="%d" viewBox="0 0 %d %d">'
           % (look, html.escape(title), width, height, width, height)]
    every = max(1, math.ceil((high - low) / (4 if narrow else 8)))
    for e in range(low, high + 1):
        out.append('<line class="%s" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>' % ("one" if e == 0 else "rule", x(2.0 ** e), top, x(2.0 ** e), height))
        if e % every == 0:
            word = "as QEMU" if e == 0 else "%gx" % (2.0 ** e) if e > 0 else "1/%d" % (2 ** -e)
            out.append('<text class="soft" x="%.1f" y="14" text-anchor="%s">%s</text>' % (x(2.0 ** e), "start" if narrow and e == low else "middle", word))
    for i, (_, what, whom, ratios) in enumerate(rows):
        mid, y = statistics.median(ratios), top + step * i
        bar = y + (20 if narrow else 6)
        label = "%s beside %s" % (what, whom)
        out.append('<text x="%d" y="%d">%s</text>' % (0 if not narrow else left, y + (15 if narrow else 18), html.escape(label)))
        out.append('<rect class="%s" x="%.1f" y="%d" width="%.1f" height="14"><title>%s</title></rect>'
                   % ("good" if mid <= 1 else "bad", min(x(mid), x(1)), bar, max(abs(x(mid) - x(1)), 1),
                      html.escape("%s: %s times (%s to %s)" % (label, times(mid), times(min(ratios)), times(max(ratios))))))
        out.append('<line class="spread" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>' % (x(min(ratios)), bar + 7, x(max(ratios)), bar + 7))
        out.append('<text class="strong" x="%d" y="%d" text-anchor="end">%s</text>' % (width, bar + 12, times(mid)))
    return "\n".join(out + ["</svg>"])


def page(rows, about):
    rows = [r for r in rows if r[3] and min(r[3]) > 0]
    groups = list(dict.fromkeys(r[0] for r in rows))
    low, high = axis(rows)
    better = sum(statistics.median(r[3]) < 0.995 for r in rows)
    out = ['<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml"><head><meta charset="utf-8"/>',
           '<meta name="viewport" content="width=device-width,initial-scale=1"/>',
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"/>",
           '<link rel="icon" href="data:,"/><title>godwit beside QEMU</title>\n<style>%s</style></head><body><main>' % STYLE,
           "<h1>godwit takes less than QEMU in %d of %d rows</h1>" % (better, len(rows)),
           '<p class="soft">%s. The same work in the same run, turn by turn. A bar reaches from what QEMU takes to what godwit takes: '
           "left of the line is less. Logarithmic scale; the thin lines reach from the least to the most.</p>" % html.escape(about)]
    if not rows:
        out.append("<p>There is no QEMU to be compared with.</p>")
    for group in groups:
        mine = [r for r in rows if r[0] == group]
        out.append("<h2>%s</h2>\n<figure>" % html.escape(group))
        out += [chart(mine, low, high, 1000, "wide"), chart(mine, low, high, 360, "narrow"), "</figure>"]
    if rows:
        out.append('<h2>All figures</h2>\n<div class="scroll"><table><thead><tr><th>what</th><th>measure</th><th>beside</th>'
                   '<th class="n">median</th><th class="n">least</th><th class="n">most</th><th class="n">turns</th></tr></thead><tbody>')
    for group, what, whom, ratios in rows:
        cells = [times(statistics.median(ratios)), times(min(ratios)), times(max(ratios)), str(len(ratios))]
        out.append("<tr><td>%s</td><td>%s</td><td>%s</td>%s</tr>" % (html.escape(group), html.escape(what), html.escape(whom),
                                                                   "".join('<td class="n">%s</td>' % c for c in cells)))
    if rows:
        out.append("</tbody></table></div>")
    return "\n".join(out + ["</main></body></html>"]) + "\n"
