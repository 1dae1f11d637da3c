"""The parts of the report: what is escaped, what is drawn, what is left out."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from burnish.deploy import charts, page
from burnish.deploy.report import headline

EVIL = '<script>alert("x")</script>'


def test_everything_from_outside_is_escaped() -> None:
    parts = [
        page.section(EVIL, page.paragraph(EVIL), page.warning(EVIL), page.code(EVIL)),
        page.table([EVIL, "n"], [[EVIL, 1]]),
        charts.matrix([[1, 2], [0, 3]], [EVIL, "b"]),
        charts.line_chart([(EVIL, [1, 2], [1.0, 2.0], "red")], EVIL, EVIL),
        headline(pd.DataFrame([{"metric": EVIL, "value": 0.5}])),
    ]
    whole = page.page(EVIL, parts)
    assert "<script" not in whole
    assert whole.count("&lt;script&gt;") >= 11


def test_a_section_without_content_is_nothing() -> None:
    assert page.section("Title", "", "") == ""


def test_numbers_are_short_and_set_to_the_right_and_missing_ones_are_dashes() -> None:
    got = page.table(["name", "value"], [["a", 0.123456], ["b", None], ["c", float("nan")]])
    assert "<th>name</th>" in got and '<th class="number">value</th>' in got
    assert '<td class="number">0.1235</td>' in got
    assert got.count('<td class="number">–</td>') == 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 47, [0, 10, 20, 30, 40]),
        (1, 400, [100, 200, 300, 400]),
        (2.2, 2.31, [2.2, 2.25, 2.3]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    found = charts.ticks(low, high)
    assert found == pytest.approx(expected)


def test_lines_are_drawn_where_the_numbers_are() -> None:
    got = charts.line_chart([("a", [0, 1, 2], [0.0, float("nan"), 1.0], "red"), ("empty", [], [], "blue")], "x", "y")
    root = ET.fromstring(got)
    (line,) = [e for e in root.iter() if e.tag == "polyline"]
    points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
    assert len(points) == 2  # the point that is no number is left out
    (x0, y0), (x1, y1) = points
    assert x0 < x1 and y0 > y1  # SVG counts downwards
    assert "empty" not in got


def test_nothing_to_draw_draws_nothing() -> None:
    assert charts.line_chart([("a", [1], [float("inf")], "red")], "x", "y") == ""


def test_one_point_is_drawn() -> None:
    ET.fromstring(charts.line_chart([("a", [1], [0.5], "red")], "x", "y"))


def test_confusion_matrix_shades_by_the_share_of_the_row() -> None:
    got = charts.matrix([[9, 1], [0, 0]], ["cat", "dog"])
    strengths = [int(s) for s in re.findall(r"var\(--(?:main|bad)\) (\d+)%", got)]
    assert strengths[0] > strengths[1]
    assert [re.sub("<[^>]*>", "", c) for c in re.findall("<td.*?</td>", got)] == ["9", "1", "0", "0"]


def test_tiles_show_value_interval_and_baseline() -> None:
    results = pd.DataFrame(
        [
            {"metric": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95, "baseline": 0.25, "n": 60},
            {"metric": "valid_loss", "value": 0.3, "low": float("nan"), "high": float("nan"), "baseline": float("nan"), "n": 60},
        ]
    )
    got = headline(results)
    assert "0.8 to 0.95" in got and ">0.25<" in got
    assert got.count("<svg") == 1  # a loss is no share: no bar
    assert got.count("interval") == 2 and "nan" not in got
