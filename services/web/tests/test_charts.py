"""The drawings of the pages, as the SVG that they are."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from reel_web.charts import Band, Series, heat, interval, lines, reliability

STEADY = Series("loss", [(0, 2.0), (10, 1.0), (20, 0.5)], "s0")


def parsed(markup):
    return ElementTree.fromstring(str(markup))


def points(drawing):
    return [tuple(map(float, pair.split(","))) for pair in drawing.find("polyline").get("points").split()]


def test_higher_values_stand_higher_and_later_ones_further_right():
    drawn = points(parsed(lines("t", [STEADY])))
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)
    assert [y for _, y in drawn] == sorted(y for _, y in drawn)


def test_equal_factors_are_equal_steps_on_a_logarithmic_axis():
    (_, a), (_, b), (_, c) = points(
        parsed(lines("t", [Series("rate", [(0, 1e-1), (1, 1e-2), (2, 1e-3)], "s0")], logarithmic=True))
    )
    assert b - a == pytest.approx(c - b, abs=0.2)


def test_bands_meet_and_span_the_axis():
    drawing = parsed(lines("t", [STEADY], bands=[Band("one", 0, 10), Band("two", 10, 20)]))
    one, two = drawing.iter("rect")
    assert float(one.get("x")) + float(one.get("width")) == pytest.approx(float(two.get("x")), abs=0.2)


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf, 1e300])
def test_what_is_no_figure_is_left_out(strange):
    drawing = lines("t", [Series("loss", [(0, 2.0), (5, strange), (10, 1.0)], "s0")])
    assert len(points(parsed(drawing))) == 2
    assert not re.search(r"nan|inf", str(drawing))


@pytest.mark.parametrize("values", [[0.0], [3.0], [3.0, 3.0], [-1.0, -1.0]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_few_or_equal_values_are_drawn_too(values, logarithmic):
    drawn = lines("t", [Series("loss", list(enumerate(values)), "s0")], logarithmic=logarithmic)
    if not logarithmic or values[0] > 0:
        assert len(parsed(drawn)) > 1
    else:
        assert drawn == ""


def test_names_are_text_and_never_markup():
    drawing = lines("<script>", [Series("<b>", [(0, 1.0)], "s0", dots=True)], bands=[Band("<i>x</i>", 0, 9)])
    assert not re.search(r"<(script|b|i)>", str(drawing))
    parsed(drawing)


def test_a_map_is_relative_to_its_largest_cell():
    cells = list(parsed(heat("t", [[0.0, 0.1], [0.2, 0.4]])).iter("rect"))
    assert [cell.get("opacity") for cell in cells] == ["0.25", "0.50", "1.00"]
    assert heat("t", [[0.0]]) == ""


def test_a_calibrated_model_lies_on_the_diagonal():
    drawn = points(parsed(reliability("t", [(0.2, 0.2, 10), (0.8, 0.8, 40)])))
    assert (drawn[1][0] - drawn[0][0]) == pytest.approx(drawn[0][1] - drawn[1][1], abs=0.2)


def test_an_interval_reaches_as_far_as_its_bounds():
    path = parsed(interval(0.9, (0.8, 0.95), "t")).find("path").get("d")
    assert path.startswith("M80.0 6H95.0")
