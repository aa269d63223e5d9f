"""What a chaos run asks of the processes themselves, by the setting `BARBER_CHAOS`.

`stage_s=0.02,drop=0.05,double=0.05,error=0.03,seed=7`: stages only pretend and take so long, and
messages are lost or doubled and stages raise at these rates. Whether one does is decided by a hash
of the seed and its ids, so that a run can be repeated. Empty for every real system.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Self

from barber.errors import SettingsError

TOY_BUNDLE = "toy"  # what jobs of a chaos run name as their bundle
DROPPED = "a message is lost on purpose"  # what logs say, for the report to count
DOUBLED = "a message is doubled on purpose"
TOY_DIGEST = hashlib.sha256(TOY_BUNDLE.encode()).hexdigest()
TOY_STEPS = 5  # of every toy stage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRules:
    """Rates are shares from 0 to 1."""

    stage_s: float = 0.02  # mean seconds of a toy stage
    drop: float = 0.0  # of the messages
    double: float = 0.0  # of the messages
    error: float = 0.0  # of the attempts at a stage
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads the setting; None when it is empty.

        Raises:
            SettingsError: An unknown name, or a value that is no number of its range.
        """
        if not text:
            return None
        names = {f.name for f in fields(cls)}
        values: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = part.partition("=")
            try:
                values[name.strip()] = float(value)
            except ValueError:
                values[name.strip()] = -1.0
            if name.strip() not in names or values[name.strip()] < 0:
                raise SettingsError(
                    f"BARBER_CHAOS has {part!r}: write name=number with a name of "
                    f"{', '.join(sorted(names))}"
                )
        if any(values.get(name, 0) > 1 for name in ("drop", "double", "error")):
            raise SettingsError(f"BARBER_CHAOS is {text!r}: rates are shares from 0 to 1")
        rest = {name: value for name, value in values.items() if name != "seed"}
        return cls(**rest, seed=int(values.get("seed", 0)))

    def as_text(self) -> str:
        """What `parse` reads."""
        return ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))

    def falls(self, rate: float, *what: object) -> bool:
        """Whether the dice fall for this event: the same answer each time for the same words."""
        return self.uniform(*what) < rate

    def uniform(self, *what: object) -> float:
        """A number from 0 up to 1, the same for the same words."""
        text = ":".join(map(str, (self.seed, *what)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56


def toy_step(before: str, key: str, taken: int) -> str:
    """The digest over a toy stage's steps after one more; a step repeated or left out shows.

    Args:
        before: The digest so far; empty at the beginning.
        key: Of the stage's artifact.
        taken: Steps so far.
    """
    return hashlib.sha256(f"{before} {key} {taken}".encode()).hexdigest()


def all_toy_steps(key: str) -> str:
    """The digest over all steps of a toy stage that nothing interrupted."""
    digest = ""
    for taken in range(TOY_STEPS):
        digest = toy_step(digest, key, taken)
    return digest
