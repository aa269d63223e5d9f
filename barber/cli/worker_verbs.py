"""`worker` and `workers`: processes that run stages, and who they are."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError

from barber.catalogue import activity
from barber.catalogue import workers as roster
from barber.catalogue.activity import RunningStage
from barber.catalogue.db import open_engine, transaction
from barber.catalogue.status import WorkerStatus
from barber.catalogue.workers import WorkerRow
from barber.cli.catalogue import catalogue_options, connect, home_option
from barber.cli.printing import plain, print_table
from barber.errors import InputError
from barber.manifest import find_bundle, read_manifest
from barber.settings import Settings

QUEUES = ("gpu", "cpu")
GIB = 2**30
COLOURS = {
    WorkerStatus.READY: "green",
    WorkerStatus.BUSY: "green",
    WorkerStatus.DRAINING: "yellow",
    WorkerStatus.STOPPED: "dim",
    WorkerStatus.LOST: "red",
}


@click.command()
@click.option(
    "--device",
    "asked",
    multiple=True,
    help="cpu, cuda:0, ..; repeatable, a process for each. [default: BARBER_DEVICE, else cpu]",
)
@click.option(
    "--devices", type=click.Choice(["all"]), help="A process for every CUDA device, else the CPU."
)
@click.option(
    "--queues", default="gpu", show_default=True, help="gpu (stages), cpu (fan-ins), or gpu,cpu."
)
@click.option("--name", help="In the catalogue. [default: the machine's and the device's]")
@click.option("--bundle", help="Name or path of the networks. [default: BARBER_BUNDLE]")
@home_option
@click.pass_obj
def worker(
    environ: Mapping[str, str],
    asked: tuple[str, ...],
    devices: str | None,
    queues: str,
    name: str | None,
    bundle: str | None,
    home: Path | None,
) -> int:
    """Run workers on this machine, one process a device, until Ctrl-C or SIGTERM."""
    from barber.standalone.devices import choose
    from barber.standalone.fleet import Fleet, FleetOptions
    from barber.standalone.names import Names, choose_name

    kinds = _queues(queues)
    if asked and devices:
        raise InputError("--device and --devices exclude each other: give one of them")
    with connect(environ, home) as connection:
        settings = connection.settings
    if "gpu" in kinds and not settings.chaos:
        settings = replace(settings, bundle=bundle or settings.bundle)
        read_manifest(find_bundle(settings.bundle, settings.bundles_dir))
    chosen = ["cpu"]
    if "gpu" in kinds:
        chosen = choose(asked or (settings.device,), everything=devices is not None)
    elif asked or devices:
        raise InputError("--queues cpu runs no stages and needs no device: leave --device out")
    known = _known_workers(settings)
    with Names(settings.home / "workers") as names:
        called = choose_name(name, chosen, known, host=socket.gethostname(), names=names)
        options = FleetOptions(devices=chosen, queues=",".join(kinds), name=called)
        return Fleet(settings, options, environ=environ, say=_say).run()


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Those that stopped, too.")
@catalogue_options
@click.pass_obj
def workers(environ: Mapping[str, str], everything: bool, home: Path | None, as_json: bool) -> None:
    """List workers: device, bundle, versions, what each does now, when it was last heard of."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        rows = roster.listed(session)
        doing = {stage.worker: stage for stage in activity.running(session)}
        unserved = roster.unserved(session)
    if not everything:
        rows = [row for row in rows if row.status is not WorkerStatus.STOPPED or row.name in doing]
    if as_json:
        listed = [plain(row) | {"doing": plain(doing.get(row.name))} for row in rows]
        click.echo(json.dumps({"workers": listed, "unserved": [plain(lack) for lack in unserved]}))
        return
    print_table(_table(rows, doing) if rows else Text("no worker has reported"))
    for lack in unserved:
        jobs = "1 job" if lack.jobs == 1 else f"{lack.jobs} jobs"
        click.echo(f"{jobs}: {lack.sentence}")


def _known_workers(settings: Settings) -> list[WorkerRow]:
    """Those in the catalogue; none, and a word, while it is away, for workers wait for it."""
    engine = open_engine(settings, application="barber worker")
    try:
        with transaction(engine) as session:
            return roster.listed(session)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        _say(
            f"the catalogue cannot be reached ({reason}): the workers wait for it; is "
            "BARBER_DATABASE_URL right?"
        )
        return []
    finally:
        engine.dispose()


def _queues(text: str) -> list[str]:
    kinds = [name.strip() for name in text.split(",") if name.strip()]
    if not kinds or any(kind not in QUEUES for kind in kinds):
        raise InputError(f"--queues is {text!r}: use gpu, cpu, or gpu,cpu")
    return kinds


def _table(rows: list[WorkerRow], doing: Mapping[str, RunningStage]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("worker", "status", "device", "bundle", "now", "seen", "warm-up", "versions"):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            Text(f"{row.name}\n{row.host}" if row.host not in ("", row.name) else row.name),
            Text(row.status, style=COLOURS[row.status]),
            Text(_device(row)),
            Text(f"{row.bundle_name}\n{row.bundle[:12]}" if row.bundle else ""),
            Text(_now(doing.get(row.name))),
            f"{row.silent_s:.0f} s ago",
            f"{row.warm_up_s:.1f} s" if row.warm_up_s is not None else "",
            Text(_versions(row.versions)),
        )
    return table


def _device(row: WorkerRow) -> str:
    """The device with its model, and how much of its memory and of the machine's is taken."""
    if row.device in ("", "none"):
        return ""
    model = row.versions.get("device_name")
    lines = [f"{row.device} ({model})" if model else row.device]
    if "device" in row.memory:
        lines.append(f"{_gib(row.memory.get('reserved', 0))} of {_gib(row.memory['device'])} taken")
    if "process" in row.memory:
        lines.append(f"{_gib(row.memory['process'])} of the machine's memory")
    return "\n".join(lines)


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def _now(stage: RunningStage | None) -> str:
    if stage is None:
        return ""
    since_s = (datetime.now(UTC) - stage.since).total_seconds() if stage.since else 0.0
    return f"job {stage.job_id} {stage.kind} {stage.progress:.0%}\nfor {max(since_s, 0):.0f} s"


def _versions(versions: Mapping[str, Any]) -> str:
    told = ("barbershop", "method", "torch", "cuda", "python")
    return ", ".join(f"{name} {versions[name]}" for name in told if versions.get(name))
