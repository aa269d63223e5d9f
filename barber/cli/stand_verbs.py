"""`overview` and `batches`: how everything stands, and every batch with its progress."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from barber.catalogue import jobs
from barber.catalogue.db import transaction
from barber.catalogue.outlook import Estimate
from barber.catalogue.standing import standing
from barber.catalogue.status import JobStatus
from barber.cli.catalogue import catalogue_options, connect
from barber.cli.operator_verbs import counted
from barber.cli.printing import plain, print_table
from barber.cli.remote import remote, server_option

Facts = dict[str, Any]  # as the API tells them


@click.command()
@server_option
@catalogue_options
@click.pass_obj
def overview(
    environ: Mapping[str, str], server: str | None, home: Path | None, as_json: bool
) -> None:
    """Show how everything stands: jobs, throughput, when it will be done, what fails most."""
    with remote(environ, server, home) as elsewhere:
        facts = _standing_here(environ, home) if elsewhere is None else elsewhere.get("/overview")
    if as_json:
        click.echo(json.dumps(facts))
        return
    for line in _lines(facts):
        click.echo(line)


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@server_option
@catalogue_options
@click.pass_obj
def batches(
    environ: Mapping[str, str], limit: int, server: str | None, home: Path | None, as_json: bool
) -> None:
    """List batches with their progress, newest first."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is None:
            found = _batches_here(environ, home, limit)
        else:
            asked = {"most": limit, "limit": min(limit, 200)}
            found = list(elsewhere.pages("/batches", "batches", **asked))
    if as_json:
        click.echo(json.dumps(found))
        return
    print_table(_table(found) if found else Text("no batches"))


def _standing_here(environ: Mapping[str, str], home: Path | None) -> Facts:
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        found = standing(session)
    ahead = found.ahead
    return {
        "counts": plain(found.counts),
        "throughput": plain(ahead.throughput),
        "whole": _estimate(ahead.whole) if ahead.whole else None,
        "estimates": [_estimate(each) for each in ahead.estimates.values()],
        "rests_on": ahead.rests_on,
        "rates": plain(ahead.rates),
        "workers": ahead.workers,
        "failures": [plain(each) | {"key": each.common.key} for each in found.causes],
    }


def _estimate(estimate: Estimate) -> Facts:
    facts: Facts = plain(estimate)
    return facts | {"done_at": plain(estimate.done_at(datetime.now(UTC)))}


def _batches_here(environ: Mapping[str, str], home: Path | None, limit: int) -> list[Facts]:
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        rows = jobs.batches(session, limit=limit)
    return [plain(row) | {"finished": row.finished} for row in rows]


def _lines(facts: Facts) -> list[str]:
    """For people, in the order of their questions."""
    lines = [_told(facts["counts"]) or "no jobs", _when(facts["whole"])]
    lines += [f"{counted(facts['workers'], 'worker')} take stages"]
    done = ", ".join(f"{each['jobs']} in {each['window']}" for each in facts["throughput"])
    lines += [f"succeeded: {done}"] if done else []
    for each in facts["estimates"]:
        lines.append(f"batch {each['batch_id']}: {each['open']} open, {_when(each)}")
    for each in facts["failures"]:
        stage = f" in {each['stage']}" if each["stage"] else ""
        lines.append(f"{counted(each['jobs'], 'job')} failed{stage}: {each['example']}")
        lines.append(f"    {each['command']}")
    return lines


def _when(estimate: Facts | None) -> str:
    if estimate is None:
        return "nothing waits"
    if estimate["done_at"] is None:
        return f"no estimate: {estimate['reason']}"
    moment = datetime.fromisoformat(estimate["done_at"]).astimezone()
    return f"done by about {moment.isoformat(' ', 'minutes')}"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{many} {status}" for status, many in counts.items() if many)


def _table(found: list[Facts]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("batch", "name", "by", "submitted", "done", "jobs"):
        table.add_column(heading)
    for each in found:
        moment = datetime.fromisoformat(each["created_at"]).astimezone()
        state = "paused, " if each["paused"] else "filling, " if each["filling"] else ""
        counts = {status: each["counts"].get(status, 0) for status in map(str, JobStatus)}
        table.add_row(
            str(each["id"]),
            Text(each["name"]),
            Text(each["submitted_by"] or ""),
            moment.isoformat(" ", "minutes")[:16],
            f"{each['progress']:4.0%}",
            state + _told(counts),
        )
    return table
