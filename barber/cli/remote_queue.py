"""The verbs of the queue with a console elsewhere: the same words and exit codes as here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from barber.catalogue.listing import Sort
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.cli.job_filter import for_api
from barber.cli.job_tables import job_table, show_job
from barber.cli.printing import attributes, print_table
from barber.cli.remote import Remote, tell_json
from barber.errors import Conflict, InputError, ServerAway
from barber.moments import parse_deadline
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Finding
from barber.spec import NoiseMode
from barber.table import RowError, TableError
from barber.table_pack import pack_table

POLL_S = 0.5
PATIENCE_S = 300.0  # a watched console may be away for so long
MOMENTS = ("created_at", "started_at", "finished_at", "deadline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `barber submit` was told."""

    table: Path
    preset: str | None
    settings: tuple[str, ...]
    noise: NoiseMode
    align: AlignPolicy
    allow: tuple[str, ...]
    deadline: str | None
    accept_valid: bool
    again: bool


def submit(elsewhere: Remote, asked: Asked, *, as_json: bool) -> int:
    """Sends a table with its pictures, has it checked, queues it; returns the batch's id.

    Raises:
        TableError: Rows cannot be used; nothing was queued.
        Conflict: The same was queued before.
    """
    deadline = _moment(asked.deadline)
    begun = _send(elsewhere, asked, quiet=as_json)
    checked = _until(elsewhere, begun, "checking", quiet=as_json)
    if checked["status"] == "broken":
        raise InputError(str(checked["problem"]))
    rows = f"/imports/{checked['id']}/rows"
    refused = [_row(row) for row in elsewhere.pages(rows, "rows", refused=True, limit=1000)]
    if refused and not (asked.accept_valid and checked["sound"]):
        told = "\n".join(f"  {error}" for error in refused)
        raise TableError(
            f"{asked.table} has {_counted(len(refused), 'row')} that cannot be used; "
            f"nothing was queued: correct them, or add --accept-valid\n{told}",
            refused,
        )
    word = {"accept_valid": asked.accept_valid, "again": asked.again, "deadline": deadline or ""}
    answer = elsewhere.post(f"/imports/{checked['id']}/queue", word)
    queued = _until(elsewhere, answer, "queueing", quiet=as_json)
    if queued["queued_before"]:
        raise Conflict(
            f"{asked.table} was queued before, as batch {queued['queued_before']}: see it with "
            f"`barber watch {queued['queued_before']}`, or queue it anew with --again"
        )
    if queued["status"] == "broken":
        raise InputError(str(queued["problem"]))
    _tell_submission(elsewhere, queued, refused, as_json=as_json)
    return int(queued["batch_id"])


def jobs(elsewhere: Remote, chosen: Selection, sort: Sort, limit: int, *, as_json: bool) -> None:
    """Lists the jobs of a filter."""
    asked = {**for_api(chosen), "sort": str(sort), "limit": min(limit, 200)}
    found = list(elsewhere.pages("/jobs", "jobs", most=limit, **asked))
    if as_json:
        tell_json(found)
        return
    rows = [attributes(row) for row in found]
    print_table(job_table(rows) if rows else Text("no jobs"))


def show(elsewhere: Remote, job: int, *, as_json: bool) -> None:
    """Shows one job."""
    facts = elsewhere.get(f"/jobs/{job}")["job"]
    if as_json:
        tell_json(facts)
        return
    view: Any = attributes(facts)
    view.row, view.row.status = view, JobStatus(view.status)
    view.findings = facts["findings"]
    for name in MOMENTS:
        text = facts.get(name)
        setattr(view, name, datetime.fromisoformat(text) if text else None)
    show_job(view, None)
    if facts["result"]:
        click.echo(f"result  barber download --job {job} --out NAME.png --server {elsewhere.url}")


def watch(elsewhere: Remote, batch_id: int, *, as_json: bool) -> int:
    """Follows a batch to its end; 0 when every job succeeded, else 1."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f}%"))
    said = ""
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(f"batch {batch_id}", total=1.0)
        while True:
            batch = _patiently(elsewhere, batch_id)
            counts = ", ".join(f"{n} {status}" for status, n in batch["counts"].items() if n)
            progress.update(task, completed=batch["progress"], description=counts)
            if not console.is_terminal and not as_json and counts != said:
                click.echo(f"batch {batch_id}: {counts}", err=True)
                said = counts
            if batch["finished"]:
                break
            time.sleep(POLL_S)
    if as_json:
        tell_json(batch)
    else:
        click.echo(f"batch {batch_id}: {counts}")
        if batch["counts"].get("succeeded"):
            click.echo(f"results: barber download {batch_id} --server {elsewhere.url}")
    return 0 if batch["counts"].get("succeeded", 0) == sum(batch["counts"].values()) else 1


def _send(elsewhere: Remote, asked: Asked, *, quiet: bool) -> Any:
    form: dict[str, Any] = {
        "name": asked.table.stem,
        "noise": str(asked.noise),
        "align": str(asked.align),
        "set": list(asked.settings),
        "allow": [str(word) for word in asked.allow],
    }
    if asked.preset:
        form["preset"] = asked.preset
    if asked.table.suffix.lower() == ".zip":
        return elsewhere.upload("/imports", _there(asked.table), "table", form, quiet=quiet)
    with tempfile.TemporaryDirectory(prefix="barber-pack-") as folder:
        packed = Path(folder) / f"{asked.table.stem[:80] or 'table'}.zip"
        pack_table(asked.table, packed)
        return elsewhere.upload("/imports", packed, "table", form, quiet=quiet)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"the table {path} cannot be read: No such file or directory")
    return path


def _until(elsewhere: Remote, answer: Any, state: str, *, quiet: bool) -> dict[str, Any]:
    """Waits while an import is in a state; how far it is stands on the terminal."""
    found: dict[str, Any] = answer["import"]
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        task = progress.add_task(state, total=None)
        while found["status"] == state:
            time.sleep(POLL_S / 2)
            found = elsewhere.get(f"/imports/{found['id']}")["import"]
            seen = found["sound"] + found["refused"]
            progress.update(task, description=f"{state}: {seen:,} rows")
    return found


def _tell_submission(
    elsewhere: Remote, queued: Mapping[str, Any], refused: list[RowError], *, as_json: bool
) -> None:
    batch_id, accepted = queued["batch_id"], queued["sound"]
    warned: list[dict[str, Any]] = []
    if queued["warned"]:
        rows = elsewhere.pages(f"/imports/{queued['id']}/rows", "rows", refused=False, limit=1000)
        warned = [
            {key: row[key] for key in ("line", "name", "findings")}
            for row in rows
            if row["findings"]
        ]
    if as_json:
        told = {"batch_id": batch_id, "accepted": accepted}
        tell_json({**told, "refused": [row.to_json() for row in refused], "findings": warned})
        return
    for error in refused:
        click.echo(f"refused {error}", err=True)
    for row in warned[:20]:
        for finding in row["findings"]:
            if finding["verdict"] == "warn":
                click.echo(f"line {row['line']}: {finding['sentence']}", err=True)
    where = f"{elsewhere.url}/batches/{batch_id}"
    click.echo(f"batch {batch_id}: {accepted} jobs queued, {where}", err=True)


def _patiently(elsewhere: Remote, batch_id: int) -> dict[str, Any]:
    """A batch, also when the console is away for a while."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            found: dict[str, Any] = elsewhere.get(f"/batches/{batch_id}")["batch"]
        except ServerAway:
            if time.monotonic() > until:
                raise
            time.sleep(2.0)
        else:
            return found


def _row(facts: Mapping[str, Any]) -> RowError:
    findings = tuple(Finding.from_json(each) for each in facts["findings"])
    return RowError(
        line=facts["line"], name=facts["name"], reason=facts["reason"], findings=findings
    )


def _moment(text: str | None) -> str | None:
    """What a person means by it here, with its zone."""
    return parse_deadline(text, datetime.now(UTC).astimezone()).isoformat() if text else None


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
