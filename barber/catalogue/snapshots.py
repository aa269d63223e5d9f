"""What running stages leave of themselves on disk, for whoever claims them next. No torch.

A file belongs to an artifact, a stage and a token: a worker that lost its stage writes beside its
successor's file, never over it. All files of one artifact whose facts are equal lie on the same
way, step for step, so the one that is furthest along is taken, whoever left it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import literal, select, union_all, update
from sqlalchemy.orm import Session

from barber.catalogue import events
from barber.catalogue.base import HEX_DIGEST
from barber.catalogue.claims import Claim
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.status import ArtifactStatus, EventKind, JobStatus, StageStatus
from barber.catalogue.store import Store
from barber.catalogue.tables import (
    Artifact,
    ArtifactFile,
    Attempt,
    Job,
    Portrait,
    Stage,
)
from barber.errors import SnapshotError
from barber.plan import ArtifactKey
from barber.recipe import differences

FORMAT = 1
NAME = re.compile(rf"({HEX_DIGEST.strip('^$')})\.(\d+)\.(\d+)")  # artifact, stage, token
OPEN = (StageStatus.PENDING, StageStatus.DISPATCHED, StageStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A snapshot as it lies on disk."""

    taken: int  # steps of the stage that it spares
    note: str  # where it stands, for people: "fs 120/300"
    data: bytes


class SnapshotFiles:
    """The snapshots of one store, shared by all its workers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.folder = store.root / "snapshots"

    def write(self, claim: Claim, facts: Mapping[str, str], kept: Kept) -> Path:
        """Puts a snapshot in the place of the claim's last one; whole or not at all.

        Args:
            claim: Whose stage it is.
            facts: All that its bytes follow from besides the artifact's key.
            kept: The snapshot.

        Raises:
            StoreError: The disk is full or the folder cannot be written.
        """
        header = {
            "format": FORMAT,
            "key": claim.planned.key,
            "facts": dict(facts),
            "taken": kept.taken,
            "note": kept.note,
        }
        body = json.dumps(header, sort_keys=True).encode() + b"\n" + kept.data
        path = self.folder / f"{claim.planned.key}.{claim.stage_id}.{claim.token}"
        # Not flushed to the disk itself: what a power cut leaves half-written, the digest tells.
        digest = hashlib.sha256(body).hexdigest().encode()
        self._store.write_file(path, digest + b"\n" + body, flush=False)
        return path

    def find(self, key: ArtifactKey, facts: Mapping[str, str]) -> tuple[Kept | None, list[str]]:
        """The snapshot of an artifact that is furthest along, and why others cannot be used."""
        found: list[Kept] = []
        refused: list[str] = []
        for path in self._of(key):
            try:
                found.append(_read(path, key, facts))
            except FileNotFoundError:
                continue  # removed since we looked
            except (SnapshotError, OSError) as error:
                refused.append(str(error))
        return max(found, key=lambda kept: kept.taken, default=None), refused

    def artifacts(self) -> set[ArtifactKey]:
        """The artifacts of which there are snapshots."""
        matches = (NAME.fullmatch(path.name) for path in self._list())
        return {ArtifactKey(match[1]) for match in matches if match}

    def remove(self, keys: Iterable[str], *, but: Path | None = None) -> int:
        """Deletes every snapshot of these artifacts, except `but`; returns how many."""
        count = 0
        for key in keys:
            for path in self._of(key):
                with suppress(FileNotFoundError):
                    if path != but:
                        path.unlink()
                        count += 1
        return count

    def _of(self, key: str) -> list[Path]:
        return [path for path in self._list() if path.name.startswith(f"{key}.")]

    def _list(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:
            return []


def _read(path: Path, key: ArtifactKey, facts: Mapping[str, str]) -> Kept:
    """Raises SnapshotError when the file is damaged or was made from other things."""
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise SnapshotError("a snapshot is damaged")
    line, _, data = body.partition(b"\n")
    header = json.loads(line)
    if header.get("format") != FORMAT or header.get("key") != key:
        raise SnapshotError("a snapshot is of another version of this program")
    changed = differences(header["facts"], facts)
    if changed:
        raise SnapshotError(f"a snapshot was made with {'; '.join(changed)}")
    return Kept(taken=header["taken"], note=header["note"], data=data)


def inputs(session: Session, claim: Claim) -> dict[str, str]:
    """Digests of what a stage reads and the key of its artifact only names, by what it is."""
    artifacts = select(literal("artifact"), ArtifactFile.artifact_key, ArtifactFile.sha256).where(
        ArtifactFile.artifact_key.in_(claim.planned.needs), ArtifactFile.name == ARTIFACT_FILE
    )
    maps = select(literal("labels of"), Portrait.sha256, Portrait.labels_file_sha256).where(
        Portrait.sha256.in_(claim.spec.portraits), Portrait.labels_file_sha256.is_not(None)
    )
    rows: Iterable[Any] = session.execute(union_all(artifacts, maps))
    return {f"{what} {key[:12]}": digest for what, key, digest in rows}


def wanted(session: Session, keys: Iterable[str]) -> set[ArtifactKey]:
    """Those of the artifacts that some stage of a job under way may still have to build."""
    query = (
        select(Stage.key)
        .join(Job, Job.id == Stage.job_id)
        .join(Artifact, Artifact.key == Stage.key)
        .where(
            Stage.key.in_(set(keys)),
            Stage.status.in_(OPEN),
            Job.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]),
            Artifact.status != ArtifactStatus.READY,
        )
        .distinct()
    )
    return {ArtifactKey(key) for key in session.scalars(query)}


def sweep(session: Session, files: SnapshotFiles) -> int:
    """Deletes the snapshots that no stage needs any more; returns how many."""
    keys = files.artifacts()
    return files.remove(keys - wanted(session, keys)) if keys else 0


def continued(session: Session, claim: Claim, kept: Kept) -> None:
    """Records that an attempt went on from a snapshot."""
    _mark(session, claim, kept.taken)
    facts = {"step": kept.taken, "note": kept.note, "token": claim.token}
    ids = {"job_id": claim.job_id, "stage_id": claim.stage_id}
    events.record(session, EventKind.CONTINUED, **ids, data=facts)


def started_over(session: Session, claim: Claim, reason: str) -> None:
    """Records that a repeated attempt started at the beginning, and why."""
    _mark(session, claim, None)
    ids = {"job_id": claim.job_id, "stage_id": claim.stage_id}
    data = {"reason": reason, "token": claim.token}
    events.record(session, EventKind.STARTED_OVER, **ids, data=data)


def _mark(session: Session, claim: Claim, step: int | None) -> None:
    session.execute(
        update(Attempt)
        .where(Attempt.stage_id == claim.stage_id, Attempt.token == claim.token)
        .values(from_step=step)
        .execution_options(synchronize_session=False)
    )
