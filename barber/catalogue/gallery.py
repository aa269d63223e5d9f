"""Results as people look at them: a page at a time, newest or worst first, by what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, cast, exists, func, literal, or_, select, true
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Session, aliased

from barber.catalogue import listing, quality
from barber.catalogue.listing import Place
from barber.catalogue.owners import owned
from barber.catalogue.review_tables import Decision, ResultQuality, ResultVerdict
from barber.catalogue.selection import MAX_ID, Selection
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import ArtifactFile, Batch, Job, Stage
from barber.catalogue.views import PNG
from barber.errors import InputError, NotFound
from barber.plan import StageKind
from barber.quality import Quality
from barber.spec import PortraitKey

UNMEASURED = "Infinity"  # sorts behind every number

# What holds of a job's result. Looked up for each job (OFFSET keeps it apart): the planner would
# rather read the verdicts on all results there are to find those of one batch.
Holds = aliased(
    ResultVerdict,
    select(ResultVerdict)
    .where(ResultVerdict.job_id == Job.id, ResultVerdict.result_key == Job.result_key)
    .offset(0)
    .lateral("holds"),
)


# Whether a job's result is flagged: from the few that are, whose index is small (OFFSET as above).
_Flagged = aliased(ResultQuality)
IS_FLAGGED = exists(
    select(literal(1))
    .where(_Flagged.artifact_key == Job.result_key, func.cardinality(_Flagged.flags) > 0)
    .offset(0)
    .correlate(Job)
)


class Shown(StrEnum):
    """Which results."""

    ALL = "all"
    UNDECIDED = "undecided"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    FLAGGED = "flagged"


class Order(StrEnum):
    """In which order; by a number the worst comes first."""

    NEWEST = "newest"
    IOU = "iou"
    PSNR = "psnr"
    SSIM = "ssim"
    DISTANCE = "distance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A gallery. Decisions and numbers narrow a batch down, or jobs by id: never everything."""

    batch_id: int | None = None
    job_ids: tuple[int, ...] = ()
    shown: Shown = Shown.ALL
    order: Order = Order.NEWEST
    owner: int | None = None

    def __post_init__(self) -> None:
        if not self.is_narrow and (self.shown is not Shown.ALL or self.order is not Order.NEWEST):
            raise InputError("results of all batches come newest first: choose a batch to sort")

    @property
    def is_narrow(self) -> bool:
        """Whether it is about some results, and not about all there are."""
        return self.batch_id is not None or bool(self.job_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One result with all that is shown of it."""

    job_id: int
    batch_id: int
    batch_name: str
    name: str
    finished_at: datetime
    result_key: str
    result_file: str | None  # digest of its PNG
    mask_file: str | None  # digest of the target mask's PNG
    identity: PortraitKey
    references: tuple[PortraitKey, ...]
    quality: Quality | None
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None


def page(
    session: Session, wanted: Wanted, *, limit: int, after: str = ""
) -> tuple[list[Item], str | None]:
    """Results, and where the next page begins.

    Args:
        session: The session.
        wanted: Which.
        limit: Of the page.
        after: What the page before gave as its end.

    Raises:
        InputError: `after` is no end of a page.
    """
    if not wanted.is_narrow:
        ids = _newest(session, wanted, after, limit + 1)
        return items(session, ids[:limit]), f"0.0_{ids[limit - 1]}" if len(ids) > limit else None
    worst = _worst(wanted.order)
    query = _select(wanted, Job.id.label("id"), worst.label("worst"))
    if after:
        query = query.where(_behind(wanted.order, after))
    rows = session.execute(query.order_by(*_sorted(wanted.order)).limit(limit + 1)).all()
    ids = [row.id for row in rows[:limit]]
    more = f"{rows[limit - 1].worst}_{ids[-1]}" if len(rows) > limit else None
    return items(session, ids), more


def item(session: Session, job_id: int, *, owner: int | None) -> Item:
    """One result. Raises NotFound when there is no such job for this person, or no result."""
    mine = Wanted(job_ids=(job_id,), owner=owner)
    found, _ = page(session, mine, limit=1)
    if not found:
        raise NotFound(f"job {job_id} has no result to look at")
    return found[0]


def following(session: Session, wanted: Wanted, job_id: int) -> int | None:
    """The job whose result comes next in a gallery; None at its end."""
    alone = Wanted(job_ids=(job_id,))
    at = session.scalar(_select(alone, _worst(wanted.order)))
    if at is None:
        return None
    if not wanted.is_narrow:
        return next(iter(_newest(session, wanted, f"{at}_{job_id}", 1)), None)
    query = _select(wanted, Job.id).where(_behind(wanted.order, f"{at}_{job_id}"))
    found: int | None = session.scalar(query.order_by(*_sorted(wanted.order)).limit(1))
    return found


def ids(session: Session, wanted: Wanted, *, after: int, limit: int) -> list[int]:
    """Ids of the jobs, oldest first, above the id `after`."""
    query = _select(wanted, Job.id).where(Job.id > after).order_by(Job.id).limit(limit)
    return list(session.scalars(query))


def counts(session: Session, batch_id: int) -> dict[Shown, int]:
    """How many results a batch has, of each kind."""
    total = func.count()
    decision = Holds.decision
    query = joined(
        select(
            total,
            total.filter(decision.is_(None)),
            total.filter(decision == Decision.ACCEPTED),
            total.filter(decision == Decision.REJECTED),
            total.filter(IS_FLAGGED),
        )
    )
    row = session.execute(query.where(*where(Wanted(batch_id=batch_id)))).one()
    return dict(zip(Shown, row, strict=True))


def where(wanted: Wanted) -> list[ColumnElement[bool]]:
    """The conditions on `Job`, joined as `joined` does."""
    found: list[ColumnElement[bool]] = [Job.status == JobStatus.SUCCEEDED]
    if wanted.batch_id is not None:
        found.append(Job.batch_id == wanted.batch_id)
    if wanted.job_ids:
        found.append(Job.id.in_(wanted.job_ids))
    if wanted.owner is not None:
        found.append(owned(wanted.owner))
    match wanted.shown:
        case Shown.UNDECIDED:
            found.append(Holds.decision.is_(None))
        case Shown.ACCEPTED | Shown.REJECTED:
            found.append(Holds.decision == str(wanted.shown))
        case Shown.FLAGGED:
            found.append(IS_FLAGGED)
        case Shown.ALL:
            pass
    return found


def joined(query: Any, *, held: bool = True) -> Any:
    """Jobs with the numbers of their results and, where it is asked for, what holds of them."""
    found = query.select_from(Job)
    found = found.outerjoin(ResultQuality, ResultQuality.artifact_key == Job.result_key)
    return found.outerjoin(Holds, true()) if held else found


def _select(wanted: Wanted, *columns: Any) -> Select[Any]:
    # A verdict is looked up for each job; a batch that is only sorted does without.
    held = wanted.shown in (Shown.UNDECIDED, Shown.ACCEPTED, Shown.REJECTED)
    found: Select[Any] = joined(select(*columns), held=held).where(*where(wanted))
    return found


def _worst(order: Order) -> ColumnElement[float]:
    """A number that is the smaller the worse a result is."""
    if order is Order.NEWEST:
        return literal(0.0, REAL)
    columns: dict[Order, Any] = {
        Order.IOU: ResultQuality.iou,
        Order.PSNR: ResultQuality.psnr_db,
        Order.SSIM: ResultQuality.ssim,
        Order.DISTANCE: -ResultQuality.distance,
    }
    return func.coalesce(columns[order], cast(UNMEASURED, REAL))


def _sorted(order: Order) -> list[ColumnElement[Any]]:
    """As the indexes have it: newest first is by the negative id."""
    newest: list[ColumnElement[Any]] = [-Job.id]
    return newest if order is Order.NEWEST else [_worst(order), *newest]


def _newest(session: Session, wanted: Wanted, after: str, limit: int) -> list[int]:
    """Jobs with a result, newest first, as the list of jobs finds them."""
    chosen = Selection(statuses=(JobStatus.SUCCEEDED,), owner=wanted.owner)
    place = Place(_place(after)[1]) if after else None
    return [each.job_id for each in listing.page(session, chosen, limit=limit, after=place)]


def _place(after: str) -> tuple[float, int]:
    """The number and the job that a page ends with. Raises InputError."""
    number, _, job_id = after.partition("_")
    try:
        found = float(number), int(job_id)
    except ValueError:
        found = 0.0, 0
    if not 0 < found[1] < MAX_ID:
        raise InputError(f"{after[:40]!r} is no place in a gallery: follow its links")
    return found


def _behind(order: Order, after: str) -> ColumnElement[bool]:
    number, newest = _place(after)
    at = cast(literal(number), REAL)
    older = -Job.id > -newest
    if order is Order.NEWEST:
        return older
    worst = _worst(order)
    return or_(worst > at, and_(worst == at, older))


def items(session: Session, job_ids: Sequence[int]) -> list[Item]:
    """The results of these jobs, in this order."""
    query = joined(
        select(
            *(Job.id, Job.batch_id, Job.name, Job.spec, Job.result_key, Job.finished_at),
            *(Holds.decision, Holds.who, Holds.at),
            Batch.name.label("batch_name"),
        )
    ).join(Batch, Batch.id == Job.batch_id)
    rows = {row.id: row for row in session.execute(query.where(Job.id.in_(job_ids)))}
    keys = [row.result_key for row in rows.values()]
    masks = _mask_keys(session, job_ids)
    pictures = _pictures(session, [*keys, *masks.values()])
    numbers = quality.of(session, keys)
    return [
        Item(
            job_id=row.id,
            batch_id=row.batch_id,
            batch_name=row.batch_name,
            name=row.name,
            finished_at=row.finished_at,
            result_key=row.result_key,
            result_file=pictures.get(row.result_key),
            mask_file=pictures.get(masks.get(row.id, "")),
            identity=PortraitKey(row.spec["identity"]),
            references=_references(row.spec),
            quality=numbers.get(row.result_key),
            decision=None if row.decision is None else Decision(row.decision),
            decided_by=row.who,
            decided_at=row.at,
        )
        for row in (rows[job_id] for job_id in job_ids if job_id in rows)
    ]


def _references(spec: Any) -> tuple[PortraitKey, ...]:
    used = [region[part] for region in spec["regions"] for part in ("structure", "appearance")]
    return tuple(PortraitKey(key) for key in dict.fromkeys(used) if key != spec["identity"])


def _mask_keys(session: Session, job_ids: Sequence[int]) -> dict[int, str]:
    """The target mask of each job's shapes."""
    query = select(Stage.job_id, Stage.key).where(
        Stage.job_id.in_(job_ids), Stage.kind == StageKind.TARGET, Stage.slot == 0
    )
    return {row.job_id: row.key for row in session.execute(query)}


def _pictures(session: Session, keys: Iterable[str]) -> dict[str, str]:
    query = select(ArtifactFile.artifact_key, ArtifactFile.sha256).where(
        ArtifactFile.artifact_key.in_(list(keys)), ArtifactFile.media_type == PNG
    )
    # Of several the first by name: what the parser saw comes behind the picture itself.
    rows = session.execute(query.order_by(ArtifactFile.name.desc()))
    return {row.artifact_key: row.sha256 for row in rows}
