"""Stages that only pretend: real claims, heartbeats, files and fences, and no torch.

For chaos runs, where ten thousand jobs must go through the real system in an hour. A toy artifact
is a digest over its key and what it read, so a stage that read the wrong thing is found out.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self

from sqlalchemy import Engine

from barber.catalogue import stages
from barber.catalogue.db import transaction
from barber.catalogue.originals import ARTIFACT_FILE
from barber.chaos.rules import (
    TOY_BUNDLE,
    TOY_DIGEST,
    TOY_STEPS,
    ChaosRules,
    all_toy_steps,
    toy_step,
)
from barber.errors import StoreAwayError, StoreError
from barber.settings import Settings
from workers.bench import Bench
from workers.heart import Heart


@dataclass(frozen=True, slots=True)
class ToyBundle:
    """Stands where the networks would be."""

    name: str = TOY_BUNDLE
    digest: str = TOY_DIGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyArtifact:
    """What a toy stage makes."""

    key: str
    read: tuple[str, ...]  # digests of the artifacts it read, in the order of its needs
    steps: str  # digest over its steps
    losses: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return json.dumps({"key": self.key, "read": self.read, "steps": self.steps}).encode()

    def pictures(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySnapshot:
    """A toy stage under way: its digest over the steps so far."""

    taken: int
    digest: str

    def to_bytes(self) -> bytes:
        return json.dumps({"taken": self.taken, "digest": self.digest}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(**json.loads(data))

    def next(self, key: str) -> ToySnapshot:
        """A step later."""
        digest = toy_step(self.digest, key, self.taken)
        return ToySnapshot(taken=self.taken + 1, digest=digest)


BEGINNING = ToySnapshot(taken=0, digest="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyReport:
    """What a step of a toy stage tells its heart."""

    step: int
    phase: str = "toy"
    steps: int = TOY_STEPS
    preview: None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    snapshot: Callable[[], ToySnapshot] | None = None

    @property
    def done(self) -> float:
        return self.step / self.steps


class ToyBench(Bench):
    """A bench that works by the rules of a chaos run."""

    def __init__(
        self,
        rules: ChaosRules,
        *,
        settings: Settings,
        engine: Engine,
        worker: str,
        versions: Mapping[str, str],
    ) -> None:
        bundle: Any = ToyBundle()
        super().__init__(
            settings=settings, engine=engine, bundle=bundle, worker=worker, versions=versions
        )
        self._rules = rules

    def _measure(self, claim: stages.Claim, artifact: Any) -> None:
        """A toy's result has no numbers."""

    def _run(self, claim: stages.Claim, heart: Heart, snapshot: bytes | None) -> Any:
        """Sleeps through a few steps, then joins the digests of what the stage reads.

        Raises:
            OSError: The dice fell for an error.
        """
        stage = claim.planned
        at = ToySnapshot.from_bytes(snapshot) if snapshot else BEGINNING
        steps = self._walk(stage.key, at, heart)
        if self._rules.falls(self._rules.error, claim.stage_id, claim.token, "error"):
            raise OSError(f"the dice fell for attempt {claim.token} of stage {claim.stage_id}")
        read = tuple(self._digest(key) for key in stage.needs)
        return ToyArtifact(key=stage.key, read=read, steps=steps)

    def _walk(self, key: str, at: ToySnapshot, heart: Heart) -> str:
        """Takes the steps that are left; returns the digest over all."""
        pause_s = 2 * self._rules.stage_s * self._rules.uniform(key, "pause") / TOY_STEPS
        while at.taken < TOY_STEPS:
            time.sleep(pause_s)
            at = at.next(key)
            report: Any = ToyReport(step=at.taken, snapshot=partial(ToySnapshot, **asdict(at)))
            heart.on_step(report)
        return at.digest

    def _segmentation(self, *_nothing_to_see: object) -> None:
        return None

    def _bundle_facts(self) -> dict[str, object]:
        return {"name": TOY_BUNDLE, "digest": TOY_DIGEST, "files": {}}

    def _digest(self, key: Any) -> str:
        """The digest of a needed artifact, which must be the one of its key."""
        with transaction(self.engine) as session:
            file = stages.artifact_files(session, key)[ARTIFACT_FILE]
        try:
            data = self.store.get(file.sha256)
        except StoreAwayError:
            raise
        except StoreError:
            self._write(lambda session: stages.quarantine(session, key))
            raise
        found = json.loads(data)
        assert found["key"] == key, f"the file of artifact {key} is another's"
        assert found["steps"] == all_toy_steps(key), f"artifact {key} is not of all steps, in order"
        return hashlib.sha256(data).hexdigest()
