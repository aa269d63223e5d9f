"""Drawers, looks and imports: rows are checked, kept, and queued when somebody says so."""

from __future__ import annotations

from typing import Any

from flask import request, url_for

from barber.catalogue import drawer, intakes
from barber.catalogue.intakes import IntakeFacts
from barber.catalogue.people_tables import Role
from barber.looks import LOOKS
from barber.spec import PortraitKey
from barber.standalone.choice import Choice, PickedRegion
from dashboard import access, record
from dashboard.api import intake_shapes as shapes
from dashboard.api.bodies import Form
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain
from dashboard.intakes import begin_choice, begin_table, look, order

OPERATOR = Role.OPERATOR


@endpoint("GET", "/portraits", role=OPERATOR, answer=shapes.Drawer, tag="portraits")
def portraits_sent(query: shapes.DrawerAsked) -> dict[str, Any]:
    """The portraits that one sent, newest first."""
    with record.transaction() as session:
        rows = drawer.listed(
            session, access.visitor().person.id, limit=query.limit, skip=query.skip
        )
    return {
        "portraits": [
            plain(row) | {"picture": url_for("portraits.portrait", key=row.key)} for row in rows
        ]
    }


@endpoint("POST", "/portraits/remove", role=OPERATOR, answer=shapes.TakenOut, tag="portraits")
def take_portraits_out(json: shapes.OutAsked) -> dict[str, Any]:
    """Takes portraits out of one's drawer; jobs that use them keep them."""
    keys = [PortraitKey(key) for key in json.keys]
    with record.transaction() as session:
        return {"portraits": drawer.take_out(session, access.visitor().person.id, keys)}


@endpoint("GET", "/looks", role=Role.VIEWER, answer=shapes.Looks, tag="batches")
def looks() -> dict[str, Any]:
    """What can be asked for, in a hairdresser's words."""
    return {"looks": [plain(each, "edits") | {"slots": list(each.slots)} for each in LOOKS]}


@endpoint(
    "POST",
    "/imports",
    role=OPERATOR,
    answer=shapes.OneImport,
    tag="imports",
    status=202,
    form=Form(
        files=("table",),
        several=("pictures",),
        needed=("table",),
        fields=("name", "preset", "noise", "align"),
        lists=("set", "allow"),
    ),
)
def import_table() -> tuple[dict[str, Any], int]:
    """Takes a table in, to be checked: the form's file `table`, its pictures as files `pictures`.

    CSV, JSON lines, or a ZIP of one of them with the pictures. A picture that is neither sent along
    nor in the ZIP is looked for in one's drawer by its name. Fields of the form, all optional:
    `name`, `preset`, `set` (repeatable), `noise`, `align`, `allow` (repeatable).
    """
    form = request.form
    asked = {field: form.get(field, "") for field in ("name", "preset", "noise", "align")}
    lists = {field: form.getlist(field) for field in ("set", "allow")}
    intake_id = begin_table(
        request.files.get("table"), request.files.getlist("pictures"), {**asked, **lists}
    )
    return _told(look(intake_id)), 202


@endpoint(
    "POST",
    "/imports/choice",
    role=OPERATOR,
    answer=shapes.OneImport,
    tag="imports",
    status=202,
)
def import_choice(json: shapes.ChoiceAsked) -> tuple[dict[str, Any], int]:
    """Takes in faces and styles from the drawer, to be checked: every face with every style."""
    choice = Choice(
        faces=tuple(dict.fromkeys(PortraitKey(key) for key in json.faces)),
        look=json.look,
        picked={
            slot: tuple(dict.fromkeys(PortraitKey(key) for key in keys))
            for slot, keys in json.picked.items()
        },
        regions=tuple(
            PickedRegion(
                region=each.region,
                shape=PortraitKey(each.shape) if each.shape else None,
                colour=PortraitKey(each.colour) if each.colour else None,
            )
            for each in json.regions
        ),
        preset=json.preset,
        settings=tuple(json.settings),
        noise=json.noise,
        seed=json.seed,
        priority=json.priority,
    )
    intake_id = begin_choice(choice, json.name, {"allow": json.allow})
    return _told(look(intake_id)), 202


@endpoint("GET", "/imports/<id:intake_id>", role=OPERATOR, answer=shapes.OneImport, tag="imports")
def show_import(intake_id: int) -> dict[str, Any]:
    """How far one's own import is."""
    return _told(look(intake_id))


@endpoint("GET", "/imports/<id:intake_id>/rows", role=OPERATOR, answer=shapes.Rows, tag="imports")
def import_rows(intake_id: int, query: shapes.RowsAsked) -> dict[str, Any]:
    """Checked rows of one's own import, in the order of the file."""
    look(intake_id)
    with record.transaction() as session:
        found = intakes.rows(
            session,
            intake_id,
            refused=query.refused,
            after=query.after,
            limit=query.limit + 1,
        )
    rows = found[: query.limit]
    following = None
    if len(found) > query.limit:
        arguments: dict[str, Any] = {key: request.args.getlist(key) for key in request.args}
        arguments["after"] = [str(rows[-1].place)]
        following = url_for("api.import_rows", intake_id=intake_id, **arguments)
    return {"rows": [plain(row) for row in rows], "next": following}


@endpoint(
    "POST",
    "/imports/<id:intake_id>/queue",
    role=OPERATOR,
    answer=shapes.OneImport,
    tag="imports",
)
def queue_import(intake_id: int, json: shapes.QueueAsked) -> dict[str, Any]:
    """Queues one's own import; said twice, it is done once. A long one is queued a little later."""
    found = order(
        intake_id,
        accept_valid=json.accept_valid,
        again=json.again,
        deadline=json.deadline,
        priority=json.priority,
    )
    return _told(found)


def _told(found: IntakeFacts) -> dict[str, Any]:
    kept = plain(found, "person_id", "asked", "digest", "order", "seen_at")
    kept["queued_before"] = (found.order or {}).get("queued_before")
    with record.transaction() as session:
        kept["unchecked"] = {} if found.moving else intakes.unchecked(session, found.id)
    kept["page"] = url_for("intakes.show", intake_id=found.id)
    return {"import": kept}
