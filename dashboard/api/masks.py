"""Target masks: the versions of a job, to read, to paint and to go back to."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Response, request
from pydantic import Field

from barber.catalogue import owners, painting
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from barber.painted import encode_painted, read_painted
from dashboard import access, record
from dashboard.api.bodies import Form
from dashboard.api.endpoint import endpoint
from dashboard.api.shapes import Because, Given


class MaskVersion(Given):
    """One target mask of a job."""

    number: int = Field(description="0 is the composed one.")
    digest: str | None
    who: str | None
    why: str
    at: datetime | None
    in_use: bool = Field(description="The job's result is, or will be, made with it.")


class MaskVersions(Given):
    """The latest first."""

    versions: list[MaskVersion]


class Repainted(Given):
    """The job runs again."""

    job_id: int
    version: int
    stages_set_back: int


@endpoint("GET", "/jobs/<id:job_id>/masks", role=Role.VIEWER, answer=MaskVersions, tag="masks")
def masks(job_id: int) -> dict[str, Any]:
    """The target masks of a job."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        found = painting.versions(session, job_id)
    return {"versions": [asdict(version) for version in found]}


@endpoint(
    "GET",
    "/jobs/<id:job_id>/masks/<int:number>.png",
    role=Role.VIEWER,
    answer=None,
    tag="masks",
    gives="image/png",
)
def mask(job_id: int, number: int) -> Response:
    """A target mask as an index PNG: the values are the labels, 0 to 15."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        found = painting.label_map(session, record.store(), job_id, number)
    return Response(encode_painted(found), mimetype="image/png")


@endpoint(
    "POST",
    "/jobs/<id:job_id>/masks",
    role=Role.OPERATOR,
    answer=Repainted,
    tag="masks",
    form=Form(files=("mask",), needed=("mask",), fields=("why",)),
)
def paint(job_id: int) -> dict[str, Any]:
    """Takes a label map as the PNG `mask` of a form, with `why`; the job runs again with it.

    The PNG has the size of the job's own mask, and either the labels as its values or the colours
    of the mask that `GET` gives.
    """
    sent = request.files.get("mask")
    if sent is None:
        raise InputError("the form has no file called mask: send the label map as a PNG")
    why = request.form.get("why", "")[:500]
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        side = len(painting.label_map(session, record.store(), job_id))
        painted = read_painted(sent.read(), side=side, name=str(sent.filename)[:80])
        by = access.by()
        number, count = painting.repaint(session, job_id, painted, by=by, why=why)
    return {"job_id": job_id, "version": number, "stages_set_back": count}


@endpoint(
    "POST",
    "/jobs/<id:job_id>/masks/<int:number>/use",
    role=Role.OPERATOR,
    answer=Repainted,
    tag="masks",
)
def use(job_id: int, number: int, json: Because) -> dict[str, Any]:
    """Goes back to an earlier mask; 0 is the composed one."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        earlier = painting.painted(session, job_id, number) if number else None
        number, count = painting.repaint(session, job_id, earlier, by=access.by(), why=json.why)
    return {"job_id": job_id, "version": number, "stages_set_back": count}
