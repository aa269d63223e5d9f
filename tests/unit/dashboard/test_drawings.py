"""Curves as paths: where a line begins and ends, and what cannot be drawn."""

import re

import pytest

from barber.catalogue.curves import CurveRow, PhaseCurve
from dashboard.drawings import HEIGHT, INSET, WIDTH, draw


def curve(*points, token=1, names=("total", "lpips"), phase="w_plus"):
    whole = PhaseCurve(phase=phase, steps=100, names=names, points=tuple(points))
    return CurveRow(stage_id=1, token=token, phases=(whole,))


def places(line):
    return [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", line.path)]


def test_the_width_is_the_stage_and_the_height_goes_by_orders_of_magnitude():
    drawing = draw([curve((1, 0.0, 100.0, 1.0), (50, 0.5, 10.0, 1.0), (100, 1.0, 1.0, 1.0))])
    (left, top), (_, middle), (right, bottom) = places(drawing.total)
    assert (left, right) == (INSET, WIDTH - INSET)
    assert (top, bottom) == (INSET, HEIGHT - INSET)
    assert middle == pytest.approx((top + bottom) / 2, abs=0.1)
    assert [line.name for line in drawing.lines] == ["lpips", "total"], "the total lies above"
    assert drawing.words == "loss from 100 to 1"


def test_losses_that_are_no_number_or_not_above_zero_are_left_out():
    drawing = draw([curve((1, 0.1, 4.0, None), (2, 0.2, None, 0.0), (3, 0.3, 2.0, -1.0))])
    assert [line.name for line in drawing.lines] == ["total"]
    assert len(places(drawing.total)) == 2


@pytest.mark.parametrize("curves", [[], [curve((1, 0.1, None, None))], [curve()]])
def test_nothing_to_draw_is_no_drawing(curves):
    assert draw(curves) is None


def test_one_step_is_a_dot_and_equal_losses_lie_in_the_middle():
    (line,) = draw([curve((1, 0.5, 3.0), names=("total",))]).lines
    assert set(places(line)) == {(WIDTH / 2, HEIGHT / 2)}


def test_earlier_attempts_lie_under_the_latest():
    drawing = draw([curve((1, 0.1, 5.0, 1.0)), curve((1, 0.1, 4.0, 1.0), token=2)])
    assert [line.is_past for line in drawing.lines] == [True, False, False]
    assert drawing.total.first == 4.0
