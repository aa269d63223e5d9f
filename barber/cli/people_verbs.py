"""`user` and `token`: who may use the console and the API. They act on the catalogue itself.

Whoever can reach the database may do all of this; that is how the first admin comes to be.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.table import Table

from barber.catalogue import logins, people, tokens
from barber.catalogue.audit import local_user
from barber.catalogue.db import transaction
from barber.catalogue.people import PersonRow
from barber.catalogue.people_tables import Role
from barber.catalogue.tokens import DEFAULT_DAYS, MOST_DAYS, TokenRow
from barber.cli.catalogue import catalogue_options, connect
from barber.cli.printing import plain, print_table

role_choice = click.Choice([role.value for role in Role])
generate_option = click.option(
    "--generate", is_flag=True, help="Make up a password and print it, instead of asking."
)


@click.group()
def user() -> None:
    """People: who may log in, and as what."""


@user.command("add")
@click.argument("name")
@click.option("--role", type=role_choice, default=Role.VIEWER.value, show_default=True)
@click.option("--own-only", is_flag=True, help="They see their own batches alone.")
@generate_option
@click.option("--no-password", is_flag=True, help="They enter by a link (`barber user link`).")
@catalogue_options
@click.pass_obj
def add_user(
    environ: Mapping[str, str],
    name: str,
    role: str,
    own_only: bool,
    generate: bool,
    no_password: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Add a person; asks for a password, or makes one up where nobody can be asked."""
    with connect(environ, home) as connection:
        made_up, password = (False, None) if no_password else _password(generate)
        with transaction(connection.engine) as session:
            person = people.add(
                session, name, Role(role), by=local_user(), password=password, own_only=own_only
            )
    _tell(person, password if made_up else None, f"{person.name} added as {role}", as_json)


@user.command("list")
@catalogue_options
@click.pass_obj
def list_users(environ: Mapping[str, str], home: Path | None, as_json: bool) -> None:
    """List everybody."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        rows = people.listed(session)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "role", "sees", "password", "state"):
        table.add_column(heading)
    for row in rows:
        sees = "own batches" if row.own_only else "all batches"
        state = "shut out" if row.disabled_at else ""
        table.add_row(row.name, row.role, sees, "yes" if row.has_password else "no", state)
    print_table(table if rows else "nobody yet: barber user add NAME --role admin")


@user.command("role")
@click.argument("name")
@click.argument("role", type=role_choice)
@click.option("--own-only/--sees-all", default=None, help="Whether own batches alone are seen.")
@click.option("--why", default="", help="Kept in the audit log.")
@catalogue_options
@click.pass_obj
def change_role(
    environ: Mapping[str, str],
    name: str,
    role: str,
    own_only: bool | None,
    why: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Give a person another role; they are logged out everywhere."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        person = people.change(
            session, name, by=local_user(), role=Role(role), own_only=own_only, why=why
        )
    _tell(person, None, f"{person.name} is {role} now", as_json)


@user.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let them in again.")
@click.option("--why", default="", help="Kept in the audit log.")
@catalogue_options
@click.pass_obj
def disable(
    environ: Mapping[str, str], name: str, undo: bool, why: str, home: Path | None, as_json: bool
) -> None:
    """Shut a person out, at once, with all their tokens."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        person = people.change(session, name, by=local_user(), disabled=not undo, why=why)
    sentence = f"{person.name} may come in again" if undo else f"{person.name} is shut out"
    _tell(person, None, sentence, as_json)


@user.command("password")
@click.argument("name")
@generate_option
@catalogue_options
@click.pass_obj
def password(
    environ: Mapping[str, str], name: str, generate: bool, home: Path | None, as_json: bool
) -> None:
    """Give a person another password; they are logged out everywhere."""
    with connect(environ, home) as connection:
        with transaction(connection.engine) as session:
            person = people.find(session, name)  # before anything is asked
        made_up, chosen = _password(generate)
        with transaction(connection.engine) as session:
            people.set_password(session, person.name, chosen, by=local_user())
    _tell(person, chosen if made_up else None, f"{person.name} has a new password", as_json)


@user.command("link")
@click.argument("name")
@catalogue_options
@click.pass_obj
def link(environ: Mapping[str, str], name: str, home: Path | None, as_json: bool) -> None:
    """Print a link that lets a person in once, within 12 hours."""
    with connect(environ, home) as connection:
        with transaction(connection.engine) as session:
            secret = logins.make_link(session, name, by=local_user())
        url = f"{connection.console}login/{secret}"
    click.echo(json.dumps({"url": url}) if as_json else url)


@click.group()
def token() -> None:
    """API tokens: what lets programs in."""


@token.command("add")
@click.argument("person")
@click.argument("name")
@click.option("--role", type=role_choice, help="At most this role.  [default: the person's]")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=DEFAULT_DAYS, show_default=True)
@click.option("--for-ever", is_flag=True, help="It has no end but `barber token revoke`.")
@catalogue_options
@click.pass_obj
def add_token(
    environ: Mapping[str, str],
    person: str,
    name: str,
    role: str | None,
    days: int,
    for_ever: bool,
    home: Path | None,
    as_json: bool,
) -> None:
    """Make a token for PERSON; NAME says what it is for. It is printed this once."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        made, secret = tokens.add(
            session,
            person,
            name,
            by=local_user(),
            role=Role(role) if role else None,
            days=None if for_ever else days,
        )
    click.echo(json.dumps(plain(made) | {"token": secret}) if as_json else secret)


@token.command("list")
@click.option("--person", help="Only of this person.")
@catalogue_options
@click.pass_obj
def list_tokens(
    environ: Mapping[str, str], person: str | None, home: Path | None, as_json: bool
) -> None:
    """List tokens, newest first; their secrets are kept nowhere."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        name = people.find(session, person).name if person else None
        rows = tokens.listed(session, name)
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows]))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("token", "person", "for", "role", "ends", "last used"):
        table.add_column(heading)
    for row in rows:
        used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "not yet"
        table.add_row(str(row.id), row.person, row.name, row.role, _end(row), used)
    print_table(table if rows else "no tokens")


@token.command("revoke")
@click.argument("number", type=int)
@click.option("--why", default="", help="Kept in the audit log.")
@catalogue_options
@click.pass_obj
def revoke(
    environ: Mapping[str, str], number: int, why: str, home: Path | None, as_json: bool
) -> None:
    """End a token for good."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        ended = tokens.revoke(session, number, by=local_user(), why=why)
    told = f"token {number} ({ended.name} of {ended.person}) is revoked"
    click.echo(json.dumps(plain(ended)) if as_json else told)


def _password(generate: bool) -> tuple[bool, str]:
    """A password, and whether it was made up: asked for twice where somebody can be asked."""
    if generate or not sys.stdin.isatty():
        return True, secrets.token_urlsafe(12)
    text: str = click.prompt("password", hide_input=True, confirmation_prompt="once more")
    return False, text


def _tell(person: PersonRow, made_up: str | None, sentence: str, as_json: bool) -> None:
    if as_json:
        facts = plain(person)
        click.echo(json.dumps(facts | ({"password": made_up} if made_up else {})))
        return
    click.echo(sentence)
    if made_up:
        click.echo(f"password: {made_up}")


def _end(row: TokenRow) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return f"{row.expires_at:%Y-%m-%d}" if row.expires_at else "never"
