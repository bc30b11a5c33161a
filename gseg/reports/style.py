"""The page's style sheet: readable on a phone and in print, in light and in dark."""

from typing import Final

_LIGHT: Final = """
--page:#fff;--ink:#1c2128;--dim:#57606a;--rule:#d0d7de;--soft:#f6f8fa;--best:#dafbe1;
--c0:#0969da;--c1:#bf3989;--c2:#1a7f37;--c3:#bc4c00;--c4:#8250df;--c5:#0c7b93;
--c6:#9a6700;--c7:#cf222e
"""
_DARK: Final = """
--page:#0d1117;--ink:#e6edf3;--dim:#9da7b1;--rule:#3d444d;--soft:#161b22;--best:#12361f;
--c0:#58a6ff;--c1:#f778ba;--c2:#56d364;--c3:#ffa657;--c4:#d2a8ff;--c5:#76e3ea;
--c6:#e3b341;--c7:#ff7b72
"""
_GROUPS: Final = "".join(
    f".c{number}{{fill:var(--c{number})}}.s{number}{{stroke:var(--c{number})}}"
    for number in range(8)
)

STYLE: Final = f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0 auto;padding:1rem;max-width:74rem;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}}
h1{{font-size:1.6rem;line-height:1.2}}h2{{font-size:1.3rem;margin-top:2.5rem;
border-bottom:1px solid var(--rule);padding-bottom:.3rem}}h3{{font-size:1rem;margin:1.5rem 0 .4rem}}
nav ul{{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1rem}}
a{{color:var(--c0)}}p{{max-width:46rem}}.note,figcaption{{color:var(--dim);font-size:.875rem}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}}
th,td{{padding:.25rem .6rem;border-bottom:1px solid var(--rule);text-align:left;
vertical-align:top;white-space:nowrap}}
td.long,th.long{{white-space:normal;min-width:22rem}}
th{{background:var(--soft);position:sticky;top:0}}
td:first-child,th:first-child{{position:sticky;left:0;background:var(--page)}}
th:first-child{{background:var(--soft)}}
td.number,th.number{{text-align:right}}details{{margin:.5rem 0}}
summary{{cursor:pointer;font-weight:600;padding:.2rem 0}}
td.best{{font-weight:700;background:var(--best)}}
.charts{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));
gap:1rem}}
.sheets{{display:flex;flex-wrap:wrap;gap:1.5rem;align-items:flex-start}}
figure{{margin:1rem 0}}.charts figure{{margin:0}}
.sheets figure{{margin:0;max-width:min(34rem,100%)}}
img{{max-width:100%;height:auto;background:#fff}}
figure>svg{{width:100%;height:auto;max-width:40rem;background:var(--page)}}
svg text{{fill:var(--ink);font:12px system-ui,"DejaVu Sans",sans-serif}}
svg .title{{font-weight:700;font-size:13px}}svg .tick{{fill:var(--dim);font-size:11px}}
svg .label{{font-size:11px}}svg .cell{{font-size:11px}}svg .b{{fill:#000}}svg .w{{fill:#fff}}
svg .grid{{stroke:var(--rule);stroke-width:.6}}svg .line{{fill:none;stroke-width:1.6}}
svg .spread{{stroke-width:1.2}}svg .band{{fill:var(--dim);opacity:.16}}
svg .fit{{fill:none;stroke:var(--dim);stroke-width:1.4;stroke-dasharray:4 3}}
svg .none{{fill:none;stroke:var(--rule)}}
{_GROUPS}
@media (max-width:40rem){{svg .tick,svg .label,svg .cell,svg text{{font-size:13px}}
svg .title{{font-size:14px}}}}
@media print{{:root{{color-scheme:light;font-size:11px;{_LIGHT}}}nav{{display:none}}
body{{font-size:9pt;max-width:none;padding:0}}figure,tr,img,svg{{break-inside:avoid}}
h2,h3{{break-after:avoid}}h2{{margin-top:1.5rem}}
.scroll{{overflow:visible}}table{{font-size:6.5pt}}
th,td{{white-space:normal;padding:.1rem .2rem}}
.sheets{{flex-wrap:nowrap;gap:.5rem;break-inside:avoid}}.sheets figure{{flex:1 1 0;min-width:0}}
td.long,th.long{{min-width:8rem}}td:first-child,th,th:first-child{{position:static}}
.charts{{grid-template-columns:1fr 1fr}}}}
""".replace("\n", "")
"""Colours are variables, which charts use by class."""
