"""From an exception to a verdict: the one place where repeating is decided.

Torch's errors are told by their names, so that the table needs no torch.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError

from barber.errors import (
    BarberError,
    Cancelled,
    CheckpointError,
    InputError,
    NotFound,
    StageError,
    StoreError,
)


class Action(StrEnum):
    """What becomes of the stage."""

    FAIL = "fail"  # for good, until the operator says retry
    RETRY = "retry"  # later, while the stage's budget of errors lasts
    HAND_BACK = "hand back"  # at once, without spending budget: the stage is not at fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision on one exception."""

    error_class: str  # one word for tables and badges
    action: Action
    retries: int | None = None  # own limit of repeats; None: the stage's budget alone
    ends_process: bool = False  # the pool child must not run another stage
    ends_worker: bool = False  # nor must its replacement

    def is_final(self, errors: int) -> bool:
        """Whether the stage fails for good, after `errors` earlier errors."""
        if self.action is Action.FAIL:
            return True
        return self.retries is not None and errors >= self.retries


CANCELLED: Final = Verdict(error_class="cancelled", action=Action.HAND_BACK)
INPUT: Final = Verdict(error_class="input", action=Action.FAIL)
STAGE: Final = Verdict(error_class="stage", action=Action.FAIL)
BUNDLE: Final = Verdict(error_class="bundle", action=Action.HAND_BACK, ends_worker=True)
OUT_OF_MEMORY: Final = Verdict(error_class="oom", action=Action.RETRY)
CUDA: Final = Verdict(error_class="cuda", action=Action.RETRY, ends_process=True)
IO: Final = Verdict(error_class="io", action=Action.RETRY)
BUG: Final = Verdict(error_class="bug", action=Action.RETRY, retries=1)

TABLE: Final[tuple[tuple[tuple[type[BaseException], ...], Verdict], ...]] = (
    ((Cancelled,), CANCELLED),
    ((InputError,), INPUT),
    ((StageError,), STAGE),
    ((CheckpointError,), BUNDLE),
    # NotFound: an artifact that was ready at the claim was found damaged before it was read.
    ((StoreError, NotFound, OSError, OperationalError, InterfaceError), IO),
    ((MemoryError,), OUT_OF_MEMORY),
)


def judge(error: BaseException) -> Verdict:
    """The verdict on an exception that ended a stage."""
    if _is_torch(error, "OutOfMemoryError"):
        return OUT_OF_MEMORY
    # After an illegal access or a device assert every later call of the process fails too.
    if _is_torch(error, "AcceleratorError") or (
        isinstance(error, RuntimeError) and "CUDA error" in str(error)
    ):
        return CUDA
    for kinds, verdict in TABLE:
        if isinstance(error, kinds):
            return verdict
    return BUG


def sentence(error: BaseException) -> str:
    """What the operator reads: our own sentence, or a stranger's with the place it came from."""
    if isinstance(error, BarberError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"[:2000]


def _is_torch(error: BaseException, name: str) -> bool:
    return any(
        kind.__name__ == name and kind.__module__.partition(".")[0] == "torch"
        for kind in type(error).__mro__
    )
