"""`result` and `replay`: finished pictures out of the queue, and made again to compare."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from barber.catalogue import jobs as record
from barber.catalogue import portraits as kept_portraits
from barber.catalogue.db import transaction
from barber.catalogue.outcomes import Outcome, outcome
from barber.catalogue.status import JobStatus
from barber.catalogue.store import Store
from barber.catalogue.tables import Job
from barber.cli.catalogue import Connection, catalogue_options, connect
from barber.errors import BarberError, CatalogueError, CheckpointError, InputError
from barber.interrupts import loading
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.picture import Picture
from barber.photographs.retrieval import Kept, Retrieval
from barber.pixels import decode, portrait_key, read_recipe
from barber.recipe import PortraitOrigin, Recipe, differences, read_origins
from barber.results import (
    check_sidecar,
    read_sidecar,
    recipe_of,
    safe_stem,
    write_result,
    write_whole,
)
from barber.settings import bundles_dir
from barber.shelf import entries
from barber.spec import PortraitKey

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("jobs", type=int, nargs=-1)
@click.option("--batch", type=int, help="Every result of this batch.")
@click.option("--out", type=FILE, required=True, help="A .png file for one job, else a folder.")
@click.option(
    "--into-original",
    is_flag=True,
    help="Put the changed regions back into the photograph that the identity was cut from.",
)
@click.option("--force", is_flag=True, help="Replace files that are there.")
@catalogue_options
@click.pass_obj
def result(
    environ: Mapping[str, str],
    jobs: tuple[int, ...],
    batch: int | None,
    out: Path,
    into_original: bool,
    force: bool,
    home: Path | None,
    as_json: bool,
) -> int:
    """Write results of the queue as PNG, each with its recipe as JSON beside it."""
    if bool(jobs) == (batch is not None):
        raise InputError("which results? give numbers of jobs, or --batch NUMBER")
    with connect(environ, home) as connection:
        wanted, waiting = _wanted(connection, jobs, batch)
        target = _Target(out, one=len(jobs) == 1, force=force)
        written = []
        for job_id in wanted:
            with transaction(connection.engine) as session:
                found = outcome(session, connection.store, job_id, into_original=into_original)
            written.append({"job_id": job_id, "file": str(target.write(found))})
    if as_json:
        click.echo(json.dumps({"results": written, "without_result": waiting}))
        return 1 if waiting else 0
    for entry in written:
        click.echo(entry["file"])
    if waiting:
        told = ", ".join(f"{count} {status}" for status, count in waiting.items())
        click.echo(f"without a result: {told}", err=True)
    return 1 if waiting else 0


def _wanted(
    connection: Connection, jobs: tuple[int, ...], batch: int | None
) -> tuple[list[int], dict[str, int]]:
    """The jobs with a result, oldest first, and how many of a batch have none, by status."""
    if batch is None:
        return list(dict.fromkeys(jobs)), {}
    with transaction(connection.engine) as session:
        counts = record.batch(session, batch).counts
        done = (Job.batch_id == batch, Job.status == JobStatus.SUCCEEDED)
        ids = list(session.scalars(select(Job.id).where(*done).order_by(Job.id)))
    others = {str(s): n for s, n in counts.items() if n and s is not JobStatus.SUCCEEDED}
    return ids, others


class _Target:
    """Where results go: one file, or names of their own in a folder."""

    def __init__(self, out: Path, *, one: bool, force: bool) -> None:
        self._file = out if one and out.suffix.lower() == ".png" and not out.is_dir() else None
        self._folder, self._force = out, force
        self._taken: set[str] = set()
        if self._file is None and out.suffix.lower() == ".png" and not out.is_dir():
            raise InputError(f"--out {out}: several results need a folder, not one file")
        try:
            folder = out.parent if self._file else out
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"--out {out} cannot be made: {error.strerror}") from error

    def write(self, found: Outcome) -> Path:
        """Raises InputError where another file is in the way."""
        path = self._file or self._folder / f"{self._stem(found.name)}.png"
        if path.exists() and not self._force and path.read_bytes() != found.png:
            raise InputError(f"{path} is there already: give another --out, or --force")
        if not self._force:
            check_sidecar(path)
        write_result(path, found.png, found.sidecar)
        return path

    def _stem(self, name: str) -> str:
        stem = safe_stem(name, taken=self._taken)
        self._taken.add(stem.casefold())
        return stem


@click.command()
@click.argument("result", type=FILE)
@click.option("--portraits", type=FILE, help="Folder of the portraits.  [default: the result's]")
@click.option("--bundle", help="Name or path, if it is not among the bundles found by name.")
@click.option("--device", help="Where to run, if not on the kind of device of the recipe.")
@click.option("--out", type=FILE, help="Keep the new picture here.")
@catalogue_options
@click.pass_obj
def replay(
    environ: Mapping[str, str],
    result: Path,
    portraits: Path | None,
    bundle: str | None,
    device: str | None,
    out: Path | None,
    home: Path | None,
    as_json: bool,
) -> int:
    """Make a result again from its recipe; the code is 0 when the bytes are the same."""
    try:
        data = result.read_bytes()
    except OSError as error:
        raise InputError(f"the file {result} cannot be read: {error.strerror}") from error
    recipe = _recipe(data, result.name)
    path = _bundle(recipe, bundle, environ)
    manifest = read_manifest(path)
    retrieval = Retrieval(
        recipe=recipe,
        geometry=manifest.geometry,
        origins=_origins(result),
        folder=portraits or result.parent,
        landmarks=landmarks_file(path, manifest),
    )
    with _kept(environ, home) as kept:
        pictures = retrieval.find(kept)

    with loading():
        from barber.cli import composing  # loads torch

    made = composing.make(
        path,
        device or recipe.environment.get("device", "cpu"),
        recipe.spec,
        pictures,
        threads=int(recipe.environment.get("threads", "1")),
        quiet=as_json,
    )
    if out is not None:
        write_whole({out: made.png})
    facts = _compare(data, made.png, recipe, made.recipe)
    click.echo(json.dumps(facts) if as_json else _sentence(result, facts))
    return 0 if facts["identical"] else 1


def _recipe(data: bytes, name: str) -> Recipe:
    """The recipe of a result that is the whole picture."""
    carried = recipe_of(data, name=name)
    if "original" in (read_recipe(data, name=name) or {}):
        raise InputError(
            f"{name} is a photograph that a result was put back into: replay the result itself, "
            "as `barber result` writes it without --into-original"
        )
    return carried


def _bundle(recipe: Recipe, given: str | None, environ: Mapping[str, str]) -> Path:
    """The folder of the recipe's bundle, by digest."""
    shelf = bundles_dir(environ)
    wanted = f"{recipe.bundle} ({recipe.spec.bundle[:12]})"
    if given is not None:
        path = find_bundle(given, shelf)
        digest = read_manifest(path).digest
        if digest != recipe.spec.bundle:
            raise CheckpointError(
                f"--bundle {given} is another bundle ({digest[:12]}): the result was made with "
                f"{wanted}"
            )
        return path
    for entry in entries(shelf):
        if entry.manifest is not None and entry.manifest.digest == recipe.spec.bundle:
            return entry.path
    raise CheckpointError(
        f"the result was made with the bundle {wanted}, which is not here: name its folder with "
        "--bundle"
    )


def _origins(result: Path) -> dict[PortraitKey, PortraitOrigin]:
    return read_origins(read_sidecar(result))


@contextmanager
def _kept(environ: Mapping[str, str], home: Path | None) -> Iterator[Kept]:
    """Portraits of the running system, if one runs; of the one that was named, if it was."""

    def nothing(_key: PortraitKey) -> Picture | None:
        return None

    try:
        connection = connect(environ, home)
        opened = connection.__enter__()
    except BarberError:
        if home is not None:
            raise
        yield nothing
        return

    def look(key: PortraitKey) -> Picture | None:
        try:
            with transaction(opened.engine) as session:
                return _kept_picture(session, opened.store, key)
        except DBAPIError:
            if home is not None:
                raise
            return None

    try:
        yield look
    finally:
        connection.__exit__(None, None, None)


def _kept_picture(session: Session, store: Store, key: PortraitKey) -> Picture | None:
    row = kept_portraits.portraits(session, [key]).get(key)
    if row is None:
        return None
    labels = row.labels_file_sha256
    picture = Picture(
        key=key,
        name=row.name,
        width=row.width,
        height=row.height,
        size=row.side_px,
        png=store.get(row.file_sha256),
        labels_png=None if labels is None else store.get(labels),
    )
    if portrait_key(picture.pixels(), picture.label_map()) != key:
        raise CatalogueError(f"portrait {key[:12]} of the store is another: give --portraits")
    return picture


def _compare(
    before: bytes, now: bytes, recipe: Recipe, new_recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """How far apart two results are: plain JSON data."""
    old = decode(before, name="the result").astype(np.int16)
    new = decode(now, name="the replay").astype(np.int16)
    apart = np.abs(old - new) if old.shape == new.shape else None
    return {
        "identical": before == now,
        "same_pixels": apart is not None and not apart.any(),
        "max_difference": None if apart is None else int(apart.max()),
        "mean_difference": None if apart is None else round(float(apart.mean()), 4),
        "share_of_pixels": None if apart is None else round(float(apart.any(axis=2).mean()), 6),
        "changed": differences(recipe.environment, new_recipe["environment"]),
    }


def _sentence(result: Path, facts: Mapping[str, Any]) -> str:
    if facts["identical"]:
        return f"{result}: identical, byte for byte"
    why = "; ".join(facts["changed"]) or "versions and device are the same"
    if facts["same_pixels"]:
        return f"{result}: the pixels are identical, the rest of the file differs ({why})"
    if facts["max_difference"] is None:
        return f"{result} differs: its picture has another size than its recipe makes ({why})"
    return (
        f"{result} differs: by {facts['max_difference']} of 255 at most, "
        f"{facts['mean_difference']:g} in the mean, in {facts['share_of_pixels']:.2%} of the "
        f"pixels ({why})"
    )
