"""`up` and `demo`: the whole system on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from barber.standalone.home import DEFAULT_HOME

port_option = click.option(
    "--port", type=click.IntRange(0, 65535), help="Of the console; 0 for any. [default: 8008]"
)
workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), help="GPU-queue workers. [default: one per CPU]"
)
bundle_option = click.option("--bundle", help="Name or path of the networks.")
device_option = click.option("--device", help="cpu, cuda:0, ..")


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help=f"Database, results and logs lie here. [default: BARBER_HOME, else {DEFAULT_HOME}]",
)
@port_option
@workers_option
@bundle_option
@device_option
@click.pass_obj
def up(
    environ: Mapping[str, str],
    home: Path | None,
    port: int | None,
    workers: int | None,
    bundle: str | None,
    device: str | None,
) -> None:
    """Start database, workers and console, and stay until Ctrl-C."""
    from barber.standalone.supervisor import Supervisor, UpOptions

    home = home or Path(environ.get("BARBER_HOME") or DEFAULT_HOME)
    options = UpOptions(home=home, port=port, workers=workers, bundle=bundle, device=device)
    with Supervisor(options, environ=environ, say=click.echo) as supervisor:
        if not supervisor.stopping:
            click.echo(f"console {supervisor.console}")
            click.echo(f"enter   {supervisor.entrance()}")
            click.echo("        (works once; `barber user link` makes another)")
            click.echo(f"logs    {home.absolute() / 'logs'}")
            click.echo("Ctrl-C stops everything; the data stay.")
            supervisor.run()
        click.echo("stopping ...")
    click.echo("stopped")


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Kept home of the system; a temporary one when left out.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Portraits, table, results and contact sheet.",
)
@click.option("--keep", is_flag=True, help="Leave the system running at the end, until Ctrl-C.")
@click.option(
    "--parse/--no-parse",
    default=True,
    help="Without the face parser in pre-flight, for a bundle that was not trained on drawn faces.",
)
@port_option
@workers_option
@bundle_option
@device_option
@click.pass_obj
def demo(
    environ: Mapping[str, str],
    home: Path | None,
    out: Path,
    keep: bool,
    parse: bool,
    port: int | None,
    workers: int | None,
    bundle: str | None,
    device: str | None,
) -> int:
    """Draw portraits, run eight jobs end to end, and set the results beside the truth."""
    from barber.standalone.demo import run_demo
    from barber.standalone.supervisor import UpOptions

    options = UpOptions(
        home=home or out / "home", port=port, workers=workers, bundle=bundle, device=device
    )
    return run_demo(options, out=out, keep=keep, fresh=home is None, environ=environ, parse=parse)
