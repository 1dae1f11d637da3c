"""A self-contained HTML page: no script, no network, readable on a phone and a desk, in the light and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from burnish.errors import short

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6778; --line: #dfe3ea; --page: #f6f7f9; --card: #fff;
  --main: #2458a6; --main-soft: #d8e4f6; --good: #1d7a46; --bad: #b3372f; --warn-card: #fff6e0; --warn-line: #e5b84b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b6; --line: #313a48; --page: #12161d; --card: #1b212b;
  --main: #7fb0f5; --main-soft: #24395a; --good: #67c98f; --bad: #f0857c; --warn-card: #2e2712; --warn-line: #8f7329; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: clamp(1.5rem, 5vw, 2.2rem); line-height: 1.2; margin: .4em 0 .2em; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .6em; }
h3 { font-size: 1rem; margin: 1.4em 0 .5em; }
p { margin: .5em 0; }
.soft { color: var(--soft); font-size: .92rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; margin: 16px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 240px), 1fr)); gap: 16px; }
.tile .value { font-size: 2.2rem; font-weight: 650; line-height: 1.1; font-variant-numeric: tabular-nums; }
.tile .name { color: var(--soft); text-transform: uppercase; letter-spacing: .05em; font-size: .78rem; }
.warn { background: var(--warn-card); border-left: 4px solid var(--warn-line); border-radius: 6px; padding: 10px 14px; margin: 10px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px 6px 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
.matrix td { text-align: center; min-width: 40px; padding: 6px; border: 1px solid var(--card); }
.matrix th { text-align: right; padding: 4px 8px; border: 0; }
.matrix thead th { text-align: center; vertical-align: bottom; }
.matrix thead th.tall span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 10em; overflow: hidden; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 14px; }
figure { margin: 0; }
figure img { width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--page); border-radius: 8px; display: block; }
figcaption { font-size: .85rem; line-height: 1.4; margin-top: 4px; overflow-wrap: anywhere; }
figcaption .soft { font-size: .78rem; }
img.wide { width: 100%; max-width: 900px; display: block; background: #fff; border-radius: 8px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 24px; }
svg { width: 100%; height: auto; display: block; }
svg.chart { max-width: 620px; } .tile svg { max-width: 340px; }
svg text { fill: var(--soft); font: 14px system-ui, sans-serif; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 8px; padding: 12px; overflow-x: auto; font-size: .88rem; }
code { font-family: ui-monospace, "SF Mono", Consolas, monospace; }
.good { color: var(--good); } .bad { color: var(--bad); }
@media (max-width: 520px) { section { padding: 14px; } table { font-size: .8rem; } th, td { padding: 5px 7px 5px 0; }
  .matrix td { min-width: 27px; padding: 4px 2px; } .matrix th { padding: 2px 5px; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""


def page(title: str, body: Sequence[str]) -> str:
    """A whole page of the parts of `body` (HTML)."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A titled card; nothing when all `parts` are empty."""
    inside = "\n".join(p for p in parts if p)
    return f"<section><h2>{escape(title)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def warning(text: str) -> str:
    return f'<div class="warn">{escape(text)}</div>'


def code(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; columns of numbers are set to the right. Cells are text or numbers (None is a dash)."""
    right = [all(isinstance(row[i], (int, float)) or row[i] is None for row in rows) for i in range(len(header))]
    head = "".join(f"<th{_number(r)}>{escape(str(h))}</th>" for h, r in zip(header, right, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{_number(r)}>{escape(cell(v))}</td>" for v, r in zip(row, right, strict=True)) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def photo(jpeg: str, caption: str) -> str:
    """A picture (a data: address) over its caption (HTML)."""
    return f'<figure><img alt="" src="{jpeg}"><figcaption>{caption}</figcaption></figure>'


def figure(picture: str, says: str) -> str:
    """A picture (a data: address) as wide as its section; `says` is for those who can't see it."""
    return f'<img class="wide" alt="{escape(says)}" src="{picture}">'


def photos(figures: Sequence[str]) -> str:
    return f'<div class="photos">{"".join(figures)}</div>' if figures else ""


def cell(value: Any) -> str:
    """A value as a table shows it: numbers short, nothing as a dash."""
    if value is None or (isinstance(value, float) and value != value):
        return "–"
    return short(value) if isinstance(value, float) else str(value)


def _number(right: bool) -> str:
    return ' class="number"' if right else ""
