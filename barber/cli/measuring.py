"""`barber measure` once its input is sound: the module that loads torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from barber.artifacts import ARTIFACTS, Artifact, Portrait
from barber.catalogue import portraits, quality
from barber.catalogue.db import transaction
from barber.catalogue.files import artifact_files
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.quality import Unmeasured
from barber.catalogue.store import Store
from barber.cli.composing import load_bundle
from barber.errors import BarberError
from barber.evaluation.judging import of_result
from barber.models.bundle import ModelBundle
from barber.pixels import decode
from barber.plan import ArtifactKey, StageKind
from barber.quality import Quality
from barber.spec import PortraitKey

RESULT_FILE = "image.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Measures results that have no numbers, one transaction each."""

    engine: Engine
    store: Store
    bundle: ModelBundle

    def run(self, batch_id: int | None, limit: int, tell: Callable[[int, str], None]) -> int:
        """Measures at most `limit` results, the newest first; returns how many.

        `tell` hears of each result that cannot be measured, with its job and why.
        """
        done, below = 0, None
        while done < limit:
            with transaction(self.engine) as session:
                found, below = quality.unmeasured(
                    session, self.bundle.digest, batch_id=batch_id, below=below
                )
            for each in found[: limit - done]:
                try:
                    numbers = self._measure(each)
                except BarberError as error:
                    tell(each.job_id, str(error))
                    continue
                with transaction(self.engine) as session:
                    quality.record(session, each.key, numbers)
                done += 1
            if below is None:
                break
        return done

    def _measure(self, each: Unmeasured) -> Quality:
        with transaction(self.engine) as session:
            file = artifact_files(session, each.key)[RESULT_FILE]
        image = decode(self.store.get(file.sha256), name=f"the result of job {each.job_id}")
        return of_result(
            self.bundle, each.spec, image, portrait=self._portrait, load=self._artifact
        )

    def _portrait(self, key: PortraitKey) -> Portrait:
        with transaction(self.engine) as session:
            return Portrait(
                sha256=key,
                pixels=portraits.pixels(session, self.store, key),
                label_map=portraits.label_map(session, self.store, key),
            )

    def _artifact(self, key: ArtifactKey, kind: StageKind) -> Artifact:
        with transaction(self.engine) as session:
            file = artifact_files(session, key)[ARTIFACT_FILE]
        return ARTIFACTS[kind].from_bytes(self.store.get(file.sha256))


def backfill(engine: Engine, store: Store, bundle: Path, device: str) -> Backfill:
    """With the networks loaded. Raises InputError or CheckpointError."""
    return Backfill(engine=engine, store=store, bundle=load_bundle(bundle, device))
