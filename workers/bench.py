"""Where one worker process does its stages: bundle, catalogue and store at hand.

Execution is at least once, the recorded effect exactly once: whatever happens here, the catalogue
takes a result only from the holder of the claim's token.
"""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from barber.catalogue import making, portraits, quality, snapshots, stages, turns
from barber.catalogue.db import transaction
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.snapshots import SnapshotFiles
from barber.catalogue.store import Store, StoredFile
from barber.errors import (
    Cancelled,
    SnapshotError,
    StageError,
    StageHung,
    StoreAwayError,
    StoreError,
)
from barber.pixels import encode_labels_png, encode_png
from barber.plan import ArtifactKey, StageKind, plan
from barber.quality import Quality
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from workers.endings import end_process
from workers.failpoints import Failpoints, Point
from workers.heart import Heart
from workers.limits import Limits
from workers.measuring import measure
from workers.memory import release
from workers.retry import BUG, OUT_OF_MEMORY, Action, Verdict, judge, sentence
from workers.snapshots import Keeper, tidy

if TYPE_CHECKING:  # the pool's parent imports this module, and torch only its child
    from barber.artifacts import Artifact, Portrait
    from barber.models.bundle import ModelBundle

log = logging.getLogger(__name__)

T = TypeVar("T")

DATABASE_PATIENCE_S = 6.0
LONGEST_PAUSE_S = 3.2  # between two tries while the database is away
ARTIFACT_TYPE = "application/x-safetensors"
SEGMENTATION = "segmentation.png"  # after a stage's picture in the order of names
MOST_TRACE = 12_000  # characters: the end of a traceback, where the fault is


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one message."""

    claimed: bool  # False: nobody needed this message any more
    succeeded: bool = False
    verdict: Verdict | None = None  # of the error that ended the stage


class Bench:
    """One process's tools for stages."""

    def __init__(
        self,
        *,
        settings: Settings,
        engine: Engine,
        bundle: ModelBundle,
        worker: str,
        versions: Mapping[str, str],
    ) -> None:
        self.settings, self.engine, self.bundle = settings, engine, bundle
        self.worker, self.versions = worker, dict(versions)
        self.store = Store(settings.store_dir)
        self.snapshots = SnapshotFiles(self.store)
        self.failpoints = Failpoints(settings)
        self._limits = Limits.of(settings)
        self._leaves_at = math.inf  # monotonic; then a stage under way is handed back

    @property
    def leaving(self) -> bool:
        """Whether this worker was told to stop."""
        return self._leaves_at < math.inf

    def leave_soon(self) -> None:
        """Gives the stage at hand the time of a drain; no other is taken."""
        self._leaves_at = min(self._leaves_at, time.monotonic() + self.settings.drain_s)

    def run_lost_before(self, stage_id: int, generation: int) -> Outcome:
        """Runs a stage that lost its worker instead of the one that has come, if there is one.

        The one that has come then waits in the catalogue again, not here: this process may be the
        next that is killed. Not where stages have different hard limits, for that of the message
        that has come holds.
        """
        if self.leaving or len(set(self._limits.hard_s.values())) > 1:
            return Outcome(claimed=False)
        lost = self._write(lambda session: turns.lost_stage(session, self.bundle.digest))
        if lost is None or lost.stage_id == stage_id:
            return Outcome(claimed=False)

        def put_back() -> None:
            why = "a stage that lost its worker goes first"
            self._write(lambda session: stages.decline(session, stage_id, generation, why=why))

        return self.run(*lost, on_claim=put_back)

    def run(
        self, stage_id: int, generation: int, *, on_claim: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Claims a stage, works on it and records how it ended."""
        if self.leaving:
            why = f"worker {self.worker} leaves"
            self._write(lambda session: stages.decline(session, stage_id, generation, why=why))
            return Outcome(claimed=False)
        claim = self._write(
            lambda session: stages.claim(
                session,
                stage_id,
                generation,
                worker=self.worker,
                device=self.settings.device,
                lease_s=self.settings.lease_s,
                bundle=self.bundle.digest,
            )
        )
        if claim is None:
            return Outcome(claimed=False)
        on_claim()
        facts = {"job_id": claim.job_id, "stage_id": stage_id, "stage": claim.planned.kind}
        log.info("stage begins", extra=facts)
        began = time.monotonic()
        try:
            succeeded = self._work(claim, self._keeper(claim))
        except Exception as error:  # noqa: BLE001 (the verdict table is the handler of them all)
            verdict = self._settle(claim, self._named(error), facts)
            # After a bug the snapshot goes: it may be what the stage stumbled over.
            tidy(self.engine, self.snapshots, claim, drop=verdict is BUG)
            return Outcome(claimed=True, verdict=verdict)
        tidy(self.engine, self.snapshots, claim, drop=succeeded)
        seconds = round(time.monotonic() - began, 2)
        log.info(
            "stage succeeded" if succeeded else "stage was taken over, the result is dropped",
            extra={**facts, "seconds": seconds},
        )
        return Outcome(claimed=True, succeeded=succeeded)

    def _keeper(self, claim: stages.Claim) -> Keeper:
        """Who keeps this claim's snapshots: they serve only where all they follow from is equal."""
        facts = {name: str(value) for name, value in self.versions.items()}
        facts |= self._write(lambda session: snapshots.inputs(session, claim))
        return Keeper(self.snapshots, claim, facts, every_s=self.settings.snapshot_s)

    def _work(self, claim: stages.Claim, keeper: Keeper) -> bool:
        """Computes and records one stage; False when another worker holds it by now."""
        kind = claim.planned.kind

        def on_middle() -> None:
            self.failpoints.hit(kind, Point.MID)

        def is_leaving() -> bool:
            return time.monotonic() > self._leaves_at

        with Heart(
            self.engine,
            claim,
            self.settings,
            keeper=keeper,
            watch=self._limits.watch(kind),
            on_hang=lambda error: self._give_up(claim, error),
            is_leaving=is_leaving,
            on_middle=on_middle,
        ) as heart:
            self.failpoints.hit(kind, Point.AFTER_CLAIM)
            artifact = self._compute_with_room(claim, heart, keeper)
            recipe = self._recipe(claim, artifact)
            files = self._store(claim, artifact, recipe)
            found = self._measure(claim, artifact)
            self.failpoints.hit(kind, Point.BEFORE_FINISH)

            def finish(session: Session) -> bool:
                is_mine = stages.finish(session, claim, files=files, recipe=recipe)
                if is_mine and found is not None:
                    quality.record(session, claim.planned.key, found)
                return is_mine

            # What was computed is offered as long as its lease may last.
            return self._write(finish, for_s=self.settings.lease_s)

    def _measure(self, claim: stages.Claim, artifact: Artifact) -> Quality | None:
        return measure(
            self.bundle,
            claim.spec,
            artifact,
            portrait=self._portrait,
            load=partial(self._artifact, claim.spec),
        )

    def _give_up(self, claim: stages.Claim, error: StageHung | Cancelled) -> None:
        """Reports, in the heart's thread, a stage whose own thread hangs; ends the process."""
        facts = {"job_id": claim.job_id, "stage_id": claim.stage_id, "stage": claim.planned.kind}
        try:
            self._settle(claim, error, facts)
        finally:
            end_process()

    def _compute_with_room(self, claim: stages.Claim, heart: Heart, keeper: Keeper) -> Artifact:
        """Computes a stage; one that finds no memory once more, after all unused was given back.

        Every stage works on one portrait or pair, so there is no smaller batch to fall back to.
        """
        try:
            return self._compute(claim, heart, keeper)
        except Exception as error:
            if judge(error) is not OUT_OF_MEMORY:
                raise
            log.warning("no memory; once more after all unused is given back: %s", error)
        # Only here: until the exception is gone, its frames hold the stage's tensors.
        release(self.settings.device)
        return self._compute(claim, heart, keeper)

    def _compute(self, claim: stages.Claim, heart: Heart, keeper: Keeper) -> Artifact:
        """Runs the stage, from its snapshot where there is one that it can use."""
        kept, reason = keeper.find()
        if kept is not None:
            self._write(lambda session: snapshots.continued(session, claim, kept))
            try:
                return self._run(claim, heart, kept.data)
            except SnapshotError as error:
                reason = str(error)
        if reason:
            self._write(lambda session: snapshots.started_over(session, claim, reason))
        return self._run(claim, heart, None)

    def _run(self, claim: stages.Claim, heart: Heart, snapshot: bytes | None) -> Artifact:
        """Runs the stage from a snapshot, or from its beginning.

        Raises:
            SnapshotError: The snapshot does not fit.
        """
        from barber.pipeline import run_stage
        from barber.stages.snapshot import Snapshot

        kinds = {stage.key: stage.kind for stage in plan(claim.spec)}
        return run_stage(
            self.bundle,
            claim.spec,
            claim.planned,
            portraits=self._portrait,
            artifacts=lambda key: self._artifact(claim.spec, key, kinds[key]),
            on_step=heart.on_step,
            resume=None if snapshot is None else Snapshot.from_bytes(snapshot),
        )

    def _portrait(self, key: PortraitKey) -> Portrait:
        from barber.artifacts import Portrait

        with transaction(self.engine) as session:
            return Portrait(
                sha256=key,
                pixels=portraits.pixels(session, self.store, key),
                label_map=portraits.label_map(session, self.store, key),
            )

    def _artifact(self, spec: JobSpec, key: ArtifactKey, kind: StageKind) -> Artifact:
        """Reads an input of a job; a damaged one is built again by its own stage.

        Raises:
            StoreError: The file is missing or damaged; its artifact is quarantined.
            StoreAwayError: The store is away or not the others': nothing is wrong with the file.
        """
        from barber.artifacts import ARTIFACTS

        with transaction(self.engine) as session:
            file = stages.artifact_files(session, key)[ARTIFACT_FILE]
        try:
            return ARTIFACTS[kind].from_bytes(self.store.get(file.sha256))
        except StoreAwayError:
            raise
        except StoreError as error:
            if not self._sees_the_store(spec):
                raise StoreAwayError(
                    f"the store {self.store.root} holds no portrait of the job: mount the one that "
                    "the other workers use, or set BARBER_HOME"
                ) from error
            self._write(lambda session: stages.quarantine(session, key))
            raise

    def _sees_the_store(self, spec: JobSpec) -> bool:
        """Whether any of a job's portraits is in this process's store; a wrong one has none."""
        with transaction(self.engine) as session:
            files = [portraits.file_of(session, key) for key in spec.portraits]
        return any(self.store.contains(file) for file in files)

    def _recipe(self, claim: stages.Claim, artifact: Artifact) -> dict[str, object]:
        """What the catalogue keeps of a stage; results are joined from the recipes of theirs."""
        stage = claim.planned
        return {
            "spec": claim.spec.to_json(),
            "stage": {"kind": stage.kind, "slot": stage.slot, "key": stage.key},
            "bundle": self._bundle_facts(),
            "environment": self.versions,
            "losses": dict(artifact.losses),
            "dropped": list(getattr(artifact, "dropped", ())),
        }

    def _bundle_facts(self) -> dict[str, object]:
        files = {name: record.sha256 for name, record in self.bundle.manifest.files.items()}
        return {"name": self.bundle.name, "digest": self.bundle.digest, "files": files}

    def _store(
        self, claim: stages.Claim, artifact: Artifact, recipe: Mapping[str, object]
    ) -> dict[str, StoredFile]:
        """Puts the artifact into the store, and its pictures; the result's carries its recipe."""
        contents = {ARTIFACT_FILE: (artifact.to_bytes(), ARTIFACT_TYPE)}
        carried: Mapping[str, object] | None = None
        if claim.planned.kind is StageKind.BLEND:
            own: dict[str, Mapping[str, object]] = {claim.planned.key: recipe}
            spec = claim.spec
            carried = self._write(lambda session: making.recipe(session, spec, own)).to_json()
        for name, pixels in artifact.pictures().items():
            contents[f"{name}.png"] = (encode_png(pixels, recipe=carried), "image/png")
        labels = self._segmentation(claim, artifact)
        if labels is not None:
            contents[SEGMENTATION] = (encode_labels_png(labels), "image/png")
        return {name: self.store.store_file(*content) for name, content in contents.items()}

    def _segmentation(self, claim: stages.Claim, artifact: Artifact) -> NDArray[np.uint8] | None:
        """What the parser sees in a stage's picture: for people, so it may be missing."""
        from barber.pipeline import segmentation

        try:
            return segmentation(self.bundle, claim.planned, artifact, portraits=self._portrait)
        except Exception as error:  # noqa: BLE001 (a finished stage does not fail for a picture)
            log.warning("a stage has no picture of its labels: %s", error)
            return None

    def _named(self, error: Exception) -> Exception:
        """An error about portraits with their names, for the operator knows no digests."""
        if not (isinstance(error, StageError) and error.portraits):
            return error
        keys = [PortraitKey(key) for key in error.portraits]
        rows = self._write(lambda session: portraits.portraits(session, keys))
        return error.naming({key: row.name for key, row in rows.items()})

    def _settle(
        self, claim: stages.Claim, error: Exception, facts: Mapping[str, object]
    ) -> Verdict:
        """Records why a stage ended without a result, as the verdict table says."""
        verdict = judge(error)
        log.warning(
            "stage ended: %s",
            sentence(error),
            extra={**facts, "reason": verdict.error_class},
            exc_info=error if verdict.error_class == "bug" else None,
        )
        if verdict.action is Action.HAND_BACK:
            self._write(lambda session: stages.hand_back(session, claim, sentence(error)))
            return verdict
        self._write(
            lambda session: stages.fail(
                session,
                claim,
                error_class=verdict.error_class,
                message=sentence(error),
                final=verdict.is_final(claim.errors),
                backoff_s=self.settings.backoff_s,
                trace="".join(traceback.format_exception(error))[-MOST_TRACE:],
            )
        )
        return verdict

    def _write(self, change: Callable[[Session], T], *, for_s: float = DATABASE_PATIENCE_S) -> T:
        """One transaction, tried again while the database is away, so many seconds at least."""
        gives_up, pause_s = time.monotonic() + for_s, 0.2
        while True:
            try:
                with transaction(self.engine) as session:
                    return change(session)
            except (OperationalError, InterfaceError):
                if time.monotonic() > gives_up:
                    raise
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                time.sleep(pause_s)
