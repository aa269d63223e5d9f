"""`barber bulk`: one thing for many jobs, done in the background by the dispatcher.

The same as the console's bulk actions: the jobs are written down with the wish, each is changed by
itself, and what became of each can be asked for at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click
from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine

from barber.catalogue import bulk_actions, selection
from barber.catalogue.audit import local_user
from barber.catalogue.bulk_actions import BulkRow, Wish
from barber.catalogue.bulk_tables import BulkStatus, BulkVerb
from barber.catalogue.db import transaction
from barber.catalogue.operate import PRIORITIES
from barber.cli.catalogue import catalogue_options, connect
from barber.cli.job_filter import for_api, many_options
from barber.cli.job_filter import selection as chosen_by
from barber.cli.operator_verbs import WHY, counted, may_go_on
from barber.cli.printing import plain, print_table
from barber.cli.remote import Remote, remote, server_option
from barber.errors import InputError, NotFound

F = TypeVar("F", bound=Callable[..., object])

POLL_S = 0.5
PAGE = 200
Facts = dict[str, Any]  # of a bulk action or a job in it, as the API tells them


class Bulks(Protocol):
    """The bulk actions of a running system."""

    def forecast(self, wish: Wish) -> Facts:
        """What it would come to: total, touched, left (by status), why_left."""

    def start(self, wish: Wish, *, expected: int) -> Facts:
        """Writes it down. Raises Conflict when it meets not so many jobs now."""

    def listed(self, limit: int) -> list[Facts]:
        """The newest ones."""

    def one(self, bulk_id: int) -> Facts:
        """Raises NotFound."""

    def report(self, bulk_id: int, *, skipped: bool) -> Iterator[Facts]:
        """What became of each job. Raises NotFound."""

    def stop(self, bulk_id: int) -> Facts:
        """Raises NotFound, Conflict."""


@dataclass(frozen=True, slots=True)
class Here:
    """Those of this machine."""

    engine: Engine

    def forecast(self, wish: Wish) -> Facts:
        with transaction(self.engine) as session:
            batch = wish.chosen.batch_id
            if batch is not None and not selection.batch_exists(session, batch):
                raise NotFound(f"no batch {batch}")
            return plain(bulk_actions.forecast(session, wish.verb, wish.chosen))  # type: ignore[no-any-return]

    def start(self, wish: Wish, *, expected: int) -> Facts:
        with transaction(self.engine) as session:
            number = bulk_actions.create(session, wish, by=local_user(), expected=expected)
            return _told(bulk_actions.one(session, number))

    def listed(self, limit: int) -> list[Facts]:
        with transaction(self.engine) as session:
            return [_told(row) for row in bulk_actions.listed(session, limit=limit)]

    def one(self, bulk_id: int) -> Facts:
        with transaction(self.engine) as session:
            return _told(bulk_actions.one(session, bulk_id))

    def report(self, bulk_id: int, *, skipped: bool) -> Iterator[Facts]:
        self.one(bulk_id)
        after = 0
        while True:
            with transaction(self.engine) as session:
                rows = bulk_actions.report(
                    session, bulk_id, skipped=skipped, limit=PAGE, after=after
                )
            yield from (plain(row) for row in rows)
            if len(rows) < PAGE:
                return
            after = rows[-1].job_id

    def stop(self, bulk_id: int) -> Facts:
        with transaction(self.engine) as session:
            return _told(bulk_actions.stop(session, bulk_id, by=local_user()))


@dataclass(frozen=True, slots=True)
class There:
    """Those of a console elsewhere."""

    console: Remote

    def forecast(self, wish: Wish) -> Facts:
        return self._ask(wish, {"dry_run": True})["outlook"]  # type: ignore[no-any-return]

    def start(self, wish: Wish, *, expected: int) -> Facts:
        return self._ask(wish, {"expected": expected})["bulk"]  # type: ignore[no-any-return]

    def listed(self, limit: int) -> list[Facts]:
        return list(self.console.pages("/bulk", "bulks", most=limit, limit=min(limit, PAGE)))

    def one(self, bulk_id: int) -> Facts:
        return self.console.get(f"/bulk/{bulk_id}")["bulk"]  # type: ignore[no-any-return]

    def report(self, bulk_id: int, *, skipped: bool) -> Iterator[Facts]:
        asked = {"skipped": skipped or None, "limit": PAGE}
        return self.console.pages(f"/bulk/{bulk_id}/jobs", "jobs", **asked)

    def stop(self, bulk_id: int) -> Facts:
        return self.console.post(f"/bulk/{bulk_id}/stop")["bulk"]  # type: ignore[no-any-return]

    def _ask(self, wish: Wish, more: Mapping[str, Any]) -> Any:
        body: Facts = {"verb": wish.verb, "filter": for_api(wish.chosen), "why": wish.why}
        if wish.priority is not None:
            body["priority"] = wish.priority
        return self.console.post("/bulk", {**body, "everything": wish.everything, **more})


@contextmanager
def bulks_at(environ: Mapping[str, str], server: str | None, home: Path | None) -> Iterator[Bulks]:
    """The bulk actions that a verb is about. Raises as `remote` and `connect`."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            yield There(elsewhere)
            return
    with connect(environ, home) as connection:
        yield Here(connection.engine)


@click.group()
def bulk() -> None:
    """One thing for all jobs of a filter, done in the background."""


def at_options(verb: F) -> F:
    """Where, and how it is told."""
    return server_option(catalogue_options(verb))


@bulk.command()
@click.argument("verb", type=click.Choice([str(each) for each in BulkVerb]))
@many_options
@click.option(
    "--to",
    "priority_to",
    type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]),
    help="The new priority, of `start priority`.",
)
@click.option("--why", default=WHY, help="Kept with each job and in the audit log.")
@click.option("--watch", "watching", is_flag=True, help="Stay until it is done.")
@at_options
@click.pass_obj
def start(
    environ: Mapping[str, str],
    /,
    verb: str,
    priority_to: int | None,
    watching: bool,
    **chosen: Any,
) -> int:
    """Do VERB (retry, cancel, priority or delete) to all jobs of a filter.

    They are counted first. It goes on when this terminal is closed.
    """
    wish = Wish(
        verb=BulkVerb(verb),
        chosen=chosen_by(chosen),
        why=chosen["why"],
        priority=priority_to,
        everything=chosen["everything"],
    )
    if wish.chosen.is_everything and not wish.everything:
        raise InputError("which jobs? give a filter such as --batch, or --all")
    if (wish.verb is BulkVerb.PRIORITY) != (priority_to is not None):
        raise InputError("--to goes with `barber bulk start priority`, and with no other verb")
    wish.check()
    with bulks_at(environ, chosen["server"], chosen["home"]) as found:
        outlook = found.forecast(wish)
        total = outlook["total"]
        counts = {"to be touched": outlook["touched"], **_left(outlook)}
        if not may_go_on({name: many for name, many in counts.items() if many}, chosen):
            return 0
        row = found.start(wish, expected=total)
        if not watching:
            click.echo(json.dumps(row) if chosen["as_json"] else _line(row))
            return 0
        return _watch(found, row, as_json=chosen["as_json"])


@bulk.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@at_options
@click.pass_obj
def list_bulks(
    environ: Mapping[str, str], limit: int, server: str | None, home: Path | None, as_json: bool
) -> None:
    """List bulk actions, newest first."""
    with bulks_at(environ, server, home) as found:
        rows = found.listed(limit)
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("bulk", "verb", "status", "done", "left alone", "of", "who", "why"):
        table.add_column(heading)
    for row in rows:
        numbers = (str(row[name]) for name in ("done", "skipped", "total"))
        facts = (str(row["id"]), row["verb"], row["status"], *numbers)
        table.add_row(*facts, Text(row["who"]), Text(row["why"]))
    print_table(table if rows else Text("no bulk actions"))


@bulk.command()
@click.argument("number", type=int)
@click.option("--skipped", is_flag=True, help="Only jobs that were left alone.")
@click.option("--watch", "watching", is_flag=True, help="Stay until it is done.")
@at_options
@click.pass_obj
def show(
    environ: Mapping[str, str],
    number: int,
    skipped: bool,
    watching: bool,
    server: str | None,
    home: Path | None,
    as_json: bool,
) -> int:
    """Show how far a bulk action is, and what became of each job."""
    with bulks_at(environ, server, home) as found:
        row = found.one(number)
        code = _watch(found, row, as_json=as_json, quiet=True) if watching else 0
        row = found.one(number)
        jobs = list(found.report(number, skipped=skipped))
    if as_json:
        click.echo(json.dumps({**row, "jobs": jobs}))
        return code
    click.echo(_line(row))
    for job in jobs:
        click.echo(f"job {job['job_id']}: {job['outcome'] or 'waits'}")
    return code


@bulk.command()
@click.argument("number", type=int)
@at_options
@click.pass_obj
def stop(
    environ: Mapping[str, str], number: int, server: str | None, home: Path | None, as_json: bool
) -> None:
    """End a bulk action; what it has done stays done."""
    with bulks_at(environ, server, home) as found:
        row = found.stop(number)
    click.echo(json.dumps(row) if as_json else _line(row))


def _watch(found: Bulks, row: Facts, *, as_json: bool, quiet: bool = False) -> int:
    """Follows it to its end; 0 when no job was left alone."""
    said = ""
    while not BulkStatus(row["status"]).final:
        if not as_json and (line := _line(row)) != said:
            said = line
            click.echo(said, err=True)
        time.sleep(POLL_S)
        row = found.one(row["id"])
    if not quiet:
        click.echo(json.dumps(row) if as_json else _line(row))
    return 1 if row["skipped"] or row["done"] < row["total"] else 0


def _left(outlook: Facts) -> dict[str, int]:
    return {f"{status} left alone": many for status, many in outlook["left"].items()}


def _line(row: Facts) -> str:
    skipped = f", {row['skipped']} left alone" if row["skipped"] else ""
    return (
        f"bulk {row['id']}: {row['verb']} {row['status']}, "
        f"{row['done']} of {counted(row['total'], 'job')} done{skipped}"
    )


def _told(row: BulkRow) -> Facts:
    facts: Facts = plain(row)
    return {**facts, "progress": row.progress}
