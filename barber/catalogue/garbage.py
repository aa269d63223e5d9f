"""What nobody needs any more, and its deletion: files, pictures of the past, old events.

Never deleted: what a job refers to (unless asked for, and then only what can be made again and is
no result), and a file that was put less than a day ago, for its row may not be written yet.

The work is cut into 256 shards, by the first byte of keys and digests, so that a dispatcher does
a little of it now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final, Self

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from barber.catalogue.refusals import RefusedMessage
from barber.catalogue.status import ArtifactStatus, JobStatus, StageStatus
from barber.catalogue.store import Store
from barber.catalogue.study_tables import StudyPair
from barber.catalogue.tables import (
    Artifact,
    ArtifactFile,
    Event,
    Job,
    Portrait,
    Stage,
    StageCurve,
    StagePreview,
)
from barber.plan import StageKind

SHARDS: Final = 256
DAY_S: Final = 86_400.0
MOST_ROWS: Final = 5_000  # in one statement: a lock held for moments only
MOST_REFUSED: Final = 1_000  # refused messages that are kept

# Whatever names a file of the store; a file that none of them names is an orphan.
NAMES_A_FILE: Final = (
    ArtifactFile.sha256,
    Portrait.file_sha256,
    Portrait.labels_file_sha256,
    Portrait.photo_file_sha256,
    StudyPair.file_a,
    StudyPair.file_b,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubbish:
    """How much was, or would be, deleted."""

    artifacts: int = 0  # whose files nobody needs; their recipes stay
    files: int = 0
    file_bytes: int = 0
    previews: int = 0
    curves: int = 0
    events: int = 0
    refusals: int = 0

    def __add__(self, other: Rubbish) -> Rubbish:
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Rubbish(**sums)

    @property
    def anything(self) -> bool:
        return self != Rubbish()


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how long what is kept."""

    days: float  # artifacts that no job refers to; curves; events of jobs that did not succeed
    intermediate_days: float | None = None  # codes and alignments of ended jobs; None: for ever
    orphan_s: float = DAY_S  # files that no row names
    past_s: float = DAY_S  # previews, and events of jobs that succeeded

    @classmethod
    def of(cls, days: float) -> Self:
        """What the dispatcher keeps."""
        return cls(days=days)


def collect_rows(session: Session, keep: Keep, *, dry_run: bool = False) -> Rubbish:
    """Deletes (or counts) old previews, curves and refused messages, some at a time."""
    return Rubbish(
        previews=_delete(session, StagePreview, StagePreview.stage_id, _old_preview(keep), dry_run),
        curves=_delete(session, StageCurve, StageCurve.stage_id, _old_curve(keep), dry_run),
        refusals=_delete(session, RefusedMessage, RefusedMessage.id, _old_refusal(keep), dry_run),
    )


def collect_events(
    session: Session, keep: Keep, *, after: int = 0, dry_run: bool = False
) -> tuple[Rubbish, int]:
    """Deletes (or counts) the old ones among the next events in the order of their ids.

    The events of jobs that failed stay for long, so whoever looked from the first on each time
    would read them all each time. Of a job that succeeded the story is soon of no interest.

    Args:
        session: Its transaction.
        keep: For how long what is kept.
        after: The id to go on from, from the call before; 0 is the beginning.
        dry_run: Only count.

    Returns:
        What was deleted, and the id to go on from: 0 when the young events are reached.
    """
    young = (Event.at >= _ago(keep.past_s)).label("young")
    old = (Event.at < _ago(keep.days * DAY_S)).label("old")
    query = select(Event.id, Event.job_id, young, old).where(Event.id > after)
    rows = session.execute(query.order_by(Event.id).limit(MOST_ROWS)).all()
    past = sorted({row.job_id for row in rows if row.job_id and not row.young})
    done = select(Job.id).where(Job.id.in_(past), Job.status == JobStatus.SUCCEEDED)
    told = set(session.scalars(done)) if past else set()
    gone = [row.id for row in rows if row.old or (not row.young and row.job_id in told)]
    if gone and not dry_run:
        session.execute(delete(Event).where(Event.id.in_(gone)))
    more = len(rows) == MOST_ROWS and not rows[-1].young
    return Rubbish(events=len(gone)), rows[-1].id if more else 0


def collect_artifacts(
    session: Session, shard: int, keep: Keep, *, dry_run: bool = False
) -> Rubbish:
    """Makes artifacts of a shard missing that nobody needs; their files become orphans.

    A job that is submitted at this moment refers to the row, and that waits for this transaction,
    or is not waited for by it: either way the artifact is there for it or will be made again.
    """
    low, high = f"{shard:02x}", f"{shard:02x}g"
    query = select(Artifact.key).where(Artifact.key >= low, Artifact.key < high, _unneeded(keep))
    if dry_run:
        many = select(func.count()).select_from(query.subquery())
        return Rubbish(artifacts=session.scalar(many) or 0)
    locked = query.order_by(Artifact.key).limit(MOST_ROWS).with_for_update(skip_locked=True)
    keys = list(session.scalars(locked))
    if not keys:
        return Rubbish()
    # Asked again: whoever came to need one before it was locked has committed by now.
    gone = list(
        session.scalars(
            update(Artifact)
            .where(Artifact.key.in_(keys), _unneeded(keep))
            .values(status=ArtifactStatus.MISSING, ready_at=None)
            .returning(Artifact.key)
            .execution_options(synchronize_session=False)
        )
    )
    files = delete(ArtifactFile).where(ArtifactFile.artifact_key.in_(gone))
    session.execute(files.execution_options(synchronize_session=False))
    return Rubbish(artifacts=len(gone))


def collect_files(
    session: Session, store: Store, shard: int, keep: Keep, *, dry_run: bool = False
) -> Rubbish:
    """Deletes (or counts) files of a shard that no row names and nobody has put lately."""
    limit = float(session.scalar(select(func.extract("epoch", _ago(keep.orphan_s)))) or 0)
    found = store.shard(shard)
    old = {name for name, facts in found.items() if facts.st_mtime <= limit}
    orphans = old - _named(session, old)
    deleted = [name for name in sorted(orphans) if dry_run or store.delete_old(name, keep.orphan_s)]
    return Rubbish(files=len(deleted), file_bytes=sum(found[name].st_size for name in deleted))


def _named(session: Session, digests: Iterable[str]) -> set[str]:
    """Those of the digests that a row of the catalogue names."""
    wanted = sorted(digests)
    found: set[str] = set()
    for column in NAMES_A_FILE:
        found.update(filter(None, session.scalars(select(column).where(column.in_(wanted)))))
    return found


def _unneeded(keep: Keep) -> ColumnElement[bool]:
    def unused(days: float) -> ColumnElement[bool]:
        return func.coalesce(Artifact.last_used_at, Artifact.created_at) < _ago(days * DAY_S)

    stage = select(Stage.id).where(Stage.key == Artifact.key)
    result = select(Job.id).where(Job.result_key == Artifact.key)
    rubbish: ColumnElement[bool] = unused(keep.days) & ~stage.exists()
    if keep.intermediate_days is not None:
        ended_well = (JobStatus.SUCCEEDED, JobStatus.CANCELLED)
        wanted = stage.join(Job, Job.id == Stage.job_id).where(Job.status.not_in(ended_well))
        made_again = Artifact.kind.in_([StageKind.RECONSTRUCT, StageKind.ALIGN])
        rubbish = or_(rubbish, and_(made_again, unused(keep.intermediate_days), ~wanted.exists()))
    return (Artifact.status == ArtifactStatus.READY) & ~result.exists() & rubbish


def _old_preview(keep: Keep) -> ColumnElement[bool]:
    running = select(Stage.id).where(
        Stage.id == StagePreview.stage_id, Stage.status == StageStatus.RUNNING
    )
    return (StagePreview.at < _ago(keep.past_s)) & ~running.exists()


def _old_curve(keep: Keep) -> ColumnElement[bool]:
    """All of a stage's, once the latest is old: they are shown together."""
    curve = aliased(StageCurve)
    newer = select(curve.stage_id).where(
        curve.stage_id == StageCurve.stage_id, curve.at >= _ago(keep.days * DAY_S)
    )
    return (StageCurve.at < _ago(keep.days * DAY_S)) & ~newer.exists()


def _old_refusal(keep: Keep) -> ColumnElement[bool]:
    newest = (
        select(RefusedMessage.id)
        .order_by(RefusedMessage.last_at.desc(), RefusedMessage.id.desc())
        .limit(MOST_REFUSED)
    )
    return (RefusedMessage.last_at < _ago(keep.days * DAY_S)) | RefusedMessage.id.not_in(newest)


def _ago(seconds: float) -> ColumnElement[Any]:
    return func.now() - timedelta(seconds=seconds)


def _delete(
    session: Session, table: Any, key: Any, where: ColumnElement[bool], dry_run: bool
) -> int:
    if dry_run:
        return session.scalar(select(func.count()).select_from(table).where(where)) or 0
    some = select(key).where(where).limit(MOST_ROWS)
    statement = delete(table).where(key.in_(some)).returning(key)
    return len(session.execute(statement.execution_options(synchronize_session=False)).all())
