"""`barber measure`: numbers for results that were made before results were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from barber.catalogue import jobs as record
from barber.catalogue.db import transaction
from barber.cli.catalogue import catalogue_options, connect
from barber.interrupts import loading
from barber.manifest import find_bundle


@click.command()
@click.option("--batch", type=int, help="Only of this batch.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="Results."
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, ..")
@catalogue_options
@click.pass_obj
def measure(
    environ: Mapping[str, str],
    batch: int | None,
    limit: int,
    device: str,
    home: Path | None,
    as_json: bool,
) -> int:
    """Measure results that have no quality numbers yet, the newest first."""
    refused: list[tuple[int, str]] = []

    def tell(job_id: int, reason: str) -> None:
        refused.append((job_id, reason))
        if not as_json:
            click.echo(f"job {job_id}: {reason}", err=True)

    with connect(environ, home) as connection:
        if batch is not None:
            with transaction(connection.engine) as session:
                record.batch(session, batch)  # raises where there is none
        bundle = find_bundle(connection.settings.bundle, connection.settings.bundles_dir)
        with loading():
            from barber.cli import measuring  # loads torch

            backfill = measuring.backfill(connection.engine, connection.store, bundle, device)
        done = backfill.run(batch, limit, tell)
    if as_json:
        told = [{"job_id": job_id, "reason": reason} for job_id, reason in refused]
        click.echo(json.dumps({"measured": done, "refused": told}))
    else:
        many = f"{done} result{'' if done == 1 else 's'} measured"
        click.echo(many + (f", {len(refused)} could not be" if refused else ""))
    return 1 if refused else 0
