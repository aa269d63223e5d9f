"""`login`, `logout`, `download`: a console elsewhere, and results out of it."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from barber.cli.catalogue import json_option
from barber.cli.credentials import forget, keep, server_url, token_for
from barber.cli.remote import Remote, client_for, remote, server_option, tell_json
from barber.errors import BarberError, InputError


@click.command()
@click.argument("url")
@click.option("--name", help="Your name there.  [default: asked for]")
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True)
@json_option
@click.pass_obj
def login(environ: Mapping[str, str], url: str, name: str | None, days: int, as_json: bool) -> None:
    """Log in to a console elsewhere; the password is asked for, or read from standard input."""
    address = server_url(url)
    if (
        address.startswith("http://")
        and "//127.0.0.1" not in address
        and "//localhost" not in address
    ):
        click.echo(f"warning: {address} is not encrypted: others may read the password", err=True)
    if sys.stdin.isatty():
        name = name or click.prompt("name", default=getpass.getuser())
        password = click.prompt("password", hide_input=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not name:
        raise InputError("who are you there? give --name")
    asked = {"name": name, "password": password, "days": days, "token_name": _machine()}
    with client_for(address, None) as client:
        made = Remote(url=address, client=client).post("/login", asked)
    path = keep(environ, address, made["token"])
    if as_json:
        tell_json({"server": address, "file": str(path), "expires_at": made["facts"]["expires_at"]})
        return
    click.echo(f"logged in to {address} as {name}; the token is in {path}")


@click.command()
@click.argument("url")
@json_option
@click.pass_obj
def logout(environ: Mapping[str, str], url: str, as_json: bool) -> None:
    """Forget the token of a console elsewhere, and end it there."""
    address = server_url(url)
    ended = False
    with suppress(BarberError):  # a console that is gone, a token that has ended
        secret = token_for({**environ, "BARBER_TOKEN": ""}, address)
        with client_for(address, secret) as client:
            Remote(url=address, client=client).delete("/tokens/mine")
            ended = True
    if not forget(environ, address):
        raise InputError(f"not logged in to {address}: there is nothing to forget")
    told = f"logged out of {address}" if ended else f"the token of {address} is forgotten here"
    click.echo(told) if not as_json else tell_json({"server": address, "ended": ended})


@click.command()
@click.argument("batch", type=int, required=False)
@click.option("--job", type=int, help="One job's result, as PNG.")
@click.option("--out", type=click.Path(path_type=Path), help="The file.  [default: batch-N.zip]")
@click.option("--into-original", is_flag=True, help="With --job: put back into its photograph.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@server_option
@json_option
@click.pass_obj
def download(
    environ: Mapping[str, str],
    batch: int | None,
    job: int | None,
    out: Path | None,
    into_original: bool,
    force: bool,
    server: str | None,
    as_json: bool,
) -> None:
    """Fetch a batch's results as a ZIP with their recipes, or one job's PNG, from a console."""
    if (batch is None) == (job is None):
        raise InputError("download what? give a batch's number, or --job NUMBER")
    with remote(environ, server, None) as elsewhere:
        if elsewhere is None:
            raise InputError(
                "download from where? give --server URL; on this machine use `barber result`"
            )
        target = out or Path(f"batch-{batch}.zip" if job is None else f"job-{job}.png")
        if target.exists() and not force:
            raise InputError(f"{target} is there already: give another --out, or --force")
        path = f"/batches/{batch}/results.zip"
        if job is not None:
            path = f"/jobs/{job}/result.png" + ("?into_original=1" if into_original else "")
        _fetch(elsewhere, path, target, quiet=as_json)
    facts: dict[str, Any] = {"file": str(target), "bytes": target.stat().st_size}
    tell_json(facts) if as_json else click.echo(str(target))


def _fetch(elsewhere: Remote, path: str, target: Path, *, quiet: bool) -> None:
    """Into a file beside the target first: half a download is none."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with fresh.open("wb") as file:
            elsewhere.download(path, file, quiet=quiet)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _machine() -> str:
    try:
        return f"barber on {os.uname().nodename}"[:100]
    except AttributeError:  # Windows
        return "barber command"
