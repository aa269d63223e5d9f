"""`retry`, `cancel`, `pause`, `resume`, `priority`: what operators do, to one job or to many.

A verb takes a job's number, or a filter. With a filter it first says how many jobs it meets, and
asks (or wants `--yes`); then it tells of each job that refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from barber.catalogue import bulk, operate, rework, selection
from barber.catalogue.audit import local_user
from barber.catalogue.bulk import Action
from barber.catalogue.db import transaction
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.cli import remote_queue
from barber.cli.catalogue import Connection, catalogue_options, connect
from barber.cli.deadlines import deadline_here
from barber.cli.remote import remote, server_option
from barber.errors import InputError, NotFound
from barber.plan import StageKind

F = TypeVar("F", bound=Callable[..., object])

WHY = "asked for on the command line"
FAILED = (JobStatus.FAILED, JobStatus.CANCELLED)
OPEN = (JobStatus.QUEUED, JobStatus.RUNNING)
# What chooses jobs where no number is given, by the name of its argument.
FILTERS = (
    "batch",
    "statuses",
    "failed_in",
    "error_class",
    "bundle",
    "text",
    "since",
    "until",
    "everything",
)

why_option = click.option("--why", default=WHY, help="Kept with the job.")


def filter_options(verb: F) -> F:
    """The options that choose jobs where no number is given, and those of every bulk action."""
    for option in reversed(
        (
            click.option("--batch", type=int, help="Jobs of this batch."),
            click.option(
                "--status",
                "statuses",
                multiple=True,
                type=click.Choice([s.value for s in JobStatus]),
                help="Jobs with this status; repeatable.",
            ),
            click.option(
                "--failed-in",
                type=click.Choice([k.value for k in StageKind]),
                help="Jobs of which such a stage has failed.",
            ),
            click.option("--error", "error_class", help="Jobs that failed of this class of error."),
            click.option("--bundle", help="Jobs on this bundle."),
            click.option("--text", help="Jobs with this in their name or error."),
            click.option("--since", type=click.DateTime(), help="Submitted then or later (UTC)."),
            click.option("--until", type=click.DateTime(), help="Submitted before (UTC)."),
            click.option("--all", "everything", is_flag=True, help="All jobs."),
            click.option(
                "--dry-run", is_flag=True, help="Only say what would be done, or to how many."
            ),
            click.option("--yes", is_flag=True, help="Do not ask before many jobs are changed."),
        )
    ):
        verb = option(verb)
    return verb


@click.command()
@click.argument("job", type=int, required=False)
@click.option("--stage", type=int, help="Only this failed stage of the job.")
@click.option(
    "--from",
    "from_kind",
    type=click.Choice([k.value for k in StageKind]),
    help="Run these stages again, and everything after them, although they succeeded.",
)
@click.option(
    "--params",
    help='Other parameters as JSON, {"align": {"identity_steps": 9}}; runs what they change.',
)
@click.option("--deadline", help="By when: 06:30, 2h, ..; else one that has passed is taken away.")
@why_option
@filter_options
@server_option
@catalogue_options
@click.pass_obj
def retry(
    environ: Mapping[str, str],
    /,
    job: int | None,
    stage: int | None,
    from_kind: str | None,
    params: str | None,
    deadline: str | None,
    why: str,
    server: str | None,
    home: Path | None,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Run the failed stages of jobs again, and what depends on them."""
    if sum(option is not None for option in (stage, from_kind, params)) > 1:
        raise InputError("--stage, --from and --params exclude each other: give one of them")
    if stage is not None and job is None:
        raise InputError(f"--stage {stage} is a stage of one job: give the job's number too")
    if deadline is not None and (from_kind or params):
        raise InputError("--deadline goes with a plain retry: set it before with `barber deadline`")
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            body = remote_queue.Retry(
                stage=stage,
                from_kind=from_kind,
                params=_params(params),
                deadline=deadline,
                why=why,
            )
            return remote_queue.retry(elsewhere, job, body, chosen, as_json=as_json)
    changes, by = _params(params), local_user()
    moment = _moment(environ, home, deadline) if deadline else None

    def action(session: Any, job_id: int) -> str:
        if from_kind is not None:
            kind = StageKind(from_kind)
            count = rework.run_from(session, job_id, kind, by=by, why=why)
        elif changes is not None:
            count = rework.change_params(session, job_id, changes, by=by, why=why)
        else:
            count = rework.retry(session, job_id, by=by, stage_id=stage, deadline=moment, why=why)
        return f"{_counted(count, 'stage')} set back"

    presumed = (*FAILED, JobStatus.SUCCEEDED) if from_kind or params else FAILED
    return _carry_out(environ, home, job, chosen, action, presumed, as_json)


@click.command()
@click.argument("job", type=int, required=False)
@why_option
@filter_options
@server_option
@catalogue_options
@click.pass_obj
def cancel(
    environ: Mapping[str, str],
    /,
    job: int | None,
    why: str,
    server: str | None,
    home: Path | None,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Stop jobs; what runs stops at its next step."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            return remote_queue.cancel(elsewhere, job, why, chosen, as_json=as_json)

    def action(session: Any, job_id: int) -> str:
        status = operate.cancel(session, job_id, by=local_user(), why=why)
        return "cancelled" if status is JobStatus.CANCELLED else "stops"

    return _carry_out(environ, home, job, chosen, action, OPEN, as_json)


@click.command()
@click.argument("job", type=int)
@click.argument("priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]))
@why_option
@catalogue_options
@click.pass_obj
def priority(
    environ: Mapping[str, str],
    job: int,
    priority: int,
    why: str,
    home: Path | None,
    as_json: bool,
) -> None:
    """Move a job forward (or, below 0, back) among those that wait; after `--` when negative."""
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        operate.set_priority(session, job, priority, by=local_user(), why=why)
    sentence = f"job {job} has priority {priority}"
    click.echo(json.dumps({"job_id": job, "priority": priority}) if as_json else sentence)


@click.command()
@click.argument("when")
@click.argument("job", type=int, required=False)
@why_option
@filter_options
@catalogue_options
@click.pass_obj
def deadline(
    environ: Mapping[str, str],
    /,
    when: str,
    job: int | None,
    why: str,
    home: Path | None,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Say by WHEN jobs must have ended (06:30, 2h, 2026-11-23T06:30), or none."""
    moment = None if when == "none" else _moment(environ, home, when)

    def action(session: Any, job_id: int) -> str:
        operate.set_deadline(session, job_id, moment, by=local_user(), why=why)
        return f"ends by {moment.isoformat(' ', 'minutes')}" if moment else "may take its time"

    return _carry_out(environ, home, job, chosen, action, OPEN, as_json)


def _moment(environ: Mapping[str, str], home: Path | None, text: str) -> datetime:
    with connect(environ, home) as connection:
        return deadline_here(connection, text)


def pause_options(verb: F) -> F:
    """What `pause` and `resume` act on."""
    for option in reversed(
        (
            click.argument("job", type=int, required=False),
            click.option("--batch", type=int, help="A whole batch."),
            click.option("--all", "everything", is_flag=True, help="Everything."),
            why_option,
            catalogue_options,
            click.pass_obj,
        )
    ):
        verb = option(verb)
    return verb


@click.command()
@pause_options
def pause(environ: Mapping[str, str], **chosen: Any) -> None:
    """Hand out nothing new of a job, a batch or everything; what runs finishes."""
    _set_paused(environ, paused=True, **chosen)


@click.command()
@pause_options
def resume(environ: Mapping[str, str], **chosen: Any) -> None:
    """End a pause; a job or batch that was paused by itself stays so."""
    _set_paused(environ, paused=False, **chosen)


def _set_paused(
    environ: Mapping[str, str],
    *,
    paused: bool,
    job: int | None,
    batch: int | None,
    everything: bool,
    why: str,
    home: Path | None,
    as_json: bool,
) -> None:
    if sum((job is not None, batch is not None, everything)) != 1:
        raise InputError("pause or resume what? give a job's number, or --batch NUMBER, or --all")
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        if job is not None:
            operate.pause(session, job, by=local_user(), why=why, paused=paused)
        elif batch is not None:
            operate.pause_batch(session, batch, by=local_user(), why=why, paused=paused)
        else:
            operate.pause_all(session, by=local_user(), why=why, paused=paused)
    _tell_pause("is paused" if paused else "goes on", job, batch, paused=paused, as_json=as_json)


def _tell_pause(
    what: str, job: int | None, batch: int | None, *, paused: bool, as_json: bool
) -> None:
    if as_json:
        click.echo(json.dumps({"job_id": job, "batch_id": batch, "paused": paused}))
        return
    whose = f"job {job}" if job is not None else f"batch {batch}" if batch else "everything"
    click.echo(f"{whose} {what}")


def _params(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        changes = json.loads(text)
    except ValueError as error:
        raise InputError(f"--params is no JSON ({error}): write {{'stage': {{..}}}}") from error
    if not isinstance(changes, dict) or not changes:
        raise InputError('--params is no object of stages: write {"blend": {"steps": 200}}')
    return changes


def _carry_out(
    environ: Mapping[str, str],
    home: Path | None,
    job: int | None,
    chosen: Mapping[str, Any],
    action: Action,
    presumed: tuple[JobStatus, ...],
    as_json: bool,
) -> int:
    """One job, or all that a filter meets; 0 when none of them refused."""
    if job is not None and any(chosen[name] for name in FILTERS):
        raise InputError(f"give the number {job} or a filter such as --batch, not both")
    with connect(environ, home) as connection:
        if job is not None:
            outcome = _one(connection, job, action, dry_run=chosen["dry_run"])
            facts = {"job_id": job, "done": not chosen["dry_run"], "outcome": outcome}
            told = f"job {job}: {outcome}" + (" (not done: --dry-run)" * chosen["dry_run"])
            click.echo(json.dumps(facts) if as_json else told)
            return 0
        found = _selection(chosen, presumed)
        if not _may_go_on(connection, found, chosen, as_json=as_json):
            return 0
        return _tell_each(connection, found, action, as_json=as_json)


def _one(connection: Connection, job: int, action: Action, *, dry_run: bool) -> str:
    """What became of a job, or would become of it; raises when it refuses."""
    with transaction(connection.engine) as session:
        trial = session.begin_nested()
        outcome = action(session, job)
        if dry_run:
            trial.rollback()
    return outcome


def _selection(chosen: Mapping[str, Any], presumed: tuple[JobStatus, ...]) -> Selection:
    """The filter as given; of jobs that the verb can act on, unless a status was named."""
    found = Selection(
        batch_id=chosen["batch"],
        statuses=tuple(JobStatus(word) for word in chosen["statuses"]),
        stage=StageKind(chosen["failed_in"]) if chosen["failed_in"] else None,
        error_class=chosen["error_class"],
        bundle=chosen["bundle"],
        text=chosen["text"],
        since=_utc(chosen["since"]),
        until=_utc(chosen["until"]),
    )
    if found.is_everything and not chosen["everything"]:
        raise InputError("which jobs? give a job's number, a filter such as --batch, or --all")
    return found if found.statuses else found.of(*presumed)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


def _may_go_on(
    connection: Connection, found: Selection, chosen: Mapping[str, Any], *, as_json: bool
) -> bool:
    """Says how many jobs a filter meets, and asks unless told not to."""
    with transaction(connection.engine) as session:
        if found.batch_id is not None and not selection.batch_exists(session, found.batch_id):
            raise NotFound(f"no batch {found.batch_id}")
        counts = selection.count(session, found)
    total = sum(counts.values())
    told = ", ".join(f"{number} {status}" for status, number in counts.items())
    if as_json and chosen["dry_run"]:
        click.echo(json.dumps({"jobs": total, "counts": counts}))
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


def _tell_each(connection: Connection, found: Selection, action: Action, *, as_json: bool) -> int:
    verdicts = []
    for verdict in bulk.each(connection.engine, found, action):
        verdicts.append(verdict)
        if not as_json and not verdict.done:
            click.echo(f"job {verdict.job_id}: {verdict.outcome}", err=True)
    done = sum(verdict.done for verdict in verdicts)
    refused = len(verdicts) - done
    if as_json:
        told = [{"job_id": v.job_id, "done": v.done, "outcome": v.outcome} for v in verdicts]
        click.echo(json.dumps({"done": done, "refused": refused, "jobs": told}))
    else:
        click.echo(f"{_counted(done, 'job')} changed" + (f", {refused} refused" if refused else ""))
    return 1 if refused else 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
