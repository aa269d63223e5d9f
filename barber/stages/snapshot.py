"""Where a stage stands between two of its steps, as a value that turns itself into bytes and back.

It holds what the loop changes (variables, Adam's state, the noise source) and what the phases
before came to. What a stage computes ahead of a loop follows from its inputs and is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from barber.artifacts import pack, unpack
from barber.errors import SnapshotError, StoreError
from barber.plan import StageKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a phase came to that another phase follows."""

    value: Tensor  # the one value that later phases read
    losses: Mapping[str, float]
    noise: Tensor  # uint8 [K], the noise source's state at its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A stage under way. Its tensors are copies on the CPU."""

    stage: StageKind
    phase: str
    step: int  # updates made in the phase, at least 1 and not all of them
    taken: int  # steps of the stage so far, over all phases
    noise: Tensor  # uint8 [K], the noise source's state
    variables: tuple[Tensor, ...]
    adam: tuple[Mapping[str, Tensor], ...]  # of each variable, by Adam's own names
    finished: Mapping[str, Finished]  # the phases before, by name

    @classmethod
    def take(
        cls,
        *,
        stage: StageKind,
        phase: str,
        step: int,
        taken: int,
        noise: Tensor,
        variables: Iterable[Tensor],
        adam: Iterable[Mapping[str, Tensor]],
        finished: Mapping[str, Finished],
    ) -> Self:
        """A snapshot of tensors that go on changing in place."""
        return cls(
            stage=stage,
            phase=phase,
            step=step,
            taken=taken,
            noise=noise,
            variables=tuple(_copy(variable) for variable in variables),
            adam=tuple({name: _copy(x) for name, x in state.items()} for state in adam),
            finished=dict(finished),
        )

    def to_bytes(self) -> bytes:
        tensors = {"noise": self.noise}
        for k, (variable, state) in enumerate(zip(self.variables, self.adam, strict=True)):
            tensors[f"variable.{k}"] = variable
            tensors |= {f"adam.{k}.{name}": value for name, value in state.items()}
        for phase, found in self.finished.items():
            tensors[f"finished.{phase}.value"] = found.value
            tensors[f"finished.{phase}.noise"] = found.noise
        facts = {
            "stage": self.stage,
            "phase": self.phase,
            "step": self.step,
            "taken": self.taken,
            "variables": len(self.variables),
            "finished": {phase: dict(found.losses) for phase, found in self.finished.items()},
        }
        return pack(tensors, facts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises SnapshotError when the bytes are not those of a snapshot."""
        try:
            tensors, facts = unpack(data)
            return cls(
                stage=StageKind(facts["stage"]),
                phase=facts["phase"],
                step=facts["step"],
                taken=facts["taken"],
                noise=tensors["noise"],
                variables=tuple(tensors[f"variable.{k}"] for k in range(facts["variables"])),
                adam=tuple(_under(tensors, f"adam.{k}.") for k in range(facts["variables"])),
                finished={
                    phase: Finished(
                        value=tensors[f"finished.{phase}.value"],
                        losses=losses,
                        noise=tensors[f"finished.{phase}.noise"],
                    )
                    for phase, losses in facts["finished"].items()
                },
            )
        except (StoreError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise SnapshotError(f"the snapshot's bytes cannot be read: {error}") from error


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
