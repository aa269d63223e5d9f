"""Results to take away: one as a PNG, its recipe, or many as a ZIP that is streamed."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from typing import Any

from flask import Response, current_app, request
from sqlalchemy import Engine

from barber.catalogue import gallery, jobs, outcomes, owners
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Item, Wanted
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.errors import CatalogueError, StoreError
from barber.results import safe_stem, sidecar_bytes
from dashboard import access, record
from dashboard.api import review_shapes as review
from dashboard.api.endpoint import endpoint

PAGE = 200
COLUMNS = (
    *("file", "job", "name", "decision", "by", "at"),
    *("iou", "psnr_db", "ssim", "distance", "distance_name", "flags"),
)


@endpoint(
    "GET",
    "/jobs/<id:job_id>/result.png",
    role=Role.VIEWER,
    answer=None,
    tag="results",
    gives="image/png",
)
def result(job_id: int) -> Response:
    """A job's result as a PNG with its recipe inside; `?into_original=1` in its photograph."""
    found = _outcome(job_id)
    return _file(found.png, "image/png", f"{safe_stem(found.name)}.png")


@endpoint(
    "GET",
    "/jobs/<id:job_id>/recipe.json",
    role=Role.VIEWER,
    answer=None,
    tag="results",
    gives="application/json",
)
def recipe(job_id: int) -> Response:
    """How a job's result was made, as the file beside it says."""
    found = _outcome(job_id)
    stem = safe_stem(found.name)
    data = sidecar_bytes(found.sidecar, f"{stem}.png", found.png)
    return _file(data, "application/json", f"{stem}.json")


@endpoint(
    "GET",
    "/batches/<id:batch_id>/results.zip",
    role=Role.VIEWER,
    answer=None,
    tag="results",
    gives="application/zip",
)
def archive(batch_id: int, query: review.ArchiveAsked) -> Response:
    """All results of a batch with their recipes and a table of their numbers and verdicts.

    missing.txt says what could not be read.
    """
    with record.transaction() as session:
        row = jobs.batch(session, batch_id, owner=access.owner())
    return archive_of(Wanted(batch_id=batch_id, shown=query.show), row.name)


@endpoint(
    "POST",
    "/results/archive",
    role=Role.VIEWER,
    answer=None,
    tag="results",
    gives="application/zip",
)
def chosen_archive(json: review.Chosen) -> Response:
    """The results of these jobs as a ZIP; jobs that the visitor may not see are left out."""
    return archive_of(Wanted(job_ids=tuple(json.jobs), owner=access.owner()), "results")


def archive_of(wanted: Wanted, name: str) -> Response:
    """The answer that streams a gallery."""
    parts = zip_of(current_app.extensions["engine"], record.store(), wanted)
    return _file(parts, "application/zip", f"{safe_stem(name)}.zip")


def zip_of(engine: Engine, store: Store, wanted: Wanted) -> Iterator[bytes]:
    """The parts of a ZIP with the results of a gallery, one picture in memory at a time."""
    sink, taken, missing = _Sink(), set[str](), list[str]()
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(COLUMNS)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # PNGs are packed already
        for item in _items(engine, wanted):
            try:
                with transaction(engine) as session:
                    found = outcomes.outcome(session, store, item.job_id, into_original=False)
            except (CatalogueError, StoreError) as error:
                missing.append(f"job {item.job_id}: {error}")
                continue
            stem = safe_stem(found.name, taken=taken)
            taken.add(stem.casefold())
            archive.writestr(f"{stem}.png", found.png)
            told = sidecar_bytes(found.sidecar, f"{stem}.png", found.png)
            archive.writestr(f"{stem}.json", told)
            rows.writerow(_row(item, f"{stem}.png"))
            yield sink.take()
        archive.writestr("results.csv", table.getvalue())
        if missing:
            archive.writestr("missing.txt", "\n".join(missing) + "\n")
    yield sink.take()


def _row(item: Item, file: str) -> list[object]:
    found = item.quality
    numbers: list[object] = [""] * 6
    if found is not None:
        numbers = [found.iou, found.psnr_db, found.ssim, found.distance, found.distance_name]
        numbers.append(" ".join(found.flags))
    at = item.decided_at.isoformat() if item.decided_at else ""
    # A name that a spreadsheet would take for a formula stays a name.
    name = f"'{item.name}" if item.name[:1] in "=+-@\t" else item.name
    return [file, item.job_id, name, item.decision or "", item.decided_by or "", at, *numbers]


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


def _items(engine: Engine, wanted: Wanted) -> Iterator[Item]:
    after = 0
    while True:
        with transaction(engine) as session:
            found = gallery.ids(session, wanted, after=after, limit=PAGE)
            items = gallery.items(session, found)
        yield from items
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
