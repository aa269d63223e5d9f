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
    StageHung,
    StageTimeout,
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
    meaning: str  # for people: what happened
    action: Action
    retries: int | None = None  # own limit of repeats; None: the stage's budget alone
    ends_process: bool = False  # the pool child must not run another stage
    ends_worker: bool = False  # nor must its replacement

    @property
    def consequence(self) -> str:
        """What becomes of the stage, in words."""
        if self.action is Action.FAIL:
            return "fails for good"
        if self.action is Action.HAND_BACK:
            return "handed back, no budget spent"
        if self.retries == 1:
            return "tried once more"
        return "tried again while its budget of errors lasts"

    @property
    def casualty(self) -> str:
        """What ends with the stage; empty when all goes on."""
        if self.ends_worker:
            return "the worker"
        return "the process" if self.ends_process else ""

    def is_final(self, errors: int) -> bool:
        """Whether the stage fails for good, after `errors` earlier errors."""
        if self.action is Action.FAIL:
            return True
        return self.retries is not None and errors >= self.retries


CANCELLED: Final = Verdict(
    error_class="cancelled",
    meaning="its job was cancelled, its lease lost, or its worker leaves",
    action=Action.HAND_BACK,
)
INPUT: Final = Verdict(
    error_class="input", meaning="a portrait or the spec cannot be used", action=Action.FAIL
)
TIMEOUT: Final = Verdict(
    error_class="timeout",
    meaning="the stage took longer than its soft limit",
    action=Action.RETRY,
    retries=1,
)
HUNG: Final = Verdict(
    error_class="hung",
    meaning="the stage made no step for too long while its process lived",
    action=Action.RETRY,
    ends_process=True,
)
STAGE: Final = Verdict(
    error_class="stage",
    meaning="the method could not finish: a loss that is not finite, an empty region",
    action=Action.FAIL,
)
BUNDLE: Final = Verdict(
    error_class="bundle",
    meaning="a weight file is missing or damaged",
    action=Action.HAND_BACK,
    ends_worker=True,
)
OUT_OF_MEMORY: Final = Verdict(
    error_class="oom",
    meaning="no memory, and again none after everything unused was given back",
    action=Action.RETRY,
)
CUDA: Final = Verdict(
    error_class="cuda",
    meaning="the device failed in a way that its process cannot get over",
    action=Action.RETRY,
    ends_process=True,
)
IO: Final = Verdict(
    error_class="io",
    meaning="store, database or disk: full, away, or a file damaged",
    action=Action.RETRY,
)
BUG: Final = Verdict(
    error_class="bug", meaning="anything else: a fault of ours", action=Action.RETRY, retries=1
)
VERDICTS: Final = (
    CANCELLED,
    INPUT,
    STAGE,
    TIMEOUT,
    HUNG,
    BUNDLE,
    OUT_OF_MEMORY,
    CUDA,
    IO,
    BUG,
)

TABLE: Final[tuple[tuple[tuple[type[BaseException], ...], Verdict], ...]] = (
    ((Cancelled,), CANCELLED),
    ((InputError,), INPUT),
    ((StageTimeout,), TIMEOUT),
    ((StageHung,), HUNG),
    ((StageError,), STAGE),  # after its kinds
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
