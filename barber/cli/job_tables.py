"""Jobs and one job's stages on a terminal, wherever they were asked for."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from barber.catalogue.jobs import JobRow, JobView, StageView
from barber.cli.preflight_options import finding_line
from barber.cli.printing import print_table
from barber.preflight.findings import Finding
from barber.standalone.watch import COLOURS


def job_table(rows: list[JobRow]) -> Table:
    """Jobs, a line each."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("job", "batch", "name", "status", "done", "error"):
        table.add_column(heading)
    for row in rows:
        status = Text(row.status, style=COLOURS[row.status])
        done = f"{row.progress:4.0%}"
        name, error = Text(row.name), Text(row.error or "")  # no markup in them counts
        table.add_row(str(row.id), str(row.batch_id), name, status, done, error)
    return table


def show_job(view: JobView, result: Path | None) -> None:
    """One job with all its stages; `result` is its file, where it lies here."""
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
