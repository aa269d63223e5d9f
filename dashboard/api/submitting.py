"""Portraits and jobs into the system: checked at the door as the command line checks them.

The bundle's face parser needs torch, which the console never loads: what only a parser can tell is
left out unless `barber check` or a local submission has measured the portrait before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flask import current_app, request, url_for

from barber.catalogue import jobs, portraits
from barber.catalogue.jobs import NewJob
from barber.catalogue.people_tables import Role
from barber.errors import Conflict, InputError
from barber.labels import parse_region
from barber.manifest import Manifest, landmarks_file
from barber.photographs.picture import Picture
from barber.preflight.findings import Check, Refused
from barber.preflight.measures import MeasureCache
from barber.spec import (
    JobSpec,
    PortraitKey,
    RegionEdit,
    apply_settings,
    default_preset,
    preset_params,
)
from barber.standalone.submission import submit_table
from barber.table import RowError, TableError, TableSettings, read_table
from barber.table_checks import Preflight, accept_job, check_table, noteworthy
from barber.unpack import safe_name
from dashboard import access, record
from dashboard.api import shapes
from dashboard.api.bodies import Form
from dashboard.api.endpoint import endpoint
from dashboard.uploads import keep_portraits, save_all, system_bundle, ticked, without

MEASURES = "preflight"  # the folder of measures in a home


@endpoint(
    "POST",
    "/portraits",
    role=Role.OPERATOR,
    answer=shapes.Portraits,
    tag="portraits",
    form=Form(several=("file",), needed=("file",)),
)
def upload() -> dict[str, Any]:
    """Takes pictures as files of a form; equal pixels are kept once.

    Each file is checked on its own: one that is no portrait is refused with its reason.
    """
    with _uploaded() as (folder, names):
        kept, refused = keep_portraits(folder, names)
    if not kept:
        raise TableError(
            "none of the files is a portrait",
            [
                RowError(line=n, name=r["name"], reason=r["reason"])
                for n, r in enumerate(refused, 1)
            ],
        )
    return {"portraits": [_portrait(picture) for picture in kept], "refused": refused}


@endpoint("POST", "/batches", role=Role.OPERATOR, answer=shapes.Submitted, tag="batches")
def submit(json: shapes.BatchAsked) -> dict[str, Any]:
    """Queues jobs over portraits that were uploaded; all of them, or none."""
    _, manifest = system_bundle()
    preflight = _preflight(manifest, json.allow)
    with record.transaction() as session:
        wanted = {key for job in json.jobs for key in _keys(job)}
        pictures = portraits.pictures(session, record.store(), wanted)
    new, errors = [], []
    for number, job in enumerate(json.jobs, 1):
        try:
            spec = _spec(job, manifest, json)
            found = accept_job(spec, [pictures[key] for key in spec.portraits], preflight)
        except KeyError as error:
            reason = f"portrait {error.args[0][:12]} is not known: upload its picture first"
            errors.append(RowError(line=number, name=job.name, reason=reason))
        except InputError as error:
            findings = tuple(error.findings) if isinstance(error, Refused) else ()
            errors.append(
                RowError(line=number, name=job.name, reason=str(error), findings=findings)
            )
        else:
            told = tuple(each.to_json() for each in noteworthy(found))
            new.append(NewJob(name=job.name, spec=spec, priority=job.priority, findings=told))
    if errors:
        raise TableError(f"{len(errors)} of {len(json.jobs)} jobs cannot be queued", errors)
    settings = record.settings()
    with record.transaction() as session:
        batch_id = jobs.submit(
            session,
            name=json.name,
            jobs=new,
            bundle_name=settings.bundle,
            submitted_by=access.by(),
            deadline=json.deadline,
            max_errors=settings.max_errors,
            max_losses=settings.max_losses,
        )
    warned = [
        {"line": number, "name": job.name, "findings": list(job.findings)}
        for number, job in enumerate(new, 1)
        if job.findings
    ]
    return {"batch_id": batch_id, "accepted": len(new), "refused": [], "findings": warned}


@endpoint(
    "POST",
    "/tables",
    role=Role.OPERATOR,
    answer=shapes.Submitted,
    tag="batches",
    form=Form(
        files=("table",),
        several=("pictures",),
        needed=("table",),
        fields=("dry_run", "accept_valid", "again", "preset"),
        lists=("set", "allow"),
    ),
)
def submit_by_table() -> dict[str, Any]:
    """Queues the rows of a CSV table, the form's file `table`; pictures are files `pictures`.

    A picture's file name is what the table's cells call it. Fields of the form, all optional:
    `dry_run` (only check), `accept_valid` (queue the sound rows), `again` (although it was queued
    before), `preset`, `set` (repeatable), `allow` (repeatable).
    """
    form, sent = request.form, request.files.get("table")
    if sent is None or not sent.filename:
        raise InputError("the form has no file `table`: send the CSV file under that name")
    bundle, manifest = system_bundle()
    defaults = TableSettings.for_bundle(
        manifest,
        preset=form.get("preset") or None,
        settings=tuple(form.getlist("set")),
        landmarks=landmarks_file(bundle, manifest),
        confined=True,
    )
    preflight = _preflight(manifest, form.getlist("allow"))
    engine, store = current_app.extensions["engine"], record.store()
    with _uploaded("pictures") as (folder, _):
        path = folder / safe_name(sent.filename)
        sent.save(path)
        try:
            if ticked(form, "dry_run"):
                table = check_table(read_table(path, defaults), preflight)
                return _checked(table.rows, table.errors, None)
            done = submit_table(
                engine,
                store,
                path,
                defaults,
                record.settings(),
                preflight=preflight,
                accept_valid=ticked(form, "accept_valid"),
                again=ticked(form, "again"),
                submitted_by=access.by(),
            )
        except TableError as error:
            raise TableError(without(folder, str(error)), error.errors) from error
        except (InputError, Conflict) as error:
            raise type(error)(without(folder, str(error))) from error
    return _checked(done.rows, done.refused, done.batch_id)


def _checked(rows: Any, errors: Any, batch_id: int | None) -> dict[str, Any]:
    warned = [
        {"line": row.line, "name": row.name, "findings": [f.to_json() for f in kept]}
        for row in rows
        if (kept := noteworthy(row.findings))
    ]
    refused = [error.to_json() for error in errors]
    return {"batch_id": batch_id, "accepted": len(rows), "refused": refused, "findings": warned}


def _preflight(manifest: Manifest, allow: list[str]) -> Preflight:
    known = {check.value for check in Check}
    if unknown := sorted(set(allow) - known):
        raise InputError(f"no check {unknown[0]!r}: there are {', '.join(sorted(known))}")
    home = record.settings().home
    cache = MeasureCache(home / MEASURES, manifest.digest) if home.is_dir() else None
    return Preflight(
        geometry=manifest.geometry, cache=cache, allow=frozenset(Check(word) for word in allow)
    )


def _keys(job: shapes.JobAsked) -> Iterator[PortraitKey]:
    yield PortraitKey(job.identity)
    for region in job.regions:
        yield from (PortraitKey(key) for key in (region.shape, region.colour) if key)


def _spec(job: shapes.JobAsked, manifest: Manifest, asked: shapes.BatchAsked) -> JobSpec:
    identity = PortraitKey(job.identity)
    edits = []
    for region in job.regions:
        area = parse_region(region.region)
        shape = PortraitKey(region.shape) if region.shape else identity
        colour = PortraitKey(region.colour) if region.colour else shape
        edits.append(
            RegionEdit(labels=area.labels, zone=area.zone, structure=shape, appearance=colour)
        )
    preset = job.preset or default_preset(manifest.presets)
    return JobSpec(
        identity=identity,
        regions=tuple(edits),
        bundle=manifest.digest,
        params=apply_settings(preset_params(preset, manifest.presets), job.settings),
        noise=asked.noise,
        seed=job.seed,
    )


@contextmanager
def _uploaded(field: str = "file") -> Iterator[tuple[Path, list[str]]]:
    """The form's files in a folder of their own, under their names; gone afterwards.

    Raises:
        InputError: There is none, or a name cannot be one here.
    """
    files = request.files.getlist(field)
    if field == "file" and not files:
        raise InputError("the form has no file: send pictures as files called `file`")
    with tempfile.TemporaryDirectory(prefix="barber-upload-") as folder:
        root = Path(folder)
        yield root, save_all(root, files)


def _portrait(picture: Picture) -> dict[str, Any]:
    return {
        "key": picture.key,
        "name": picture.name,
        "width": picture.width,
        "height": picture.height,
        "picture": url_for("portraits.portrait", key=picture.key),
        "findings": [finding.to_json() for finding in picture.findings],
    }
