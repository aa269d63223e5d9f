"""What operators do to jobs: retry, cancel, pause, resume, priority, deadline, delete.

A verb takes a job's number, or a filter. With a filter it first says how many jobs it meets, and
asks (or wants `--yes`); then it tells of each job that refused. What may take long is better left
to `barber bulk`, which goes on when the terminal is closed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from barber.catalogue.deeds import Deed, DeedVerb
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.selection import Selection
from barber.cli.catalogue import catalogue_options
from barber.cli.job_filter import many_options, selection
from barber.cli.places import Place, place
from barber.cli.remote import server_option
from barber.errors import InputError
from barber.plan import StageKind

F = TypeVar("F", bound=Callable[..., object])

WHY = "asked for on the command line"

why_option = click.option("--why", default=WHY, help="Kept with the job.")


def place_options(verb: F) -> F:
    """Why, where, and how it is told."""
    return why_option(server_option(catalogue_options(verb)))


@click.command()
@click.argument("job", type=int, required=False)
@click.option("--stage", "stage_id", type=int, help="Only this failed stage of the job.")
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
@many_options
@place_options
@click.pass_obj
def retry(
    environ: Mapping[str, str],
    /,
    job: int | None,
    stage_id: int | None,
    from_kind: str | None,
    params: str | None,
    deadline: str | None,
    **chosen: Any,
) -> int:
    """Run the failed stages of jobs again, and what depends on them."""
    if stage_id is not None and job is None:
        raise InputError(f"--stage {stage_id} is a stage of one job: give the job's number too")
    if deadline is not None and (from_kind or params):
        raise InputError("--deadline goes with a plain retry: set it before with `barber deadline`")

    def deed(where: Place) -> Deed:
        return Deed(
            verb=DeedVerb.RETRY,
            why=chosen["why"],
            stage=stage_id,
            from_kind=StageKind(from_kind) if from_kind else None,
            params=params_of(params),
            deadline=where.moment(deadline) if deadline else None,
        )

    return _carry_out(environ, job, chosen, deed)


@click.command()
@click.argument("job", type=int, required=False)
@many_options
@place_options
@click.pass_obj
def cancel(environ: Mapping[str, str], /, job: int | None, **chosen: Any) -> int:
    """Stop jobs; what runs stops at its next step."""
    return _carry_out(environ, job, chosen, lambda _: Deed(verb=DeedVerb.CANCEL, why=chosen["why"]))


@click.command()
@click.argument("job", type=int, required=False)
@many_options
@place_options
@click.pass_obj
def delete(environ: Mapping[str, str], /, job: int | None, **chosen: Any) -> int:
    """Take jobs that have ended out of the record, with their history; results that no other job
    shares go some days later.
    """
    deed = Deed(verb=DeedVerb.DELETE, why=chosen["why"])
    if job is not None and not (chosen["yes"] or chosen["dry_run"]):
        _confirm(f"job {job} would be deleted, which cannot be undone", chosen["as_json"])
    return _carry_out(environ, job, chosen, lambda _: deed)


@click.command()
@click.argument("job", type=int)
@click.argument("priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]))
@place_options
@click.pass_obj
def priority(
    environ: Mapping[str, str],
    job: int,
    priority: int,
    why: str,
    server: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    """Move a job forward (or, below 0, back) among those that wait; after `--` when negative.

    Many at once: `barber bulk start priority --to 5 --batch 7`.
    """
    deed = Deed(verb=DeedVerb.PRIORITY, why=why, priority=priority)
    with place(environ, server, home) as where:
        done = where.one(job, deed, dry_run=False)
    facts = {"job_id": job, "priority": priority}
    click.echo(json.dumps(facts) if as_json else f"job {job} {done}")


@click.command()
@click.argument("when")
@click.argument("job", type=int, required=False)
@many_options
@place_options
@click.pass_obj
def deadline(environ: Mapping[str, str], /, when: str, job: int | None, **chosen: Any) -> int:
    """Say by WHEN jobs must have ended (06:30, 2h, 2026-11-23T06:30), or none."""

    def deed(where: Place) -> Deed:
        moment = None if when == "none" else where.moment(when)
        return Deed(verb=DeedVerb.DEADLINE, why=chosen["why"], deadline=moment)

    return _carry_out(environ, job, chosen, deed)


def pause_options(verb: F) -> F:
    """What `pause` and `resume` act on."""
    for option in reversed(
        (
            click.argument("job", type=int, required=False),
            click.option("--batch", type=int, help="A whole batch."),
            click.option("--all", "everything", is_flag=True, help="Everything."),
            place_options,
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
    server: str | None,
    home: Path | None,
    as_json: bool,
) -> None:
    if sum((job is not None, batch is not None, everything)) != 1:
        raise InputError("pause or resume what? give a job's number, or --batch NUMBER, or --all")
    deed = Deed(verb=DeedVerb.PAUSE if paused else DeedVerb.RESUME, why=why)
    with place(environ, server, home) as where:
        if job is not None:
            where.one(job, deed, dry_run=False)
        else:
            where.pause(batch, paused=paused, why=why)
    if as_json:
        click.echo(json.dumps({"job_id": job, "batch_id": batch, "paused": paused}))
        return
    whose = f"job {job}" if job is not None else f"batch {batch}" if batch else "everything"
    click.echo(f"{whose} {deed.done}")


def params_of(text: str | None) -> dict[str, Any] | None:
    """Parameters by stage as given. Raises InputError for what are none."""
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
    job: int | None,
    chosen: Mapping[str, Any],
    deed_at: Callable[[Place], Deed],
) -> int:
    """One job, or all that a filter meets; 0 when none of them refused."""
    found, as_json = selection(chosen), chosen["as_json"]
    if job is not None and (not found.is_everything or chosen["everything"]):
        raise InputError(f"give the number {job} or a filter such as --batch, not both")
    with place(environ, chosen["server"], chosen["home"]) as where:
        deed = deed_at(where)
        if job is not None:
            outcome = where.one(job, deed, dry_run=chosen["dry_run"])
            facts = {"job_id": job, "done": not chosen["dry_run"], "outcome": outcome}
            told = f"job {job}: {outcome}" + (" (not done: --dry-run)" * chosen["dry_run"])
            click.echo(json.dumps(facts) if as_json else told)
            return 0
        found = narrowed(found, deed, chosen)
        counts = where.count(found)
        if not may_go_on(counts, chosen):
            return 0
        return _tell_each(where, found, deed, total=sum(counts.values()), as_json=as_json)


def narrowed(found: Selection, deed: Deed, chosen: Mapping[str, Any]) -> Selection:
    """The filter, of jobs that the verb can act on unless a status was named.

    Raises:
        InputError: There is no condition, and `--all` was not said.
    """
    if found.is_everything and not chosen["everything"]:
        raise InputError("which jobs? give a job's number, a filter such as --batch, or --all")
    return found if found.statuses else found.of(*deed.takes)


def may_go_on(counts: Mapping[str, int], chosen: Mapping[str, Any]) -> bool:
    """Says how many jobs a filter meets, and asks unless told not to."""
    total, as_json = sum(counts.values()), chosen["as_json"]
    if as_json and chosen["dry_run"]:
        click.echo(json.dumps({"jobs": total, "counts": counts}))
    elif not as_json:
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        many = counted(total, "job") + (f": {told}" if told else "")
        click.echo(many, err=not chosen["dry_run"])
    if chosen["dry_run"] or not total:
        return False
    return bool(chosen["yes"]) or _confirm(f"{counted(total, 'job')} would be changed", as_json)


def _confirm(what: str, as_json: bool) -> bool:
    """Asks on a terminal; elsewhere wants --yes."""
    if as_json or not sys.stdin.isatty():
        raise InputError(f"{what}: add --yes, or look with --dry-run")
    return click.confirm(f"{what}. Go on?", abort=True)


def _tell_each(where: Place, found: Selection, deed: Deed, *, total: int, as_json: bool) -> int:
    verdicts = []
    for verdict in where.each(found, deed, total=total):
        verdicts.append(verdict)
        if not as_json and not verdict.done:
            click.echo(f"job {verdict.job_id}: {verdict.outcome}", err=True)
    done = sum(verdict.done for verdict in verdicts)
    refused = len(verdicts) - done
    if as_json:
        told = [{"job_id": v.job_id, "done": v.done, "outcome": v.outcome} for v in verdicts]
        click.echo(json.dumps({"done": done, "refused": refused, "jobs": told}))
    else:
        click.echo(f"{counted(done, 'job')} changed" + (f", {refused} refused" if refused else ""))
    return 1 if refused else 0


def counted(number: int, noun: str) -> str:
    """ "1 job", "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
