"""Imports: what will be queued, row by row, before anything is; then the word that queues it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from flask import Blueprint, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from barber.catalogue import drawer, intakes
from barber.catalogue.intake_tables import IntakeStatus
from barber.catalogue.intakes import CheckedRow, IntakeFacts
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from barber.moments import parse_deadline
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Check
from barber.spec import JobSpec, NoiseMode, PortraitKey
from barber.standalone.choice import Choice, check_choice
from barber.standalone.intake import folder_of
from barber.table_files import TABLES
from dashboard import access, background, live, record
from dashboard.paging import whole_number
from dashboard.uploads import save, save_all, system_bundle

blueprint = Blueprint("intakes", __name__, url_prefix="/imports")

POLL_S = 1
PAGE = 100
FEW = 200  # jobs that are queued within the request
LONGEST_NAME = 200


@blueprint.get("/<id:intake_id>")
@access.needs(Role.OPERATOR)
def show(intake_id: int) -> ResponseReturnValue:
    """What will be queued and what cannot be."""
    after = whole_number(request.args, "after") or 0
    found = look(intake_id)
    with record.transaction() as session:
        refused = intakes.rows(session, intake_id, refused=True, limit=PAGE)
        sound = intakes.rows(session, intake_id, refused=False, after=after, limit=PAGE + 1)
        keys = {key for row in sound for key in portraits_of(row)}
        names = drawer.names(session, found.person_id, keys)
        unchecked = {} if found.moving else intakes.unchecked(session, intake_id)
    return live.render(
        "intake.html",
        "_intake.html",
        poll_s=POLL_S if found.moving else None,
        intake=found,
        refused=refused,
        sound=sound[:PAGE],
        following=sound[PAGE - 1].place if len(sound) > PAGE else None,
        names=names,
        portraits_of=portraits_of,
        unchecked=unchecked,
        deadline=found.asked.get("deadline"),
    )


@blueprint.post("/<id:intake_id>/queue")
@access.needs(Role.OPERATOR)
def queue(intake_id: int) -> ResponseReturnValue:
    """Queues the sound rows; said twice, it is done once."""
    form = request.form
    found = order(
        intake_id,
        accept_valid="accept_valid" in form,
        again="again" in form,
        deadline=form.get("deadline", ""),
        priority=0,
    )
    if found.batch_id is not None:
        return redirect(url_for("batches.show", batch_id=found.batch_id), 303)
    return redirect(url_for("intakes.show", intake_id=intake_id), 303)


def look(intake_id: int) -> IntakeFacts:
    """One's own import; one that nobody works on goes on. Raises NotFound."""
    with record.transaction() as session:
        found = intakes.find(session, intake_id, access.visitor().person.id)
        silent = found.moving and intakes.is_silent(session, intake_id)
    if silent:
        background.go_on(intake_id)
    return found


def begin_table(
    table: FileStorage | None, pictures: Sequence[FileStorage], asked: Mapping[str, Any]
) -> int:
    """Takes a table with its pictures in, to be checked; returns the import's id.

    Raises:
        InputError: There is no table, its kind is unknown, or an option is none.
    """
    if table is None or not table.filename:
        raise InputError("the form has no table: choose a CSV, JSON lines or ZIP file")
    kinds = (*TABLES, ".zip")
    if not table.filename.lower().endswith(kinds):
        raise InputError(f"{table.filename[:80]!r} is no table: give one of {', '.join(kinds)}")
    options = _options(asked)
    stem = table.filename.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    intake_id = _begin(str(asked.get("name") or stem), {"kind": "table", **options})
    folder = folder_of(record.settings(), intake_id)
    folder.mkdir(parents=True)
    try:
        name = save(folder, table)
        save_all(folder, [each for each in pictures if each.filename])
        with record.transaction() as session:
            intakes.set_file(session, intake_id, name)
    except InputError as error:
        with record.transaction() as session:
            intakes.break_off(session, intake_id, str(error))
        raise
    background.go_on(intake_id)
    return intake_id


def begin_choice(choice: Choice, name: str, asked: Mapping[str, Any]) -> int:
    """Takes in what was picked, to be checked; returns the import's id. Raises InputError."""
    _, manifest = system_bundle()
    check_choice(choice, manifest)
    if choice.priority not in PRIORITIES:
        raise InputError(
            f"priority {choice.priority} is out of range: "
            f"give one from {PRIORITIES[0]} to {PRIORITIES[-1]}"
        )
    intake_id = _begin(name or "from the console", {**_options(asked), **choice.to_json()})
    background.go_on(intake_id)
    return intake_id


def order(
    intake_id: int, *, accept_valid: bool, again: bool, deadline: str, priority: int
) -> IntakeFacts:
    """Says that an import is to be queued; a small one is when this returns.

    Raises:
        NotFound: It is not there, or is somebody else's.
        Conflict: It cannot be queued, or not without `accept_valid`.
        InputError: The deadline is none.
    """
    by = access.by()
    moment = parse_deadline(deadline, datetime.now(UTC).astimezone()) if deadline.strip() else None
    how = {
        "accept_valid": accept_valid,
        "again": again,
        "deadline": moment.isoformat() if moment else None,
        "priority": priority,
        "by": str(by),
        "via": str(by.via),
        "token_id": by.token_id,
        "address": by.address,
    }
    with record.transaction() as session:
        intakes.find(session, intake_id, access.visitor().person.id)
        intakes.order(session, intake_id, how)
        found = intakes.find(session, intake_id)
    if found.status is IntakeStatus.QUEUEING:
        if found.sound <= FEW:
            current_app.extensions["hands"].now(intake_id)
        else:
            background.go_on(intake_id)
    return look(intake_id)


def portraits_of(row: CheckedRow) -> list[PortraitKey]:
    """The portraits of a sound row, the face first."""
    return [] if row.spec is None else list(JobSpec.from_json(row.spec).portraits)


def _begin(name: str, asked: Mapping[str, Any]) -> int:
    name = name.strip()[:LONGEST_NAME]
    if not name or not name.isprintable():
        raise InputError(f"{name!r} cannot be a batch's name: give some readable characters")
    with record.transaction() as session:
        return intakes.begin(session, access.visitor().person.id, name, asked)


def _options(asked: Mapping[str, Any]) -> dict[str, Any]:
    """How an import is to be read, as far as it was said. Raises InputError for a wrong word."""
    known = {check.value for check in Check}
    if unknown := sorted(set(asked.get("allow", ())) - known):
        raise InputError(f"no check {unknown[0]!r}: there are {', '.join(sorted(known))}")
    choices: tuple[tuple[str, type[StrEnum]], ...] = (("noise", NoiseMode), ("align", AlignPolicy))
    for field, words in choices:
        value = asked.get(field) or None
        if value is not None and value not in {str(word) for word in words}:
            known = {str(word) for word in words}
            raise InputError(f"{field} {value!r}: use one of {', '.join(sorted(known))}")
    fields = ("preset", "set", "noise", "align", "allow", "deadline")
    return {field: asked[field] for field in fields if asked.get(field)}
