"""Results to take away: one as a PNG, its recipe, or all of a batch as a ZIP that is streamed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from flask import Response, current_app, request
from sqlalchemy import Engine

from barber.catalogue import jobs, outcomes, owners
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.selection import Selection, page
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.errors import CatalogueError, StoreError
from barber.results import safe_stem, sidecar_bytes
from dashboard import access, record
from dashboard.api.endpoint import endpoint

PAGE = 200


@endpoint("GET", "/jobs/<id:job_id>/result.png", role=Role.VIEWER, answer=None, tag="results")
def result(job_id: int) -> Response:
    """A job's result as a PNG with its recipe inside; `?into_original=1` in its photograph."""
    found = _outcome(job_id)
    return _file(found.png, "image/png", f"{safe_stem(found.name)}.png")


@endpoint("GET", "/jobs/<id:job_id>/recipe.json", role=Role.VIEWER, answer=None, tag="results")
def recipe(job_id: int) -> Response:
    """How a job's result was made, as the file beside it says."""
    found = _outcome(job_id)
    stem = safe_stem(found.name)
    data = sidecar_bytes(found.sidecar, f"{stem}.png", found.png)
    return _file(data, "application/json", f"{stem}.json")


@endpoint("GET", "/batches/<id:batch_id>/results.zip", role=Role.VIEWER, answer=None, tag="results")
def archive(batch_id: int) -> Response:
    """All results of a batch with their recipes; missing.txt says what could not be read."""
    with record.transaction() as session:
        row = jobs.batch(session, batch_id, owner=access.owner())
    chosen = Selection(batch_id=batch_id, statuses=(JobStatus.SUCCEEDED,))
    parts = zip_of(current_app.extensions["engine"], record.store(), chosen)
    return _file(parts, "application/zip", f"{safe_stem(row.name)}.zip")


def zip_of(engine: Engine, store: Store, chosen: Selection) -> Iterator[bytes]:
    """The parts of a ZIP with the results of a selection, one picture in memory at a time."""
    sink, taken, missing = _Sink(), set[str](), list[str]()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # PNGs are packed already
        for job_id in _ids(engine, chosen):
            try:
                with transaction(engine) as session:
                    found = outcomes.outcome(session, store, job_id, into_original=False)
            except (CatalogueError, StoreError) as error:
                missing.append(f"job {job_id}: {error}")
                continue
            stem = safe_stem(found.name, taken=taken)
            taken.add(stem.casefold())
            archive.writestr(f"{stem}.png", found.png)
            told = sidecar_bytes(found.sidecar, f"{stem}.png", found.png)
            archive.writestr(f"{stem}.json", told)
            yield sink.take()
        if missing:
            archive.writestr("missing.txt", "\n".join(missing) + "\n")
    yield sink.take()


class _Sink(io.RawIOBase):
    """Where the archive writes; what it wrote is taken out again and again."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        whole, self._parts = b"".join(self._parts), []
        return whole


def _ids(engine: Engine, chosen: Selection) -> Iterator[int]:
    after = 0
    while True:
        with transaction(engine) as session:
            found: Sequence[int] = page(session, chosen, after=after, limit=PAGE)
        yield from found
        if len(found) < PAGE:
            return
        after = found[-1]


def _outcome(job_id: int) -> outcomes.Outcome:
    wanted = request.args.get("into_original", "") in ("1", "true")
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        return outcomes.outcome(session, record.store(), job_id, into_original=wanted)


def _file(data: bytes | Iterator[bytes], media_type: str, name: str) -> Response:
    response = Response(data, mimetype=media_type)
    response.headers.set("Content-Disposition", "attachment", filename=name)
    return response
