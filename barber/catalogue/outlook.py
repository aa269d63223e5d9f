"""When it will be done: from what stages took lately, and from who is there to do the rest.

Reads only, and little: what is left of a batch is scaled up from some of its open jobs, so a page
costs the same with forty jobs as with forty thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from barber.catalogue import counts, operate, workers
from barber.catalogue.counts import JobChange, JobCount
from barber.catalogue.owners import owned
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import Batch, Job
from barber.plan import StageKind

MOST_BATCHES: Final = 100  # open ones that are looked at
WINDOWS: Final = {"15 min": 900.0, "1 h": 3600.0, "12 h": 43200.0}  # of throughput, in seconds

# What a stage of each kind took, those included that took nothing because the artifact was there.
RATES = text("""
WITH looked_at AS (
    (SELECT id, bundle FROM job
      WHERE finished_at > now() - interval '1 day' AND status = 'succeeded'
      ORDER BY finished_at DESC LIMIT 150)
    UNION
    (SELECT id, bundle FROM job WHERE status = 'running' ORDER BY (- id) LIMIT 100)
)
SELECT looked_at.bundle, stage.kind, count(*) AS stages, count(spent.seconds) AS ran,
       sum(spent.seconds) AS seconds
  FROM looked_at
  JOIN stage ON stage.job_id = looked_at.id AND stage.status = 'succeeded'
  LEFT JOIN LATERAL (
       SELECT sum(extract(epoch FROM attempt.ended_at - attempt.started_at)) AS seconds
         FROM attempt WHERE attempt.stage_id = stage.id AND attempt.ended_at IS NOT NULL
       ) AS spent ON true
 GROUP BY looked_at.bundle, stage.kind
""")

# What is left to do of some open jobs of each batch; of a stage that runs, the rest of it.
LEFT = text("""
SELECT asked.id AS batch_id, picked.status, picked.bundle, stage.kind,
       count(DISTINCT picked.id) AS jobs,
       sum(CASE WHEN stage.status = 'running' THEN 1 - coalesce(stage.progress, 0) ELSE 1 END)
           AS stages
  FROM unnest(CAST(:ids AS bigint[])) AS asked (id)
 CROSS JOIN LATERAL (
       (SELECT id, status, bundle FROM job
         WHERE batch_id = asked.id AND status = 'queued' ORDER BY (- id) LIMIT 20)
       UNION ALL
       (SELECT id, status, bundle FROM job
         WHERE batch_id = asked.id AND status = 'running' ORDER BY (- id) LIMIT 40)
       ) AS picked
  JOIN stage ON stage.job_id = picked.id
   AND stage.status IN ('pending', 'dispatched', 'running')
 GROUP BY asked.id, picked.status, picked.bundle, stage.kind
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What stages of one kind took lately."""

    kind: StageKind
    bundle: str  # digest
    stages: int  # that ended well
    ran: int  # of these; the others found their artifact made already
    seconds: float  # of workers' time, on average over all of them
    run_s: float  # on average over those that ran


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """When a batch will be done, or why nobody can say."""

    batch_id: int
    open: int  # jobs that have not ended
    seconds: float | None  # from now
    reason: str  # why there is no estimate; empty when there is
    position: int | None = None  # in the order in which the open batches will be done, from 1
    batches: int = 0  # that share its workers, itself included

    def done_at(self, now: datetime) -> datetime | None:
        return None if self.seconds is None else now + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Jobs that succeeded within a time until now."""

    window: str  # in words
    jobs: int
    per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How the open work will go on."""

    estimates: Mapping[int, Estimate]  # by batch, of those with open jobs
    rates: tuple[Rate, ...]
    workers: int  # that take stages now
    throughput: tuple[Throughput, ...]

    @property
    def open(self) -> int:
        return sum(each.open for each in self.estimates.values())

    @property
    def whole(self) -> Estimate | None:
        """Of everything: the batch that is done last; None when nothing is open."""
        if not self.estimates:
            return None
        return max(
            self.estimates.values(), key=lambda e: (e.seconds is None, e.seconds or 0.0, e.batch_id)
        )

    @property
    def rests_on(self) -> str:
        """What the estimates rest on, in words."""
        by_kind: dict[StageKind, list[Rate]] = defaultdict(list)
        for rate in self.rates:
            by_kind[rate.kind].append(rate)
        parts = [f"{kind} {_mean(by_kind[kind]):.1f} s" for kind in StageKind if kind in by_kind]
        stages = sum(rate.stages for rate in self.rates)
        people = f"{self.workers} worker" + ("" if self.workers == 1 else "s")
        return f"{', '.join(parts)} (from the latest {stages:,} stages) on {people}"


@dataclass(slots=True, kw_only=True)
class Share:
    """A batch's part in the workers' time, while the others of its pool go on."""

    batch_id: int
    person: str
    work_s: float  # of workers' time
    least_s: float = 0.0  # one job's stages follow on each other, however many workers there are
    done_s: float = 0.0  # from now, if the work could be split at will

    @property
    def ends_s(self) -> float:
        return max(self.done_s, self.least_s)


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of the stages of a kind, in some of a batch's jobs of one status."""

    kind: StageKind
    status: JobStatus
    jobs: int  # that have such a stage left
    stages: float


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A batch with open jobs."""

    batch_id: int
    person: str
    paused: bool
    filling: bool
    jobs: Mapping[JobStatus, int]  # the open ones
    bundle: str = ""
    parts: list[Part] = field(default_factory=list)

    @property
    def open(self) -> int:
        return sum(self.jobs.values())

    def hindrance(
        self, rates: Mapping[tuple[str, StageKind], Rate], held: Mapping[str, int]
    ) -> str:
        """Why nobody can say when it will be done; empty when somebody can."""
        if self.filling:
            return "the batch is being queued"
        if self.paused:
            return "the batch is paused"
        if not self.parts:
            return "nothing of it waits"
        if not held.get(self.bundle):
            return "no worker that holds its bundle is there"
        kinds = {part.kind for part in self.parts}
        missing = [kind for kind in StageKind if kind in kinds and (self.bundle, kind) not in rates]
        if missing:
            return f"no {' and no '.join(missing)} has ended with this bundle within a day"
        return ""

    def share(self, rates: Mapping[tuple[str, StageKind], Rate]) -> Share:
        """What it takes: the sample of each status, scaled up to all of its jobs."""
        looked_at = {
            status: max((part.jobs for part in self.parts if part.status is status), default=1)
            for status in self.jobs
        }
        work_s = sum(
            part.stages
            * max(1.0, self.jobs[part.status] / looked_at[part.status])
            * rates[self.bundle, part.kind].seconds
            for part in self.parts
        )
        least_s = sum(rates[self.bundle, kind].run_s for kind in {part.kind for part in self.parts})
        return Share(batch_id=self.batch_id, person=self.person, work_s=work_s, least_s=least_s)


def look_ahead(session: Session, *, owner: int | None = None, dispatching: bool = True) -> Outlook:
    """The outlook on all open batches, or on those of `owner`, beside those of the others.

    Args:
        session: The session.
        owner: Whose batches are told of; the workers' time is shared with everybody's.
        dispatching: Whether a dispatcher is there at all.
    """
    waiting = _open_batches(session)
    rates = _rates(session)
    held = workers.held_bundles(session)
    estimates = _estimates(session, waiting, rates, held, dispatching=dispatching)
    if owner is not None:
        mine = select(Batch.id).where(Batch.owner_id == owner, Batch.id.in_(estimates))
        kept = set(session.scalars(mine))
        estimates = {key: value for key, value in estimates.items() if key in kept}
    return Outlook(
        estimates=estimates,
        rates=tuple(rates.values()),
        workers=sum(held.values()),
        throughput=throughput(session, owner=owner),
    )


def throughput(session: Session, *, owner: int | None = None) -> tuple[Throughput, ...]:
    """How many jobs succeeded lately, over several times."""
    ended = Job.finished_at
    columns = [func.count().filter(ended > _ago(seconds)) for seconds in WINDOWS.values()]
    query = select(*columns).where(
        ended > _ago(max(WINDOWS.values())), Job.status == JobStatus.SUCCEEDED
    )
    if owner is not None:
        query = query.where(owned(owner))
    counted = session.execute(query).one()
    return tuple(
        Throughput(window=window, jobs=jobs, per_hour=jobs * 3600 / seconds)
        for (window, seconds), jobs in zip(WINDOWS.items(), counted, strict=True)
    )


def shared_out(shares: Sequence[Share], capacity: int) -> None:
    """Says when each batch is done: workers are shared equally by people, and each person's part by
    their batches, as the dispatcher does; who is done leaves the others more.
    """
    now, left = 0.0, [share for share in shares if share.work_s > 0]
    while left:
        people = {share.person for share in left}
        rates = {
            share.batch_id: capacity
            / len(people)
            / sum(other.person == share.person for other in left)
            for share in left
        }
        step = min(share.work_s / rates[share.batch_id] for share in left)
        now += step
        for share in left:
            share.work_s -= step * rates[share.batch_id]
            if share.work_s <= 1e-9:
                share.done_s = now
        left = [share for share in left if share.work_s > 1e-9]


def _mean(rates: Collection[Rate]) -> float:
    return sum(r.run_s * r.ran for r in rates) / max(1, sum(r.ran for r in rates))


def _ago(seconds: float) -> ColumnElement[datetime]:
    return func.now() - timedelta(seconds=seconds)


def _open_batches(session: Session) -> list[Waiting]:
    """Batches with open jobs, the oldest first, each with some of what is left of it."""
    open_ = [str(status) for status in operate.OPEN]
    ids = [
        select(table.batch_id).where(table.status.in_(open_), table.jobs > 0, table.batch_id > 0)
        for table in (JobCount, JobChange)
    ]
    query = (
        select(Batch.id, Batch.submitted_by, Batch.paused, Batch.filling)
        .where(Batch.id.in_(ids[0].union(ids[1])))
        .order_by(Batch.id)
        .limit(2 * MOST_BATCHES)
    )
    rows = session.execute(query).all()
    counted = counts.of_batches(session, [row.id for row in rows])
    found = [
        Waiting(
            batch_id=row.id,
            person=row.submitted_by or "",
            paused=row.paused,
            filling=row.filling,
            jobs={status: counted[row.id][status] for status in operate.OPEN},
        )
        for row in rows
        if any(counted[row.id][status] for status in operate.OPEN)
    ][:MOST_BATCHES]
    by_id = {each.batch_id: each for each in found}
    for row in session.execute(LEFT, {"ids": list(by_id)}):
        part = Part(StageKind(row.kind), JobStatus(row.status), row.jobs, float(row.stages))
        by_id[row.batch_id].parts.append(part)
        by_id[row.batch_id].bundle = row.bundle
    return found


def _rates(session: Session) -> dict[tuple[str, StageKind], Rate]:
    return {
        (row.bundle, StageKind(row.kind)): Rate(
            kind=StageKind(row.kind),
            bundle=row.bundle,
            stages=row.stages,
            ran=row.ran,
            seconds=float(row.seconds or 0.0) / row.stages,
            run_s=float(row.seconds or 0.0) / row.ran if row.ran else 0.0,
        )
        for row in session.execute(RATES)
    }


def _estimates(
    session: Session,
    waiting: Sequence[Waiting],
    rates: Mapping[tuple[str, StageKind], Rate],
    held: Mapping[str, int],
    *,
    dispatching: bool,
) -> dict[int, Estimate]:
    halt = "everything is paused" if operate.paused_all(session) else ""
    halt = halt or ("" if dispatching else "no dispatcher is there")
    found: dict[int, Estimate] = {}
    pools: dict[str, list[Share]] = defaultdict(list)
    for batch in waiting:
        reason = halt or batch.hindrance(rates, held)
        if reason:
            found[batch.batch_id] = Estimate(
                batch_id=batch.batch_id, open=batch.open, seconds=None, reason=reason
            )
        else:
            pools[batch.bundle].append(batch.share(rates))
    open_jobs = {batch.batch_id: batch.open for batch in waiting}
    for bundle, pool in pools.items():
        shared_out(pool, held[bundle])
        for position, share in enumerate(sorted(pool, key=lambda each: each.ends_s), start=1):
            found[share.batch_id] = Estimate(
                batch_id=share.batch_id,
                open=open_jobs[share.batch_id],
                seconds=share.ends_s,
                reason="",
                position=position,
                batches=len(pool),
            )
    return found
