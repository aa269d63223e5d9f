"""`chaos`: the system under fire."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click

from barber.chaos.faults import FaultKind
from barber.errors import BarberError
from barber.table import MAX_SEED


@click.command()
@click.option("--jobs", type=click.IntRange(1, 1_000_000), default=200, show_default=True)
@click.option(
    "--people",
    type=click.IntRange(4),
    default=40,
    show_default=True,
    help="Portraits that the jobs share; the fewer, the more stages are shared.",
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True)
@click.option(
    "--every", type=click.FloatRange(0.1), default=4.0, show_default=True, help="Mean pause in s."
)
@click.option(
    "--fault",
    "chosen",
    type=click.Choice([kind.name.lower().replace("_", "-") for kind in FaultKind]),
    multiple=True,
    help="Only this fault; may be given several times. All when left out.",
)
@click.option(
    "--stage",
    type=click.FloatRange(0, 600),
    default=0.02,
    show_default=True,
    help="Mean seconds of a toy stage.",
)
@click.option("--limit", type=click.FloatRange(1), default=3600.0, show_default=True, help="In s.")
@click.option(
    "--broker",
    default="filesystem",
    show_default=True,
    help="filesystem, rabbitmq or redis: one of the run's own; or the address of yours.",
)
@click.option(
    "--database-url",
    help="Your Postgres; the run gets a schema of its own there, dropped afterwards. "
    "A server of the run's own when left out.",
)
@click.option(
    "--kill-servers",
    is_flag=True,
    help="Kill your Postgres and broker too, on this machine, whatever else uses them: "
    "something must start them again.",
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Where it runs; kept. A temporary directory when left out, kept when a promise breaks.",
)
@click.pass_obj
def chaos(
    environ: Mapping[str, str],
    jobs: int,
    people: int,
    seed: int,
    workers: int,
    every: float,
    chosen: tuple[str, ...],
    stage: float,
    limit: float,
    broker: str,
    database_url: str | None,
    kill_servers: bool,
    home: Path | None,
) -> int:
    """Kill the running system at random under toy jobs, then check that nothing was lost."""
    from barber.chaos.rules import ChaosRules
    from barber.chaos.run import ChaosOptions, run_chaos

    place = home or Path(tempfile.mkdtemp(prefix="barber-chaos-"))
    options = ChaosOptions(
        home=place,
        jobs=jobs,
        people=people,
        seed=seed,
        workers=workers,
        every_s=every,
        limit_s=limit,
        broker=broker,
        database_url=database_url,
        kill_servers=kill_servers,
        rules=ChaosRules(stage_s=stage, drop=0.05, double=0.05, error=0.03, seed=seed),
    )
    if chosen:
        kinds = [FaultKind[name.upper().replace("-", "_")] for name in chosen]
        options = replace(options, kinds=kinds)
    try:
        report = run_chaos(options, environ, lambda line: click.echo(line, err=True))
    except BarberError:
        if home is None:
            with suppress(OSError):  # what a run has begun in is kept
                place.rmdir()
        raise
    for line in report.lines():
        click.echo(line)
    if home is None and report.sound:
        shutil.rmtree(place, ignore_errors=True)
    elif not report.sound:
        click.echo(f"the record and the logs are kept in {place}", err=True)
    return 0 if report.sound else 1
