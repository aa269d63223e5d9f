"""`submit`, `jobs`, `show`, `watch`: work into a running system, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from barber.catalogue import jobs as record
from barber.catalogue import listing, views
from barber.catalogue.audit import local_user
from barber.catalogue.db import transaction
from barber.catalogue.jobs import BatchRow
from barber.catalogue.listing import Sort
from barber.catalogue.status import JobStatus
from barber.cli import remote_queue
from barber.cli.catalogue import Connection, catalogue_options, connect
from barber.cli.deadlines import deadline_here
from barber.cli.job_filter import conditions, selection
from barber.cli.job_tables import job_table, show_job
from barber.cli.method_options import noise_option, settings_option
from barber.cli.photograph_verbs import photograph_options
from barber.cli.preflight_options import (
    measuring,
    preflight_options,
    warning_lines,
)
from barber.cli.printing import plain, print_table
from barber.cli.remote import remote, server_option
from barber.cli.remote_queue import Asked
from barber.errors import InputError
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Check
from barber.spec import NoiseMode
from barber.standalone.preflight import bundle_preflight
from barber.standalone.submission import Submission, submit_table
from barber.standalone.watch import follow
from barber.table import TableSettings
from barber.table_checks import noteworthy

F = TypeVar("F", bound=Callable[..., object])

WARNINGS_TOLD = 20


def submit_options(verb: F) -> F:
    """How a table is read and queued, and where."""
    for option in reversed(
        (
            click.option("--preset", help="Steps and weights of rows that name none."),
            settings_option,
            noise_option,
            photograph_options,
            preflight_options,
            click.option(
                "--deadline", help="By when it must have ended: 06:30, 2h, 2026-11-23T06:30."
            ),
            click.option("--watch", "watching", is_flag=True, help="Stay and show the progress."),
            click.option(
                "--accept-valid", is_flag=True, help="Queue the sound rows, record the others."
            ),
            click.option(
                "--again", is_flag=True, help="Queue the table although it was queued before."
            ),
            server_option,
            catalogue_options,
        )
    ):
        verb = option(verb)
    return verb


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@submit_options
@click.pass_obj
def submit(
    environ: Mapping[str, str],
    table: Path,
    preset: str | None,
    settings: tuple[str, ...],
    noise: NoiseMode,
    align: AlignPolicy,
    landmarks: Path | None,
    allow: frozenset[Check],
    parse: bool,
    deadline: str | None,
    watching: bool,
    accept_valid: bool,
    again: bool,
    server: str | None,
    home: Path | None,
    as_json: bool,
) -> int:
    """Queue the rows of a table: name, identity, hair, colour, face, .., priority, seed.

    TABLE is a CSV file, JSON lines, or a ZIP with one of them and the pictures.
    """
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            if landmarks is not None:
                raise InputError("--landmarks is a file here: leave it out with --server")
            asked = Asked(
                table=table,
                preset=preset,
                settings=settings,
                noise=noise,
                align=align,
                allow=tuple(allow),
                deadline=deadline,
                accept_valid=accept_valid,
                again=again,
            )
            batch_id = remote_queue.submit(elsewhere, asked, as_json=as_json and not watching)
            return remote_queue.watch(elsewhere, batch_id, as_json=as_json) if watching else 0
    with connect(environ, home) as connection:
        bundle = find_bundle(connection.settings.bundle, connection.settings.bundles_dir)
        manifest = read_manifest(bundle)
        moment = deadline_here(connection, deadline) if deadline else None
        with measuring(quiet=as_json) as on_progress:
            done = submit_table(
                connection.engine,
                connection.store,
                table,
                TableSettings.for_bundle(
                    manifest,
                    preset=preset,
                    settings=settings,
                    noise=noise,
                    align=align,
                    landmarks=landmarks or landmarks_file(bundle, manifest),
                ),
                connection.settings,
                preflight=bundle_preflight(
                    bundle,
                    manifest,
                    home=connection.settings.home,
                    allow=allow,
                    parse=parse,
                    on_progress=on_progress,
                ),
                accept_valid=accept_valid,
                again=again,
                submitted_by=local_user(),
                deadline=moment,
            )
        _tell_submission(done, connection, as_json=as_json and not watching)
        return _watch(connection, done.batch_id, as_json=as_json) if watching else 0


@click.command()
@conditions
@click.option("--sort", type=click.Choice([str(s) for s in Sort]), default=Sort.NEWEST.value)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@server_option
@catalogue_options
@click.pass_obj
def jobs(
    environ: Mapping[str, str],
    /,
    sort: str,
    limit: int,
    server: str | None,
    home: Path | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """List the jobs that meet every condition, newest first."""
    found = selection(chosen)
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            remote_queue.jobs(elsewhere, found, Sort(sort), limit, as_json=as_json)
            return
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        if found.batch_id is not None:
            record.batch(session, found.batch_id)  # raises where there is none
        places = listing.page(session, found, sort=Sort(sort), limit=limit)
        rows = views.rows_of(session, [place.job_id for place in places])
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    print_table(job_table(rows) if rows else Text("no jobs"))


@click.command()
@click.argument("job", type=int)
@server_option
@catalogue_options
@click.pass_obj
def show(
    environ: Mapping[str, str], job: int, server: str | None, home: Path | None, as_json: bool
) -> None:
    """Show one job: its stages, attempts, result or error."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            remote_queue.show(elsewhere, job, as_json=as_json)
            return
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        view = record.job(session, job)
        result = connection.store.path(view.row.result_file) if view.row.result_file else None
    if as_json:
        facts = plain(view.row) | {"result": str(result) if result else None}
        facts["dropped"] = list(view.dropped)
        facts["waits_for"] = view.waits_for
        facts |= {"findings": list(view.findings)}
        click.echo(json.dumps(facts | {"stages": [plain(stage) for stage in view.stages]}))
        return
    show_job(view, result)


@click.command()
@click.argument("batch", type=int)
@server_option
@catalogue_options
@click.pass_obj
def watch(
    environ: Mapping[str, str], batch: int, server: str | None, home: Path | None, as_json: bool
) -> int:
    """Show a batch until it is over; the code is 0 when all of its jobs succeeded."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            return remote_queue.watch(elsewhere, batch, as_json=as_json)
    with connect(environ, home) as connection:
        return _watch(connection, batch, as_json=as_json)


def _watch(connection: Connection, batch_id: int, *, as_json: bool) -> int:
    """Follows a batch to its end; 0 when every job succeeded, else 1."""
    console = Console(stderr=as_json)
    footer = f"console {connection.console}batches/{batch_id}" if connection.console else ""
    batch = follow(connection.engine, batch_id, console=console, footer=footer)
    if as_json:
        click.echo(json.dumps(plain(batch)))
    else:
        click.echo(_outcome(batch))
        if batch.counts[JobStatus.SUCCEEDED]:
            click.echo(f"results: barber result --batch {batch_id} --out FOLDER")
    return 0 if batch.counts[JobStatus.SUCCEEDED] == batch.total else 1


def _outcome(batch: BatchRow) -> str:
    counts = [f"{count} {status}" for status, count in batch.counts.items() if count]
    return f"batch {batch.id}: {', '.join(counts)}"


def _tell_submission(done: Submission, connection: Connection, *, as_json: bool) -> None:
    if as_json:
        warned = [
            {"line": row.line, "name": row.name, "findings": [f.to_json() for f in kept]}
            for row in done.rows
            if (kept := noteworthy(row.findings))
        ]
        refused = [error.to_json() for error in done.refused]
        facts = {"batch_id": done.batch_id, "accepted": done.accepted}
        click.echo(json.dumps(facts | {"refused": refused, "findings": warned}))
        return
    for error in done.refused:
        click.echo(f"refused {error}", err=True)
    for line in warning_lines(done.rows, most=WARNINGS_TOLD):
        click.echo(line, err=True)
    where = f", {connection.console}batches/{done.batch_id}" if connection.console else ""
    click.echo(f"batch {done.batch_id}: {done.accepted} jobs queued{where}", err=True)
