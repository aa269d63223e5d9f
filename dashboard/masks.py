"""The target-mask editor: paints on a job's mask, and has the job run again with it."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from barber.catalogue import jobs, owners, painting
from barber.catalogue.people_tables import Role
from barber.errors import Conflict, InputError
from barber.labels import Region
from barber.painted import PAINT_COLOURS, PaintedMask, encode_painted, read_painted
from dashboard import access, record
from dashboard.paging import whole_number

blueprint = Blueprint("masks", __name__, url_prefix="/jobs/<id:job_id>/mask")

LONGEST_WHY = 500


@blueprint.get("")
@access.needs(Role.VIEWER)
def edit(job_id: int) -> ResponseReturnValue:
    """The editor, and the versions there are."""
    with record.transaction() as session:
        view = jobs.job(session, job_id, owner=access.owner())
        if not view.spec.regions:
            raise Conflict(f"job {job_id} changes no region, so it has no target mask to paint")
        number = _version(request.args.get("version", ""))
        label_map = painting.label_map(session, record.store(), job_id, number)
        versions = painting.versions(session, job_id)
    wanted = [label for region in view.spec.regions for label in region.labels]
    return render_template(
        "mask.html",
        job=view.row,
        side=len(label_map),
        number=number,
        versions=versions,
        labels=[(region, PAINT_COLOURS[region]) for region in Region],
        first=wanted[0],
        asked=", ".join(region.area.words for region in view.spec.regions),
        longest_why=LONGEST_WHY,
        operates=access.may(Role.OPERATOR),
    )


@blueprint.get("/labels.png")
@access.needs(Role.VIEWER)
def labels(job_id: int) -> ResponseReturnValue:
    """The label map as an index PNG, of the version asked for or of the one in use."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        number = _version(request.args.get("version", ""))
        label_map = painting.label_map(session, record.store(), job_id, number)
    response = Response(encode_painted(label_map), mimetype="image/png")
    response.headers["Cache-Control"] = "no-store"
    if "download" in request.args:
        name = f"mask-of-job-{job_id}.png"
        response.headers.set("Content-Disposition", "attachment", filename=name)
    return response


@blueprint.post("")
@access.needs(Role.OPERATOR)
def save(job_id: int) -> ResponseReturnValue:
    """Takes a painted mask, or an earlier version; the job runs again from alignment."""
    why = request.form.get("why", "").strip()
    if len(why) > LONGEST_WHY:
        raise InputError(f"say why in at most {LONGEST_WHY} characters")
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        number = _version(request.form.get("version", ""))
        if number is None:
            side = len(painting.label_map(session, record.store(), job_id))
            mask: PaintedMask | None = read_painted(_file(), side=side, name="that you sent")
        else:
            mask = painting.painted(session, job_id, number) if number else None
        painting.repaint(session, job_id, mask, by=access.by(), why=why)
    return redirect(url_for("jobs.show", job_id=job_id), 303)


def _file() -> bytes:
    sent = request.files.get("mask")
    if sent is None or not sent.filename:
        raise InputError("no mask came with the form: paint one, or choose a PNG")
    data: bytes = sent.read()
    return data


def _version(text: str) -> int | None:
    """A version's number; 0 is the composed mask, which is no id."""
    return 0 if text == "0" else whole_number({"version": text}, "version")
