"""`dead` and `gc`: what waits for a person, and what nobody needs any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from barber.catalogue import audit, garbage
from barber.catalogue import dead as graveyard
from barber.catalogue.audit import Verb, local_user
from barber.catalogue.db import transaction
from barber.catalogue.garbage import Keep, Rubbish
from barber.cli.catalogue import Connection, catalogue_options, connect
from barber.cli.printing import attributes, plain
from barber.cli.remote import remote, server_option

SLOW_S = 30.0  # a message that waits longer for the broker is worth a line


@click.command()
@server_option
@catalogue_options
@click.pass_obj
def dead(environ: Mapping[str, str], server: str | None, home: Path | None, as_json: bool) -> None:
    """Show what will not move by itself any more, why, and the command that moves it."""
    with remote(environ, server, home) as elsewhere:
        facts = _here(environ, home) if elsewhere is None else elsewhere.get("/attention")
    if as_json:
        click.echo(json.dumps(facts))
        return
    for line in _lines(attributes(facts)) or ["nothing waits for you"]:
        click.echo(line)


def _here(environ: Mapping[str, str], home: Path | None) -> dict[str, Any]:
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        found = graveyard.dead(session)
    facts: dict[str, Any] = plain(found)
    keys = [{"key": group.common.key} for group in found.groups]
    groups = [group | key for group, key in zip(facts["groups"], keys, strict=True)]
    return {**facts, "groups": groups}


def _lines(found: Any) -> list[str]:
    """For people, what `Dead` has."""
    lines = [found.full_disk] if found.full_disk else []
    for group in found.groups:
        stage = f" in {group.stage}" if group.stage else ""
        many = f"{group.jobs} job{'s'[: group.jobs > 1]}"
        lines.append(f"{many} failed{stage} ({group.error_class}): {group.example}")
        remedy = f"{group.first}, then " if group.first else ""
        latest = ", ".join(map(str, group.latest_jobs))
        lines.append(f"    latest {latest}; {remedy}{group.command}")
    for held in found.held:
        lines.append(f"{held.what} is paused, {held.jobs} open: {held.command}")
    for lack in found.unserved:
        lines.append(f"{lack.jobs} job{'s'[: lack.jobs > 1]}: {lack.sentence}")
    for refusal in found.refused:
        lines.append(
            f"message refused {refusal.times} times ({refusal.source}): "
            f"{refusal.reason}: {refusal.message}"
        )
    if found.outbox.oldest_s > SLOW_S:
        lines.append(
            f"{found.outbox.count} messages wait for the broker, the oldest for "
            f"{found.outbox.oldest_s:.0f} s: they leave when it answers"
        )
    if found.quarantined:
        lines.append(f"{found.quarantined} artifacts were damaged today and are built again")
    return lines


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say how much it would be.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    help="Keep what no job refers to for so long.  [default: BARBER_KEEP_DAYS, 30]",
)
@click.option(
    "--intermediates",
    "intermediate_days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Also codes and alignments, unused for so long, of jobs that succeeded or were cancelled; "
    "results stay, and another job makes them anew.",
)
@click.option("--why", default="", help="Kept in the audit log.")
@catalogue_options
@click.pass_obj
def gc(
    environ: Mapping[str, str],
    dry_run: bool,
    keep_days: float | None,
    intermediate_days: float | None,
    why: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Delete what nobody needs: orphan files, forgotten artifacts, old previews and events."""
    with connect(environ, home) as connection:
        days = connection.settings.keep_days if keep_days is None else keep_days
        keep = Keep(days=days, intermediate_days=intermediate_days)
        found = _collect(connection, keep, dry_run=dry_run)
        if not dry_run:
            with transaction(connection.engine) as session:
                audit.record(session, Verb.CLEAN, local_user(), why=why, data=asdict(found))
    if as_json:
        click.echo(json.dumps(asdict(found) | {"dry_run": dry_run}))
        return
    would = "would be deleted" if dry_run else "deleted"
    click.echo(
        f"{would}: {found.files} files ({found.file_bytes:,} bytes) that nothing names, "
        f"{found.artifacts} artifacts, {found.previews} previews, {found.curves} curves, "
        f"{found.events} events, {found.refusals} refused messages"
    )


def _collect(connection: Connection, keep: Keep, *, dry_run: bool) -> Rubbish:
    """All shards, a transaction each; rows until none is left."""
    found = Rubbish()
    while True:
        with transaction(connection.engine) as session:
            rows = garbage.collect_rows(session, keep, dry_run=dry_run)
        found += rows
        if dry_run or not rows.anything:
            break
    after = -1
    while after:
        with transaction(connection.engine) as session:
            rows, after = garbage.collect_events(
                session, keep, after=max(after, 0), dry_run=dry_run
            )
        found += rows
    for shard in range(garbage.SHARDS):
        with transaction(connection.engine) as session:
            found += garbage.collect_artifacts(session, shard, keep, dry_run=dry_run)
    for shard in range(garbage.SHARDS):
        with transaction(connection.engine) as session:
            found += garbage.collect_files(session, connection.store, shard, keep, dry_run=dry_run)
    return found
