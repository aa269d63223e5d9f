"""`webhook`: addresses that are called when jobs and batches end, on this machine's catalogue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.table import Table

from barber.catalogue import people, webhooks
from barber.catalogue.audit import local_user
from barber.catalogue.db import transaction
from barber.catalogue.webhook_tables import Happening
from barber.cli.catalogue import catalogue_options, connect
from barber.cli.printing import plain, print_table

why_option = click.option("--why", default="", help="Kept in the audit log.")


@click.group()
def webhook() -> None:
    """Webhooks: addresses that are called when jobs and batches end."""


@webhook.command("add")
@click.argument("person")
@click.argument("url")
@click.option(
    "--on",
    "happenings",
    multiple=True,
    type=click.Choice([each.value for each in Happening]),
    default=(Happening.JOB_FAILED.value, Happening.BATCH_FINISHED.value),
    show_default=True,
    help="What it is called for; repeatable.",
)
@why_option
@catalogue_options
@click.pass_obj
def add_webhook(
    environ: Mapping[str, str],
    person: str,
    url: str,
    happenings: tuple[str, ...],
    why: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Call URL for PERSON, about what they may see. The secret is printed this once."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        row, secret = webhooks.add(
            session,
            people.find(session, person).id,
            url,
            [Happening(word) for word in happenings],
            by=local_user(),
            allow_private=bool(connection.settings.webhook_private),
            why=why,
        )
    click.echo(json.dumps(plain(row) | {"secret": secret}) if as_json else secret)


@webhook.command("list")
@catalogue_options
@click.pass_obj
def list_webhooks(environ: Mapping[str, str], home: Path | None, as_json: bool) -> None:
    """List webhooks, newest first."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        rows = webhooks.listed(session)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("webhook", "person", "url", "on", "state"):
        table.add_column(heading)
    for row in rows:
        state = f"disabled: {row.disabled_why}" if row.disabled_at else "on"
        table.add_row(str(row.id), row.person, row.url, ", ".join(row.happenings), state)
    print_table(table if rows else "no webhooks")


@webhook.command("log")
@click.argument("number", type=int)
@catalogue_options
@click.pass_obj
def log(environ: Mapping[str, str], number: int, home: Path | None, as_json: bool) -> None:
    """Show the latest calls of a webhook and what was answered."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        webhooks.one(session, number)
        rows = webhooks.log(session, number)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    for row in rows:
        answer = f"{row.answered or ''} {row.said or ''}".strip()
        click.echo(f"{row.id} {row.happening} {row.status}, {row.tries} tries: {answer}")


@webhook.command("enable")
@click.argument("number", type=int)
@why_option
@catalogue_options
@click.pass_obj
def enable(
    environ: Mapping[str, str], number: int, why: str, home: Path | None, as_json: bool
) -> None:
    """Call a disabled webhook again."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        row = webhooks.enable(session, number, by=local_user(), why=why)
    click.echo(json.dumps(plain(row)) if as_json else f"webhook {number} is on")


@webhook.command("remove")
@click.argument("number", type=int)
@why_option
@catalogue_options
@click.pass_obj
def remove(
    environ: Mapping[str, str], number: int, why: str, home: Path | None, as_json: bool
) -> None:
    """Call a webhook no more."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        webhooks.remove(session, number, by=local_user(), why=why)
    click.echo(json.dumps({"id": number}) if as_json else f"webhook {number} is removed")
