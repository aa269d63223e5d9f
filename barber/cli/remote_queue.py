"""The verbs of the queue with a console elsewhere: the same words and exit codes as here."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from barber.catalogue.status import JobStatus
from barber.cli.job_tables import job_table, show_job
from barber.cli.printing import print_table
from barber.cli.remote import Remote, tell_json
from barber.errors import Conflict, InputError, ServerAway
from barber.moments import parse_deadline
from barber.photographs.portraits import AlignPolicy
from barber.plan import StageKind
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What `barber retry` was told."""

    stage: int | None
    from_kind: str | None
    params: Mapping[str, Any] | None
    deadline: str | None
    why: str


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


def jobs(
    elsewhere: Remote, batch: int | None, status: str | None, limit: int, *, as_json: bool
) -> None:
    """Lists jobs, newest first."""
    page = min(limit, 200)
    found = list(
        elsewhere.pages("/jobs", "jobs", most=limit, batch=batch, status=status, limit=page)
    )
    if as_json:
        tell_json(found)
        return
    rows = [_shown(row) for row in found]
    print_table(job_table(rows) if rows else Text("no jobs"))


def show(elsewhere: Remote, job: int, *, as_json: bool) -> None:
    """Shows one job."""
    facts = elsewhere.get(f"/jobs/{job}")["job"]
    if as_json:
        tell_json(facts)
        return
    view: Any = _shown(facts)
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


def retry(
    elsewhere: Remote, job: int | None, asked: Retry, chosen: Mapping[str, Any], *, as_json: bool
) -> int:
    """Runs failed stages again, of one job or of all that a filter meets."""
    if job is None:
        if asked.from_kind or asked.params or asked.deadline:
            raise InputError(
                "--from, --params and --deadline go with one job on a console elsewhere: "
                "give the job's number"
            )
        return _many(elsewhere, "retry", ("failed", "cancelled"), asked.why, chosen, as_json)
    body = {
        "stage": asked.stage,
        "from_kind": StageKind(asked.from_kind) if asked.from_kind else None,
        "params": asked.params,
        "deadline": _moment(asked.deadline),
        "why": asked.why,
    }
    given = {key: value for key, value in body.items() if value is not None}
    count = elsewhere.post(f"/jobs/{job}/retry", given)["stages_set_back"]
    return _one(job, f"{_counted(count, 'stage')} set back", as_json)


def cancel(
    elsewhere: Remote, job: int | None, why: str, chosen: Mapping[str, Any], *, as_json: bool
) -> int:
    """Stops one job, or all that a filter meets."""
    if job is None:
        return _many(elsewhere, "cancel", ("queued", "running"), why, chosen, as_json)
    status = elsewhere.post(f"/jobs/{job}/cancel", {"why": why})["status"]
    return _one(job, "cancelled" if status == JobStatus.CANCELLED else "stops", as_json)


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


def _many(
    elsewhere: Remote,
    action: str,
    presumed: tuple[str, ...],
    why: str,
    chosen: Mapping[str, Any],
    as_json: bool,
) -> int:
    """One action on all jobs of a filter, page by page; 0 when none of them refused."""
    wanted = _filter(chosen, presumed)
    body = {"action": action, "filter": wanted, "why": why or "asked for on the command line"}
    looked = elsewhere.post("/jobs/actions", {**body, "dry_run": True})
    counts, total = looked["count"], looked["total"]
    if chosen["batch"] is not None and not total:
        elsewhere.get(f"/batches/{chosen['batch']}")  # raises where there is none
    if not _may_go_on(counts, total, chosen, as_json=as_json):
        return 0
    verdicts: list[dict[str, Any]] = []
    place: dict[str, Any] = {"expected": total, "up_to": looked["up_to"]}
    while True:
        answer = elsewhere.post("/jobs/actions", {**body, **place})
        verdicts += answer["jobs"]
        if not as_json:
            for verdict in (each for each in answer["jobs"] if not each["done"]):
                click.echo(f"job {verdict['job_id']}: {verdict['outcome']}", err=True)
        if answer["next"] is None:
            break
        place = {"after": answer["next"], "up_to": answer["up_to"]}
    done = sum(verdict["done"] for verdict in verdicts)
    refused = len(verdicts) - done
    if as_json:
        tell_json({"done": done, "refused": refused, "jobs": verdicts})
    else:
        click.echo(f"{_counted(done, 'job')} changed" + (f", {refused} refused" if refused else ""))
    return 1 if refused else 0


def _filter(chosen: Mapping[str, Any], presumed: tuple[str, ...]) -> dict[str, Any]:
    facts = {
        "batch": chosen["batch"],
        "status": list(chosen["statuses"]),
        "failed_in": chosen["failed_in"],
        "error": chosen["error_class"],
        "bundle": chosen["bundle"],
        "text": chosen["text"],
        "since": _utc(chosen["since"]),
        "until": _utc(chosen["until"]),
    }
    given = {key: value for key, value in facts.items() if value}
    if not given and not chosen["everything"]:
        raise InputError("which jobs? give a job's number, a filter such as --batch, or --all")
    return given if "status" in given else {**given, "status": list(presumed)}


def _may_go_on(
    counts: Mapping[str, int], total: int, chosen: Mapping[str, Any], *, as_json: bool
) -> bool:
    told = ", ".join(f"{number} {status}" for status, number in counts.items())
    if as_json and chosen["dry_run"]:
        tell_json({"jobs": total, "counts": counts})
    elif not as_json:
        many = _counted(total, "job") + (f": {told}" if told else "")
        click.echo(many, err=not chosen["dry_run"])
    if chosen["dry_run"] or not total:
        return False
    if chosen["yes"]:
        return True
    if as_json or not sys.stdin.isatty():
        raise InputError(
            f"{_counted(total, 'job')} would be changed: add --yes, or look with --dry-run"
        )
    return click.confirm("Go on?")


def _one(job: int, outcome: str, as_json: bool) -> int:
    facts = {"job_id": job, "done": True, "outcome": outcome}
    click.echo(json.dumps(facts) if as_json else f"job {job}: {outcome}")
    return 0


def _shown(facts: Mapping[str, Any]) -> Any:
    """An answer with its fields as attributes, for the tables."""
    text = json.dumps(facts)
    return json.loads(text, object_hook=lambda found: SimpleNamespace(**found))


def _row(facts: Mapping[str, Any]) -> RowError:
    findings = tuple(Finding.from_json(each) for each in facts["findings"])
    return RowError(
        line=facts["line"], name=facts["name"], reason=facts["reason"], findings=findings
    )


def _moment(text: str | None) -> str | None:
    """What a person means by it here, with its zone."""
    return parse_deadline(text, datetime.now(UTC).astimezone()).isoformat() if text else None


def _utc(moment: datetime | None) -> str | None:
    return moment.replace(tzinfo=UTC).isoformat() if moment else None


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
