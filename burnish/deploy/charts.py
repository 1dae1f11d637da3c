"""Charts of the report as inline SVG and HTML: sharp at any width, and in the colours of the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

Line = tuple[str, Sequence[float], Sequence[float], str]  # name, x, y, colour

_W, _H, _LEFT, _RIGHT, _TOP, _BOTTOM = 480, 270, 48, 14, 34, 46


def line_chart(lines: Sequence[Line], x_label: str, y_label: str) -> str:
    """Lines over common axes. Points that aren't finite are left out; returns nothing when no point is left."""
    kept = [(n, [(x, y) for x, y in zip(xs, ys, strict=True) if _finite(x) and _finite(y)], c) for n, xs, ys, c in lines]
    kept = [line for line in kept if line[1]]
    if not kept:
        return ""
    xs = [x for _, points, _ in kept for x, _ in points]
    ys = [y for _, points, _ in kept for _, y in points]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(0.0, *ys), max(ys))
    across, up = _scale(min(xs), max(xs), _LEFT, _W - _RIGHT), _scale(y_ticks[0], max(y_ticks[-1], *ys), _H - _BOTTOM, _TOP)
    parts = [f'<svg class="chart" viewBox="0 0 {_W} {_H}" role="img" aria-label="{escape(y_label)} over {escape(x_label)}">']
    for t in y_ticks:
        parts.append(f'<line x1="{_LEFT}" x2="{_W - _RIGHT}" y1="{up(t):.1f}" y2="{up(t):.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{up(t) + 4:.1f}" text-anchor="end">{t:g}</text>')
    parts += [f'<text x="{across(t):.1f}" y="{_H - _BOTTOM + 18}" text-anchor="middle">{t:g}</text>' for t in x_ticks]
    parts.append(f'<text x="{(_LEFT + _W) / 2:.0f}" y="{_H - 4}" text-anchor="middle">{escape(x_label)}</text>')
    for i, (name, points, colour) in enumerate(kept):
        parts += [_drawn(points, across, up, colour), _legend(name, colour, i)]
    return "".join(parts) + "</svg>"


def scatter(xs: Sequence[float], ys: Sequence[float], x_label: str, y_label: str) -> str:
    """Dots over axes of one scale, with the line of equal numbers. Dots that aren't finite are left out; returns nothing when none is left."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if _finite(x) and _finite(y)]
    if not points:
        return ""
    every = [v for point in points for v in point]
    marks, side = ticks(min(every), max(every)), _H - _BOTTOM - _TOP
    low, high = min(*every, marks[0]), max(*every, marks[-1])
    across, up = _scale(low, high, _LEFT, _LEFT + side), _scale(low, high, _H - _BOTTOM, _TOP)
    parts = [f'<svg class="chart" viewBox="0 0 {_W} {_H}" role="img" aria-label="{escape(y_label)} over {escape(x_label)}">']
    for t in marks:
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + side}" y1="{up(t):.1f}" y2="{up(t):.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{up(t) + 4:.1f}" text-anchor="end">{t:g}</text>')
        parts.append(f'<text x="{across(t):.1f}" y="{_H - _BOTTOM + 18}" text-anchor="middle">{t:g}</text>')
    ends = f'x1="{across(low):.1f}" y1="{up(low):.1f}" x2="{across(high):.1f}" y2="{up(high):.1f}"'
    parts.append(f'<line {ends} stroke="var(--soft)" stroke-dasharray="4 4"/>')
    parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="var(--main)" fill-opacity="0.55"/>' for x, y in points]
    parts.append(f'<text x="{_LEFT + side / 2:.0f}" y="{_H - 4}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text x="{_LEFT}" y="15">{escape(y_label)}</text>')
    return "".join(parts) + "</svg>"


def _drawn(points: Sequence[tuple[float, float]], across: Any, up: Any, colour: str) -> str:
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    line = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>'
    dots = [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    return line + ("".join(dots) if len(points) <= 30 else "")


def _legend(name: str, colour: str, i: int) -> str:
    x = _LEFT + 175 * i
    return f'<rect x="{x}" y="8" width="14" height="4" rx="2" fill="{colour}"/><text x="{x + 20}" y="15">{escape(name)}</text>'


def bar(value: float, low: float | None, high: float | None, baseline: float | None) -> str:
    """A share between 0 and 1 as a bar, with its interval and the baseline's mark."""
    width, middle = 240, 12
    x = lambda v: 2 + (width - 4) * min(max(v, 0.0), 1.0)  # noqa: E731
    parts = [f'<svg viewBox="0 0 {width} 26" role="img" aria-label="value {value:.3g}, interval and baseline">']
    parts.append(f'<rect x="2" y="{middle - 4}" width="{width - 4}" height="8" rx="4" fill="var(--line)"/>')
    parts.append(f'<rect x="2" y="{middle - 4}" width="{x(value) - 2:.1f}" height="8" rx="4" fill="var(--main)"/>')
    if low is not None and high is not None:
        parts.append(f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{middle}" y2="{middle}" stroke="var(--ink)" stroke-width="2"/>')
        parts += [
            f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{middle - 5}" y2="{middle + 5}" stroke="var(--ink)" stroke-width="2"/>'
            for v in (low, high)
        ]
    if baseline is not None:
        parts.append(f'<path d="M{x(baseline):.1f} {middle + 5} l-5 8 h10 z" fill="var(--bad)"/>')
    return "".join(parts) + "</svg>"


def matrix(counts: Sequence[Sequence[int]], labels: Sequence[Any]) -> str:
    """A confusion matrix, a row an actual class and a column a predicted one, shaded by the share of its row."""
    names = [escape(str(label)) for label in labels]
    tall = " class=tall" if len(names) > 6 or any(len(str(label)) > 9 for label in labels) else ""
    head = "".join(f"<th{tall}><span>{name}</span></th>" for name in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=True)):
        total = sum(row) or 1
        rows.append(f"<tr><th>{name}</th>" + "".join(_shaded(int(n), n / total, i == j) for j, n in enumerate(row)) + "</tr>")
    return f'<div class="scroll"><table class="matrix"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _shaded(count: int, share: float, right: bool) -> str:
    if not count:
        return '<td style="color:var(--line)">0</td>'
    colour = "var(--main)" if right else "var(--bad)"
    strong = 18 + 62 * share
    ink = "var(--card)" if strong > 48 else "var(--ink)"
    return f'<td style="background:color-mix(in srgb, {colour} {strong:.0f}%, var(--card));color:{ink}">{count:,}</td>'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` of them, in steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = (high - low) or 1.0
    return lambda v: start + (end - start) * (v - low) / span


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
