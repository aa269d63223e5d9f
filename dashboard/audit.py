"""The audit log, for admins."""

from __future__ import annotations

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue

from barber.catalogue import audit
from barber.catalogue.audit import Verb
from barber.catalogue.people_tables import Role
from dashboard import access, record
from dashboard.paging import page_of, place, whole_number

blueprint = Blueprint("audit", __name__)


@blueprint.get("/audit")
@access.needs(Role.ADMIN)
def index() -> ResponseReturnValue:
    """Who did what, newest first: `?who=`, `?verb=`, `?job=`, `?batch=`."""
    who, verb = request.args.get("who", "").strip(), request.args.get("verb", "")
    if verb and verb not in list(Verb):
        abort(400, f"{verb[:40]!r} is no verb: use one of {', '.join(Verb)}")
    job_id, batch_id = whole_number(request.args, "job"), whole_number(request.args, "batch")
    with record.transaction() as session:
        found = page_of(
            lambda limit: audit.entries(
                session,
                who=who or None,
                verb=Verb(verb) if verb else None,
                job_id=job_id,
                batch_id=batch_id,
                limit=limit,
                before=place(request.args),
            ),
            key=lambda row: row.id,
        )
    chosen = {"who": who, "verb": verb, "job": job_id or "", "batch": batch_id or ""}
    return render_template("audit.html", page=found, chosen=chosen, verbs=list(Verb))
