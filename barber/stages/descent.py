"""The one optimisation loop: Adam steps, reports, cancelling, a finite check, a projection.

After every step but a phase's last the loop can tell all that it has changed as a `Snapshot`, and
it can start from one: the outcome is that of a stage that was never interrupted, bit for bit.

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
from barber.errors import SnapshotError, StageError
from barber.models.stylegan2 import Noise
from barber.plan import StageKind
from barber.stages.pictures import to_pixels
from barber.stages.snapshot import Finished, Snapshot

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
    # Where the stage stands, made when asked for, and only before `on_step` returns. None after a
    # phase's last step: what the phase came to is not known yet.
    snapshot: Callable[[], Snapshot] | None = None


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

    def adam(self) -> tuple[dict[str, Tensor], ...]:
        """Adam's state of each variable, by Adam's own names; live tensors."""
        states = (self.optimiser.state[variable] for variable in self.variables)
        return tuple({str(name): value for name, value in state.items()} for state in states)

    def restore(self, snapshot: Snapshot) -> None:
        """Continues from where another descent of the same variables stood.

        Raises:
            SnapshotError: It was of other variables.
        """
        shapes = [variable.shape for variable in self.variables]
        if [value.shape for value in snapshot.variables] != shapes:
            raise SnapshotError(f"the snapshot of {snapshot.stage} is of other variables")
        with torch.no_grad():
            for variable, value in zip(self.variables, snapshot.variables, strict=True):
                variable.copy_(value)
        states = {
            k: {name: _like(variable, value) for name, value in state.items()}
            for k, (variable, state) in enumerate(zip(self.variables, snapshot.adam, strict=True))
        }
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": states, "param_groups": groups})
        self.step = snapshot.step


def _like(variable: Tensor, value: Tensor) -> Tensor:
    """A moment laid out in memory as Adam lays it out; the count of steps as it is."""
    if value.shape != variable.shape:
        return value
    return torch.empty_like(variable, requires_grad=False).copy_(value)


class Course:
    """A stage's way through its phases: where it stands, and who is told.

    Args:
        stage: Whose course it is; named in errors.
        steps: Steps of all phases together.
        noise: The stage's source of noise, which every pass moves on.
        on_step: Called after every step; what it raises ends the stage.
        resume: Where an interrupted run of the same stage stood; None starts at the beginning.

    Raises:
        SnapshotError: The snapshot is of another stage.
    """

    def __init__(
        self,
        stage: StageKind,
        *,
        steps: int,
        noise: Noise,
        on_step: OnStep | None,
        resume: Snapshot | None = None,
    ) -> None:
        if resume is not None and resume.stage is not stage:
            raise SnapshotError(f"{stage} cannot go on from a snapshot of {resume.stage}")
        self.stage = stage
        self.steps = steps
        self.noise = noise
        self.on_step = on_step
        self.taken = 0
        self._resume = resume
        self._finished = {} if resume is None else dict(resume.finished)

    def once(
        self, phase: str, find: Callable[[], tuple[Tensor, Mapping[str, float]]]
    ) -> tuple[Tensor, Mapping[str, float]]:
        """A phase that another may follow: runs it, or takes what an interrupted run had found.

        Args:
            phase: Its name.
            find: Runs the phase; returns the only value that later ones read, and the losses.
        """
        known = self._finished.get(phase)
        if known is not None:
            self.noise.load_state(known.noise)
            return known.value, known.losses
        value, losses = find()
        self._finished[phase] = Finished(value=value, losses=losses, noise=self.noise.state())
        return value, losses

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
            SnapshotError: The stage was to go on in another phase, or from other variables.
        """
        self._go_on(phase, descent, steps)
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
            self._report(phase, descent, steps, losses, found.picture)
        self._check_variables(phase, descent)
        return found, losses

    def _go_on(self, phase: str, descent: Descent, steps: int) -> None:
        """Puts the interrupted phase back to where it stood; later ones start as ever."""
        resume, self._resume = self._resume, None
        if resume is None:
            return
        if resume.phase != phase or not 0 < resume.step < steps:
            raise SnapshotError(
                f"{self.stage} is at step 0 of {steps} of {phase}, its snapshot at step "
                f"{resume.step} of {resume.phase}"
            )
        descent.restore(resume)
        self.noise.load_state(resume.noise)
        self.taken = resume.taken

    def _snapshot(self, phase: str, descent: Descent) -> Snapshot:
        return Snapshot.take(
            stage=self.stage,
            phase=phase,
            step=descent.step,
            taken=self.taken,
            noise=self.noise.state(),
            variables=descent.variables,
            adam=descent.adam(),
            finished=self._finished,
        )

    def _report(
        self, phase: str, descent: Descent, steps: int, losses: dict[str, float], picture: Tensor
    ) -> None:
        self.taken += 1
        if self.on_step is None:
            return
        report = StepReport(
            phase=phase,
            step=descent.step,
            steps=steps,
            done=min(self.taken / self.steps, 1.0),
            losses=losses,
            preview=lambda: to_pixels(picture),
            snapshot=(lambda: self._snapshot(phase, descent)) if descent.step < steps else None,
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
