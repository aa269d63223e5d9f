"""`submit`, `jobs`, `show`, `watch`: work into a running system, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from barber.catalogue import jobs as record
from barber.catalogue.audit import local_user
from barber.catalogue.db import transaction
from barber.catalogue.jobs import BatchRow, JobRow, JobView, StageView
from barber.catalogue.status import JobStatus
from barber.cli.catalogue import Connection, catalogue_options, connect
from barber.cli.deadlines import deadline_here
from barber.cli.method_options import noise_option, settings_option
from barber.cli.photograph_verbs import photograph_options
from barber.cli.preflight_options import (
    finding_line,
    measuring,
    preflight_options,
    warning_lines,
)
from barber.cli.printing import plain, print_table
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Check, Finding
from barber.spec import NoiseMode
from barber.standalone.preflight import bundle_preflight
from barber.standalone.submission import Submission, submit_table
from barber.standalone.watch import COLOURS, follow
from barber.table import TableSettings
from barber.table_checks import noteworthy

WARNINGS_TOLD = 20


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--preset", help="Steps and weights of rows that name none.")
@settings_option
@noise_option
@photograph_options
@preflight_options
@click.option("--deadline", help="By when it must have ended: 06:30, 2h, 2026-11-23T06:30.")
@click.option("--watch", "watching", is_flag=True, help="Stay and show the progress.")
@click.option("--accept-valid", is_flag=True, help="Queue the sound rows, record the others.")
@click.option("--again", is_flag=True, help="Queue the table although it was queued before.")
@catalogue_options
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
    home: Path | None,
    as_json: bool,
) -> int:
    """Queue the rows of a CSV table: name, identity, hair, colour, face, .., priority, seed."""
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
@click.option("--batch", type=int, help="Only of this batch.")
@click.option("--status", type=click.Choice([s.value for s in JobStatus]), help="Only with it.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@catalogue_options
@click.pass_obj
def jobs(
    environ: Mapping[str, str],
    batch: int | None,
    status: str | None,
    limit: int,
    home: Path | None,
    as_json: bool,
) -> None:
    """List jobs, newest first."""
    wanted = JobStatus(status) if status else None
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        if batch is not None:
            record.batch(session, batch)  # raises where there is none
        rows = record.jobs(session, batch_id=batch, status=wanted, limit=limit)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    print_table(_job_table(rows) if rows else Text("no jobs"))


@click.command()
@click.argument("job", type=int)
@catalogue_options
@click.pass_obj
def show(environ: Mapping[str, str], job: int, home: Path | None, as_json: bool) -> None:
    """Show one job: its stages, attempts, result or error."""
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
    _show_job(view, result)


@click.command()
@click.argument("batch", type=int)
@catalogue_options
@click.pass_obj
def watch(environ: Mapping[str, str], batch: int, home: Path | None, as_json: bool) -> int:
    """Show a batch until it is over; the code is 0 when all of its jobs succeeded."""
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


def _job_table(rows: list[JobRow]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("job", "batch", "name", "status", "done", "error"):
        table.add_column(heading)
    for row in rows:
        status = Text(row.status, style=COLOURS[row.status])
        done = f"{row.progress:4.0%}"
        name, error = Text(row.name), Text(row.error or "")  # no markup in them counts
        table.add_row(str(row.id), str(row.batch_id), name, status, done, error)
    return table


def _show_job(view: JobView, result: Path | None) -> None:
    row = view.row
    status = Text.assemble(f"job {row.id} {row.name}: ", (row.status, COLOURS[row.status]))
    print_table(status)
    if row.error:
        click.echo(f"error   {row.error}")
    if row.deadline and not row.status.final:
        click.echo(f"ends by {row.deadline.astimezone().isoformat(' ', 'minutes')}, or fails")
    if view.waits_for:
        click.echo(f"waits   {view.waits_for.removeprefix('waits ')}")
    for finding in view.findings:
        click.echo(finding_line(Finding.from_json(finding)))
    if result:
        click.echo(f"result  {result} (with its recipe: barber result {row.id} --out NAME.png)")
    if view.dropped:
        click.echo(f"dropped {', '.join(view.dropped)} (colour not compared: too small a region)")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("stage", "kind", "status", "seconds", "tries", "worker", "error"):
        table.add_column(heading)
    for stage in view.stages:
        table.add_row(*_stage_cells(stage))
    print_table(table)


def _stage_cells(stage: StageView) -> tuple[str | Text, ...]:
    seconds = f"{stage.seconds:.1f}" if stage.seconds is not None else ""
    status = "reused" if stage.reused else str(stage.status)
    kind = f"{stage.kind} {stage.slot}"
    tries = str(len(stage.attempts))
    if stage.attempts and stage.attempts[-1].from_step:
        tries += f" (last from step {stage.attempts[-1].from_step})"
    return (
        str(stage.id),
        kind,
        status,
        seconds,
        tries,
        stage.worker or "",
        Text(stage.error or ""),
    )
