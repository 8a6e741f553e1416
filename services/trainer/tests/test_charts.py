"""Charts: round ticks, places in the drawing, and nothing where there is nothing."""

from __future__ import annotations

import math
import re

import pytest

from reel_trainer.report.charts import HEIGHT, LEFT, TOP, WIDTH, Line, line_chart, ticks


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.5, 21.5, [5, 10, 15, 20]),
        (0.912, 0.934, [0.915, 0.92, 0.925, 0.93]),
        (0, 8e-3, [0, 0.002, 0.004, 0.006, 0.008]),
        (-3, 2e6, [0, 5e5, 1e6, 1.5e6, 2e6]),
    ],
)
def test_ticks_are_round_and_lie_inside(low: float, high: float, wanted: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(wanted)


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path)]


def test_lines_lie_where_their_values_are() -> None:
    chart = line_chart("t", [Line("a", [(0, 0), (10, 1)]), Line("b", [(5, 0.5)])], x_label="x", percent=True)
    assert chart is not None
    first, last = places(chart.lines[0].path)
    assert first == (LEFT, chart.bottom)
    assert last == (chart.right, TOP)
    (middle,) = places(chart.lines[1].path)
    assert middle == pytest.approx(((LEFT + chart.right) / 2, (TOP + chart.bottom) / 2), abs=0.1)
    assert chart.lines[1].dots[0].title == "b: 50 % at 5"
    assert [tick.text for tick in chart.y_ticks] == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for line in chart.lines for x, y in places(line.path))


def test_a_line_that_never_changes_and_one_point_alone_are_drawn_in_the_middle() -> None:
    for points in ([(1.0, 0.7), (2.0, 0.7)], [(1.0, 0.7)]):
        chart = line_chart("t", [Line("a", points)], x_label="x")
        assert chart is not None
        assert all(
            math.isfinite(y) and y == pytest.approx((TOP + chart.bottom) / 2)
            for _, y in places(chart.lines[0].path)
        )


def test_without_a_point_there_is_no_chart() -> None:
    assert line_chart("t", [Line("a", [])], x_label="x") is None


def test_bands_and_marks_follow_the_axes() -> None:
    chart = line_chart(
        "t",
        [Line("a", [(1, 0), (4, 1)])],
        x_label="epoch",
        x_range=(0.5, 4.5),
        bands=[(0.5, 2.5, "head"), (2.5, 4.5, "all")],
        diagonal=True,
        mark=(4.5, 0.0, "here"),
    )
    assert chart is not None
    head, everything = chart.bands
    assert (head.left, head.name) == (LEFT, "head")
    assert head.left + head.width == pytest.approx(everything.left, abs=0.1)
    assert chart.mark is not None
    assert (chart.mark.x, chart.mark.y) == (chart.right, chart.bottom)
    assert chart.diagonal.startswith("M")


def test_epochs_are_whole() -> None:
    chart = line_chart("t", [Line("a", [(1, 0), (2, 1)])], x_label="epoch", x_range=(0.5, 2.5), whole=True)
    assert chart is not None
    assert [tick.text for tick in chart.x_ticks] == ["1", "2"]
