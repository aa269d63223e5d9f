"""What all trainings share: a schedule, a step, a state that can be resumed to the bit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor

from barber.errors import CheckpointError, StageError


class Part(Protocol):
    """A network or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Continues from such a state."""


def cosine_rate(step: int, *, steps: int, rate: float, warmup_steps: int, hold: float) -> float:
    """The learning rate of a step: a straight warm-up, a plateau, half a cosine to zero.

    Args:
        step: From 0.
        steps: Of the whole training.
        rate: On the plateau.
        warmup_steps: Of the rise.
        hold: Share of the steps before the fall begins.
    """
    share = max(step / max(steps, 1) - hold, 0.0) / (1.0 - hold)
    decay = 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
    return rate * min(1.0, (step + 1) / max(warmup_steps, 1)) * decay


class Trainer(ABC):
    """A training that can stop after any step and go on as if it had not.

    Batches, rates and disturbances follow from the step's number alone, so the parts' states are
    all there is to save.

    Args:
        parts: Networks and optimisers by the names they have in a checkpoint.
    """

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = dict(parts)
        self.steps_done = 0

    @abstractmethod
    def learn(self) -> Tensor:
        """Trains on batch number `steps_done`; returns the loss, a scalar without gradient."""

    def step(self) -> float:
        """Trains on the next batch; returns its loss.

        Raises:
            StageError: The loss is not finite; the state is as before the step was counted.
        """
        loss = float(self.learn())
        if not math.isfinite(loss):
            raise StageError(
                f"the loss of step {self.steps_done} is {loss}: go on from the last checkpoint "
                "with a lower rate",
                stage="train",
            )
        self.steps_done += 1
        return loss

    def state(self) -> dict[str, object]:
        """Everything that `load_state` needs."""
        states: dict[str, object] = {name: part.state_dict() for name, part in self._parts.items()}
        return states | {"steps_done": self.steps_done}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues from a state of the same plan.

        Raises:
            CheckpointError: The state is of another training.
        """
        try:
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            self.steps_done = int(state["steps_done"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"the checkpoint is of another training ({str(error).splitlines()[0]}): "
                "name another run folder"
            ) from error
