"""Results on their way out: the picture of a job with the recipe of that very job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from barber.catalogue import jobs, making, originals
from barber.catalogue.jobs import JobView
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.errors import Conflict
from barber.pixels import decode, encode_png, read_recipe
from barber.recipe import Sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A result on its way out."""

    name: str  # of the job
    png: bytes
    sidecar: Sidecar


def outcome(session: Session, store: Store, job_id: int, *, into_original: bool) -> Outcome:
    """A job's result with the recipe of that very job.

    Raises:
        NotFound: No such job.
        Conflict: It has no result; the message says what to do.
        StoreError: Its file is missing or damaged.
    """
    view = jobs.job(session, job_id)
    if view.row.result_file is None:
        raise Conflict(_why_none(view))
    if into_original:
        png = originals.into_original(session, store, job_id)
        carried: Mapping[str, Any] = read_recipe(png, name=f"result {job_id}") or {}
    else:
        png = store.get(view.row.result_file)
        carried = making.recipe(session, view.spec).to_json()
        # A job that shares another's artifact shares the picture; its recipe is its own.
        if read_recipe(png, name=f"result {job_id}") != carried:
            png = encode_png(decode(png, name=f"result {job_id}"), recipe=carried)
    row = view.row
    made = {
        "job": row.id,
        "name": row.name,
        "batch": row.batch_id,
        "batch_name": row.batch_name,
        "finished_at": row.finished_at.isoformat() if row.finished_at else None,
    }
    origins = making.origins(session, view.spec)
    sidecar = Sidecar(recipe=carried, origins=origins, made=made)
    return Outcome(name=row.name, png=png, sidecar=sidecar)


def _why_none(view: JobView) -> str:
    row = view.row
    match row.status:
        case JobStatus.FAILED:
            return (
                f"job {row.id} failed and has no result ({row.error}): "
                f"see `barber show {row.id}`, then `barber retry {row.id}`"
            )
        case JobStatus.CANCELLED:
            return f"job {row.id} was cancelled and has no result: `barber retry {row.id}` runs it"
        case _:
            return (
                f"job {row.id} is {row.status} and has no result yet: "
                f"wait for it with `barber watch {row.batch_id}`"
            )
