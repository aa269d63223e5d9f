"""Toy jobs for tests of the queue itself: real messages, claims, leases and files, and no torch.

A toy worker boots in a second or two and a toy stage takes hundredths, so faults are what a test
spends its time on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from barber.catalogue.jobs import JobView
from barber.catalogue.store import Store
from barber.chaos.rules import TOY_BUNDLE, TOY_DIGEST, ChaosRules
from barber.settings import Settings
from barber.spec import JobSpec, NoiseMode
from tests.support.builders import hair_spec, register_portraits, submit
from tests.support.system import System

PEOPLE = 12
# Short times: what a fault costs is a few of these.
BRISK: dict[str, Any] = {
    "tick_s": 0.1,
    "lease_s": 2.0,
    "grace_s": 4.0,
    "sweep_s": 1.0,
    "backoff_s": 0.1,
    "progress_s": 0.1,
    "window": 8,
}


def toy_settings(
    url: str, home: Path, *, rules: ChaosRules | None = None, **changes: Any
) -> Settings:
    """Settings of a system whose workers only pretend."""
    chaos = (rules or ChaosRules(stage_s=0.02)).as_text()
    given = {"bundle": TOY_BUNDLE, "chaos": chaos, **BRISK, **changes}
    return Settings(database_url=url, home=home, **given)


@dataclass
class ToyClient:
    """Somebody who submits toy jobs; portraits are numbers below `PEOPLE`."""

    system: System

    def __post_init__(self) -> None:
        self.store = Store(self.system.settings.store_dir)
        self._people = register_portraits(self.system.engine, self.store, PEOPLE)
        self._seed = 0

    def spec(self, *numbers: int, **changes: Any) -> JobSpec:
        """Identity, whose hair's shape, and, when given, whose hair's colour."""
        people = [self._people[number] for number in numbers]
        return replace(hair_spec(*people), bundle=TOY_DIGEST, **changes)

    def fresh(self, *numbers: int, **changes: Any) -> JobSpec:
        """A spec of which no artifact was made before."""
        self._seed += 1
        return self.spec(*numbers, seed=self._seed, noise=NoiseMode.FRESH, **changes)

    def submit(self, *specs: JobSpec, **options: Any) -> list[int]:
        return submit(self.system.engine, specs, **options)

    def run(self, *specs: JobSpec, timeout_s: float = 240, **options: Any) -> list[JobView]:
        """Submits and waits for the end of each job."""
        return self.system.wait_for_jobs(self.submit(*specs, **options), timeout_s=timeout_s)
