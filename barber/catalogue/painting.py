"""Target masks painted by people: each save is a version, and the job runs again with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from barber.catalogue import audit, files, rework
from barber.catalogue.audit import Verb
from barber.catalogue.originals import ARTIFACT_FILE
from barber.catalogue.review_tables import MaskVersion
from barber.catalogue.store import Store
from barber.errors import Conflict, InputError, NotFound, StoreError
from barber.painted import LabelMap, PaintedMask
from barber.plan import StageKind, Variant, plan
from barber.spec import EmptyRegion, JobSpec

MAX_INTEGER = 2**31 - 1  # of the column
COMPOSED = 0  # the number of the mask that the method itself made


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One target mask of a job."""

    number: int
    digest: str | None  # None: the composed one
    who: str | None
    why: str
    at: datetime | None
    in_use: bool  # the job's result is, or will be, made with it


def versions(session: Session, job_id: int) -> list[Version]:
    """The masks of a job, the latest first; the composed one is the last."""
    painted = rework.spec_of(session, job_id).painted
    used = None if painted is None else painted.digest
    query = select(*(c for c in MaskVersion.__table__.c if c.name not in ("job_id", "mask")))
    query = query.where(MaskVersion.job_id == job_id).order_by(MaskVersion.number.desc())
    found = [Version(**row._mapping, in_use=row.digest == used) for row in session.execute(query)]
    composed = Version(number=COMPOSED, digest=None, who=None, why="", at=None, in_use=used is None)
    return [*found, composed]


def painted(session: Session, job_id: int, number: int) -> PaintedMask:
    """One painted version. Raises NotFound."""
    mine = (MaskVersion.job_id == job_id, MaskVersion.number == min(number, MAX_INTEGER))
    data = session.scalar(select(MaskVersion.mask).where(*mine))
    if data is None:
        raise NotFound(f"job {job_id} has no painted mask {number}: its list tells which there are")
    return PaintedMask.from_json(data)


def label_map(session: Session, store: Store, job_id: int, number: int | None = None) -> LabelMap:
    """A version's label map, uint8 [h, h]; of the one that the result is made with when None.

    Raises:
        NotFound: No such version.
        Conflict: The job edits nothing, or its mask is not made yet.
        StoreError: The file is missing or damaged.
    """
    if number is not None and number != COMPOSED:
        return painted(session, job_id, number).label_map
    spec = rework.spec_of(session, job_id)
    if number is None and spec.painted is not None:
        return spec.painted.label_map
    return _composed(session, store, job_id, replace(spec, painted=None))


def repaint(
    session: Session,
    job_id: int,
    mask: PaintedMask | None,
    *,
    by: str,
    why: str = "",
) -> tuple[int, int]:
    """Makes a painted mask the job's, as a new version unless it is one already; it runs again.

    Args:
        session: The session.
        job_id: A job that has ended.
        mask: None goes back to the composed mask.
        by: Who asks.
        why: For people.

    Returns:
        The version's number, and how many stages will run again.

    Raises:
        NotFound: No such job.
        InputError: The mask lacks a region that the job asks for.
        Conflict: The job has not ended, or has this mask already.
    """
    if mask is not None:
        _check(rework.spec_of(session, job_id), mask)
    count = rework.change_mask(session, job_id, mask, by=by, why=why)
    number = COMPOSED if mask is None else _keep(session, job_id, mask, by=by, why=why)
    audit.record(session, Verb.PAINT, by, why=why, job_id=job_id, data={"version": number})
    return number, count


def _check(spec: JobSpec, mask: PaintedMask) -> None:
    if spec.params.target.empty_region is EmptyRegion.REMOVE:
        return
    there = set(np.unique(mask.label_map).tolist())
    for region in spec.regions:
        if not there.intersection(int(label) for label in region.labels):
            raise InputError(
                f"the painted mask shows no {region.area.words}, which this job asks for: paint "
                "some, or set target.empty_region=remove to have it taken away"
            )


def _keep(session: Session, job_id: int, mask: PaintedMask, *, by: str, why: str) -> int:
    """The number of this mask among the job's; the job's lock is held."""
    mine = MaskVersion.job_id == job_id
    query = select(MaskVersion.number).where(mine, MaskVersion.digest == mask.digest)
    known = session.scalar(query)
    if known is not None:
        return known
    number = (session.scalar(select(func.max(MaskVersion.number)).where(mine)) or COMPOSED) + 1
    values = {"digest": mask.digest, "mask": mask.to_json(), "who": str(by), "why": why}
    session.execute(insert(MaskVersion).values(job_id=job_id, number=number, **values))
    return number


def _composed(session: Session, store: Store, job_id: int, spec: JobSpec) -> LabelMap:
    from safetensors.numpy import load

    kinds = (s for s in plan(spec) if s.kind is StageKind.TARGET and s.variant is Variant.STRUCTURE)
    stage = next(kinds, None)
    if stage is None:
        raise Conflict(f"job {job_id} changes no region, so it has no target mask to paint")
    try:
        file = files.artifact_files(session, stage.key)[ARTIFACT_FILE]
    except (NotFound, KeyError):
        raise Conflict(f"the target mask of job {job_id} is not made yet: wait for it") from None
    try:
        found: LabelMap = load(store.get(file.sha256))["label_map"][0]
    except (KeyError, IndexError, ValueError) as error:
        raise StoreError(f"the target mask of job {job_id} cannot be read: {error}") from error
    return found
