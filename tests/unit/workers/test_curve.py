"""What is kept of a falling loss."""

import itertools
import json
import math
from types import SimpleNamespace

from workers.curve import Curve


def report(step, *, phase="w_plus", steps=1000, done=None, **losses):
    given = {"total": 1000.0 / step, **losses}
    return SimpleNamespace(
        phase=phase, step=step, steps=steps, losses=given, done=done or step / steps
    )


def test_a_long_stage_keeps_few_points_with_its_first_and_its_latest_step():
    curve = Curve(most=20)
    for step in range(1, 1001):
        curve.add(report(step))
        told = curve.phases()[0]["points"]
        assert len(told) <= 22
        assert (told[0][0], told[-1][0]) == (1, step)
    steps = [point[0] for point in told]
    assert steps == sorted(set(steps))
    gaps = [b - a for a, b in itertools.pairwise(steps[:-1])]
    assert max(gaps) <= 2 * min(gaps), "the points lie evenly"


def test_each_phase_has_its_own_losses_and_ends_with_its_last_step():
    curve = Curve()
    for step in range(1, 4):
        curve.add(report(step, steps=3, lpips=0.5))
    curve.add(report(1, phase="fs", steps=2, style=2.0))
    first, second = curve.phases()
    assert (first["phase"], first["steps"], first["names"]) == ("w_plus", 3, ["total", "lpips"])
    assert first["points"][-1][0] == 3
    assert second["names"] == ["total", "style"]


def test_infinite_losses_become_null_and_steps_without_losses_leave_nothing():
    curve = Curve()
    curve.add(SimpleNamespace(losses={}))
    assert curve.phases() == []
    assert curve.count == 0
    curve.add(report(1, lpips=math.inf))
    assert json.loads(json.dumps(curve.phases(), allow_nan=False))[0]["points"][0][3] is None
