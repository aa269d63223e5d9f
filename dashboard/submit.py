"""New work by hand: portraits into one's drawer, picked by thumbnail, or a table of rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from barber.catalogue import drawer, intakes
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from barber.labels import region_words
from barber.looks import LOOKS, SLOT_WORDS, Look, Slot, find_look
from barber.spec import PRESETS, PortraitKey, default_preset
from barber.standalone.choice import BY_HAND, Choice, PickedRegion
from barber.table_rows import MAX_PRIORITY, MAX_SEED
from dashboard import access, record
from dashboard.filters import counted
from dashboard.intakes import begin_choice, begin_table
from dashboard.uploads import keep_portraits, save_all, system_bundle

blueprint = Blueprint("submit", __name__, url_prefix="/submit")

SHOWN = 48
REGION_ROWS = 4


@blueprint.get("")
@access.needs(Role.OPERATOR)
def show() -> ResponseReturnValue:
    """The drawer, what can be asked for, and the door for tables."""
    return _page()


@blueprint.post("/portraits")
@access.needs(Role.OPERATOR, uploads=True)
def add_portraits() -> ResponseReturnValue:
    """Puts pictures into the drawer; those that are no portraits are told one by one."""
    files = [each for each in request.files.getlist("file") if each.filename]
    if not files:
        raise InputError("no file was chosen: choose pictures first")
    with tempfile.TemporaryDirectory(prefix="barber-upload-") as folder:
        kept, refused = keep_portraits(Path(folder), save_all(Path(folder), files))
    flash(f"{len(kept)} of {len(files)} pictures are in your drawer", "told")
    for each in refused[:20]:
        flash(each["reason"], "refused")
    return redirect(url_for("submit.show"), 303)


@blueprint.post("/portraits/remove")
@access.needs(Role.OPERATOR)
def remove() -> ResponseReturnValue:
    """Takes the marked portraits out of the drawer; jobs that use them keep them."""
    keys = [PortraitKey(key) for key in request.form.getlist("face")]
    if not keys:
        raise InputError("no portrait is ticked: tick those that shall leave your drawer")
    with record.transaction() as session:
        count = drawer.take_out(session, access.visitor().person.id, keys)
    flash(f"{counted(count, 'portrait')} taken out of your drawer", "told")
    return redirect(url_for("submit.show"), 303)


@blueprint.post("/choice")
@access.needs(Role.OPERATOR)
def choose() -> ResponseReturnValue:
    """Checks what was picked, and shows what would be queued."""
    form = request.form
    try:
        asked = {"deadline": form.get("deadline", "")}
        intake_id = begin_choice(choice_of(form), form.get("name", ""), asked)
    except InputError as error:
        return _page(problem=str(error), picked=form), 400
    return redirect(url_for("intakes.show", intake_id=intake_id), 303)


@blueprint.post("/table")
@access.needs(Role.OPERATOR, uploads=True)
def send_table() -> ResponseReturnValue:
    """Checks a table, and shows what would be queued."""
    asked = {"preset": request.form.get("preset", ""), "name": request.form.get("name", "")}
    try:
        intake_id = begin_table(
            request.files.get("table"), request.files.getlist("pictures"), asked
        )
    except InputError as error:
        return _page(problem=str(error)), 400
    return redirect(url_for("intakes.show", intake_id=intake_id), 303)


def choice_of(form: MultiDict[str, str]) -> Choice:
    """What a form's fields ask for. Raises InputError for a number that is none."""
    look = form.get("look", "")
    picked: dict[Slot, tuple[PortraitKey, ...]] = {}
    regions: tuple[PickedRegion, ...] = ()
    if look == BY_HAND:
        regions = tuple(_regions(form))
    else:
        picked = {slot: _keys(form, slot) for slot in find_look(look).slots}
    return Choice(
        faces=_keys(form, "face-to-change"),
        look=look,
        picked=picked,
        regions=regions,
        preset=form.get("preset") or None,
        seed=_whole(form, "seed", 0, MAX_SEED),
        priority=_whole(form, "priority", -MAX_PRIORITY, MAX_PRIORITY),
    )


def _keys(form: MultiDict[str, str], field: str) -> tuple[PortraitKey, ...]:
    return tuple(dict.fromkeys(PortraitKey(key) for key in form.getlist(field)))


def _regions(form: MultiDict[str, str]) -> Sequence[PickedRegion]:
    found = []
    for number in range(1, REGION_ROWS + 1):
        region = form.get(f"region-{number}", "").strip()
        shape, colour = form.get(f"shape-{number}", ""), form.get(f"colour-{number}", "")
        if not region and (shape or colour):
            raise InputError(f"row {number} has portraits and no region: name one, such as lips")
        if region and not (shape or colour):
            raise InputError(f"{region} has no portrait: pick one for its shape or its colour")
        if region:
            found.append(
                PickedRegion(
                    region=region,
                    shape=PortraitKey(shape) if shape else None,
                    colour=PortraitKey(colour) if colour else None,
                )
            )
    return found


def _whole(form: MultiDict[str, str], field: str, low: int, high: int) -> int:
    text = form.get(field, "").strip()
    try:
        number = int(text or "0")
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise InputError(f"{field} is {text[:40]!r}: give a whole number from {low} to {high}")
    return number


def _page(*, problem: str = "", picked: MultiDict[str, str] | None = None) -> str:
    everything = "all" in request.args
    person_id = access.visitor().person.id
    _, manifest = system_bundle()
    with record.transaction() as session:
        sent = drawer.listed(session, person_id, limit=1000 if everything else SHOWN + 1)
        open_imports = intakes.latest(session, person_id)
    more = not everything and len(sent) > SHOWN
    form: Any = picked if picked is not None else MultiDict()
    return render_template(
        "submit.html",
        sent=sent if everything else sent[:SHOWN],
        more=more,
        open_imports=open_imports,
        looks=LOOKS,
        slots=list(Slot),
        slot_words=SLOT_WORDS,
        by_hand=BY_HAND,
        region_rows=REGION_ROWS,
        region_words=region_words(),
        presets=[*manifest.presets, *PRESETS],
        default_preset=default_preset(manifest.presets),
        problem=problem,
        form=form,
        chosen_look=form.get("look") or LOOKS[0].word,
        needs=_needs,
        upload_mb=record.settings().upload_mb,
    )


def _needs(slot: Slot) -> str:
    """The words of the looks that take a slot."""
    takers: list[Look] = [look for look in LOOKS if slot in look.slots]
    return " ".join(look.word for look in takers)
