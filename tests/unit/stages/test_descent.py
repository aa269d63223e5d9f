from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.errors import Cancelled, StageError
from barber.models.stylegan2 import Noise
from barber.plan import StageKind
from barber.stages.descent import Course, Descent, Pass, StepReport

RATE = 0.1


def parabola(x: Tensor, *, kept: list[float] | None = None) -> Pass[float]:
    value = float(x.detach())
    if kept is not None:
        kept.append(value)
    loss = (x - 3.0).square().sum()
    return Pass(losses={"distance": loss}, kept=value, picture=torch.zeros(1, 3, 2, 2))


def course(steps: int, reports: list[StepReport] | None = None) -> Course:
    on_step = None if reports is None else reports.append
    return Course(StageKind.ALIGN, steps=steps, noise=Noise.zero(), on_step=on_step)


def test_steps_are_those_of_adam_at_its_defaults() -> None:
    x, y = torch.zeros(1), torch.zeros(1, requires_grad=True)
    course(5).descend("p", Descent([x], rate=RATE), lambda: parabola(x), steps=5)
    adam = torch.optim.Adam([y], lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    for _ in range(5):
        adam.zero_grad()
        (y - 3.0).square().sum().backward()
        adam.step()
    assert torch.equal(x, y)


def test_last_pass_is_one_update_behind_the_variable() -> None:
    x, seen = torch.zeros(1), list[float]()
    last, losses = course(3).descend(
        "p", Descent([x], rate=RATE), lambda: parabola(x, kept=seen), steps=3
    )
    assert last.kept == seen[-1] and len(seen) == 3
    assert float(x.detach()) > last.kept
    assert losses["total"] == pytest.approx((last.kept - 3) ** 2)


def test_reports_count_steps_and_the_share_of_the_whole_stage() -> None:
    reports: list[StepReport] = []
    way, x = course(5, reports), torch.zeros(1)
    way.descend("first", Descent([x], rate=RATE), lambda: parabola(x), steps=3)
    way.descend("second", Descent([x], rate=RATE), lambda: parabola(x), steps=2)
    assert [(r.phase, r.step, r.steps) for r in reports] == [
        *(("first", k, 3) for k in (1, 2, 3)),
        *(("second", k, 2) for k in (1, 2)),
    ]
    assert [r.done for r in reports] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert reports[0].losses == {"distance": 9.0, "total": 9.0}


def test_preview_is_the_picture_of_its_own_step() -> None:
    reports: list[StepReport] = []
    x = torch.zeros(1)

    def forward() -> Pass[None]:
        picture = torch.full((1, 3, 2, 2), 2.0 * len(reports) - 1.0)  # -1, then 1
        return Pass(losses={"l": x.square().sum()}, kept=None, picture=picture)

    course(2, reports).descend("p", Descent([x], rate=RATE), forward, steps=2)
    previews = [r.preview() for r in reports if r.preview is not None]
    assert np.array_equal(previews, [np.zeros((2, 2, 3)), np.full((2, 2, 3), 255)])


def test_projection_holds_after_every_update() -> None:
    x, seen = torch.zeros(1), list[float]()

    def project() -> None:
        x.clamp_(max=0.15)

    course(4).descend(
        "p", Descent([x], rate=RATE), lambda: parabola(x, kept=seen), steps=4, project=project
    )
    assert max(seen) <= 0.15 + 1e-6 and float(x.detach()) <= 0.15 + 1e-6


def test_descent_goes_on_where_another_stopped() -> None:
    whole, halves = torch.zeros(1), torch.zeros(1)
    course(4).descend("p", Descent([whole], rate=RATE), lambda: parabola(whole), steps=4)
    descent = Descent([halves], rate=RATE)
    course(4).descend("p", descent, lambda: parabola(halves), steps=2)
    course(4).descend("p", descent, lambda: parabola(halves), steps=4)
    assert torch.equal(whole, halves)


def test_cancelling_in_a_report_leaves_at_once() -> None:
    x, seen = torch.zeros(1), list[float]()

    def stop(report: StepReport) -> None:
        if report.step == 2:
            raise Cancelled("the job was cancelled")

    way = Course(StageKind.ALIGN, steps=9, noise=Noise.zero(), on_step=stop)
    with pytest.raises(Cancelled):
        way.descend("p", Descent([x], rate=RATE), lambda: parabola(x, kept=seen), steps=9)
    assert len(seen) == 2


def test_non_finite_loss_names_stage_step_and_value() -> None:
    x, seen = torch.zeros(1), list[float]()

    def forward() -> Pass[float]:
        found = parabola(x, kept=seen)
        if len(seen) < 3:
            return found
        return Pass(losses={**found.losses, "style": x.sum() * torch.nan}, kept=0.0, picture=x)

    with pytest.raises(
        StageError, match=r"align met .* step 3 of 7 of reference: style is nan"
    ) as e:
        course(7).descend("reference", Descent([x], rate=RATE), forward, steps=7)
    assert e.value.stage == StageKind.ALIGN


def test_gradient_that_is_not_finite_cannot_leave_through_the_last_update() -> None:
    x = torch.zeros(1)

    def forward() -> Pass[None]:
        # The root's slope at zero is infinite although the loss itself is zero.
        return Pass(losses={"root": x.sqrt().sum() * 0}, kept=None, picture=x)

    with pytest.raises(StageError, match="non-finite variable after step 1"):
        course(1).descend("p", Descent([x], rate=RATE), forward, steps=1)
