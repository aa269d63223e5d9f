"""The one optimisation loop: Adam steps, reports, cancelling, a finite check, a projection.

Source: method section 2 (Adam at PyTorch's defaults, constant rate) and 14.4: the official code
stores what the last forward pass used, so the last update of most variables is discarded. A stage
therefore keeps the values of its last `Pass`, and reads a variable itself where the official code
keeps the update (F).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from barber.artifacts import Pixels
from barber.errors import StageError
from barber.plan import StageKind
from barber.stages.pictures import to_pixels

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """Where a stage stands after one step."""

    phase: str  # a stage's loops by name, for example "w_plus" and "fs"
    step: int  # 1-based within the phase
    steps: int  # of the phase
    done: float  # fraction of the whole stage, 0..1
    losses: Mapping[str, float]  # weighted, by name; "total" is their sum
    preview: Callable[[], Pixels] | None  # the pass's picture, made when asked for


OnStep = Callable[[StepReport], None]  # may raise Cancelled to stop the work


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass(Generic[T]):
    """One forward pass."""

    losses: Mapping[str, Tensor]  # weighted scalars; the loop minimises their sum
    kept: T  # detached: what the stage may store of this pass
    picture: Tensor  # signed, detached [1, 3, R, R]


def refuse_non_finite(stage: StageKind, values: Mapping[str, Tensor | float]) -> None:
    """Raises StageError, with the name, when a value of an outcome is not finite.

    Args:
        stage: Whose outcome it is.
        values: Numbers and tensors of it, by the name to tell; whole numbers pass.
    """
    for name, value in values.items():
        if isinstance(value, Tensor):
            finite = bool(value.detach().isfinite().all())
        else:
            finite = math.isfinite(value)
        if not finite:
            raise StageError(
                f"{stage} came to a non-finite {name}: use lower rates or another portrait",
                stage=stage,
            )


class Descent:
    """Everything that changes from step to step: the variables, Adam's moments, the step count.

    Args:
        variables: Leaf tensors, optimised in place.
        rate: Adam's learning rate.
    """

    def __init__(self, variables: Sequence[Tensor], *, rate: float) -> None:
        self.variables = tuple(variable.requires_grad_(True) for variable in variables)
        self.optimiser = torch.optim.Adam(self.variables, lr=rate)
        self.step = 0  # updates made

    def update(self, loss: Tensor) -> None:
        """One Adam step down the loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1


class Course:
    """A stage's way through its phases: where it stands, and who is told.

    Args:
        stage: Whose course it is; named in errors.
        steps: Steps of all phases together.
        on_step: Called after every step; what it raises ends the stage.
    """

    def __init__(self, stage: StageKind, *, steps: int, on_step: OnStep | None) -> None:
        self.stage = stage
        self.steps = steps
        self.on_step = on_step
        self.taken = 0

    def descend(
        self,
        phase: str,
        descent: Descent,
        forward: Callable[[], Pass[T]],
        *,
        steps: int,
        project: Callable[[], None] | None = None,
    ) -> tuple[Pass[T], dict[str, float]]:
        """Steps until the descent has made `steps` updates.

        Args:
            phase: Name of this loop in reports and errors.
            descent: The variables and their optimiser; one that has steps behind it goes on.
            forward: Computes the losses from the variables as they are.
            steps: At least one.
            project: Brings the variables back into their range, after each update.

        Returns:
            The last forward pass, which the last update is not part of, and its losses.

        Raises:
            StageError: A loss or, at the end, a variable is not finite.
        """
        assert descent.step < steps, f"{phase} has no step left of {steps}"
        while descent.step < steps:
            found = forward()
            total = torch.stack(list(found.losses.values())).sum()
            values = [*found.losses.values(), total]
            numbers = torch.stack([value.detach() for value in values]).tolist()
            losses = dict(zip([*found.losses, "total"], numbers, strict=True))
            self._check_losses(phase, descent.step + 1, steps, losses)
            descent.update(total)
            if project is not None:
                with torch.no_grad():
                    project()
            self._report(phase, descent.step, steps, losses, found.picture)
        self._check_variables(phase, descent)
        return found, losses

    def _report(
        self, phase: str, step: int, steps: int, losses: dict[str, float], picture: Tensor
    ) -> None:
        self.taken += 1
        if self.on_step is None:
            return
        report = StepReport(
            phase=phase,
            step=step,
            steps=steps,
            done=min(self.taken / self.steps, 1.0),
            losses=losses,
            preview=lambda: to_pixels(picture),
        )
        self.on_step(report)

    def _check_losses(self, phase: str, step: int, steps: int, losses: dict[str, float]) -> None:
        if math.isfinite(losses["total"]):
            return
        culprits = {name: value for name, value in losses.items() if not math.isfinite(value)}
        name, value = next(iter(culprits.items()))
        raise StageError(
            f"{self.stage} met a non-finite loss at step {step} of {steps} of {phase}: {name} is "
            f"{value}; use a lower rate or another portrait",
            stage=self.stage,
        )

    def _check_variables(self, phase: str, descent: Descent) -> None:
        if not all(bool(variable.detach().isfinite().all()) for variable in descent.variables):
            raise StageError(
                f"{self.stage} ended {phase} with a non-finite variable after step {descent.step}; "
                "use a lower rate or another portrait",
                stage=self.stage,
            )
