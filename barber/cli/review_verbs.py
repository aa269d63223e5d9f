"""`accept`, `reject`, `undecide`, `undo`, `clone`: what people do once they have looked at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from barber.catalogue import clones, owners, verdicts
from barber.catalogue.audit import local_user
from barber.catalogue.clones import Changes
from barber.catalogue.db import transaction
from barber.catalogue.gallery import Shown, Wanted
from barber.catalogue.operate import PRIORITIES
from barber.catalogue.review_tables import Decision
from barber.cli.catalogue import catalogue_options, connect
from barber.cli.deadlines import deadline_here
from barber.cli.operator_verbs import counted, params_of, place_options
from barber.cli.places import There
from barber.cli.remote import Remote, remote, server_option
from barber.errors import InputError
from barber.table import MAX_SEED

UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """A verdict on some results, or on all of a batch that are shown so."""

    decision: Decision | None  # None takes verdicts away
    jobs: tuple[int, ...]
    batch: int | None
    show: Shown
    why: str

    def __post_init__(self) -> None:
        if bool(self.jobs) == (self.batch is not None):
            raise InputError("which results? give numbers of jobs, or --batch NUMBER")
        if self.jobs and self.show is not Shown.ALL:
            raise InputError("--show narrows a batch down: give --batch NUMBER with it")


def judging(name: str, decision: Decision | None, help_text: str) -> click.Command:
    """A verb that gives results a verdict."""

    @click.command(name, help=help_text)
    @click.argument("jobs", type=int, nargs=-1)
    @click.option("--batch", type=int, help="All results of this batch.")
    @click.option(
        "--show",
        type=click.Choice([str(each) for each in Shown]),
        default=Shown.ALL.value,
        help="With --batch: only those that the gallery shows under this word.",
    )
    @place_options
    @click.pass_obj
    def verb(
        environ: Mapping[str, str],
        jobs: tuple[int, ...],
        batch: int | None,
        show: str,
        why: str,
        server: str | None,
        home: Path | None,
        as_json: bool,
    ) -> None:
        wish = Deed(decision=decision, jobs=jobs, batch=batch, show=Shown(show), why=why)
        with remote(environ, server, home) as elsewhere:
            done = _judge(environ, home, wish) if elsewhere is None else _ask(elsewhere, wish)
        if as_json:
            click.echo(json.dumps(done))
            return
        word = decision or UNDECIDED
        click.echo(
            f"{counted(done['results'], 'result')} {word}; `barber undo {done['deed']}` takes it "
            "back"
        )

    return verb


accept = judging("accept", Decision.ACCEPTED, "Accept results, by job or of a whole batch.")
reject = judging("reject", Decision.REJECTED, "Reject results, by job or of a whole batch.")
undecide = judging("undecide", None, "Take verdicts on results away.")


@click.command()
@click.argument("deed", type=click.IntRange(min=1))
@server_option
@catalogue_options
@click.pass_obj
def undo(
    environ: Mapping[str, str], deed: int, server: str | None, home: Path | None, as_json: bool
) -> None:
    """Take the verdicts of one deed back, wherever nobody decided anew since."""
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            count = elsewhere.post("/results/undo", {"deed": deed})["results"]
        else:
            with connect(environ, home) as connection, transaction(connection.engine) as session:
                count = verdicts.undo(session, deed, owner=None, by=local_user())
    told = f"{counted(count, 'result')} as before"
    click.echo(json.dumps({"results": count}) if as_json else told)


@click.command()
@click.argument("job", type=int)
@click.option("--name", help="Of the copy.  [default: the job's]")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Another seed of the noise.")
@click.option("--priority", type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]))
@click.option("--params", help='Other parameters as JSON, {"blend": {"steps": 200}}.')
@click.option("--deadline", help="By when it must have ended: 06:30, 2h, ..")
@place_options
@click.pass_obj
def clone(environ: Mapping[str, str], /, job: int, **given: Any) -> None:
    """Queue a job once more, as a job of its own, with what is given changed."""
    server, home = given["server"], given["home"]
    changes = {
        "name": given["name"],
        "seed": given["seed"],
        "priority": given["priority"],
        "params": params_of(given["params"]) or {},
    }
    with remote(environ, server, home) as elsewhere:
        if elsewhere is not None:
            moment = There(elsewhere).moment(given["deadline"]) if given["deadline"] else None
            asked = {name: value for name, value in changes.items() if value is not None}
            asked |= {"deadline": moment.isoformat()} if moment else {}
            copy = elsewhere.post(f"/jobs/{job}/clone", {**asked, "why": given["why"]})["copy_id"]
        else:
            copy = _clone_here(environ, home, job, changes, given)
    facts = {"job_id": job, "copy_id": copy}
    told = f"job {copy} is a copy of job {job}; see it with `barber show {copy}`"
    click.echo(json.dumps(facts) if given["as_json"] else told)


def _judge(environ: Mapping[str, str], home: Path | None, wish: Deed) -> dict[str, int]:
    with connect(environ, home) as connection, transaction(connection.engine) as session:
        if wish.batch is not None:
            owners.check_batch(session, wish.batch, None)
        wanted = Wanted(batch_id=wish.batch, job_ids=wish.jobs, shown=wish.show)
        done = verdicts.decide(session, wanted, wish.decision, by=local_user(), why=wish.why)
    return {"deed": done[0], "results": done[1]}


def _ask(elsewhere: Remote, wish: Deed) -> dict[str, int]:
    body: dict[str, Any] = {"decision": wish.decision, "show": wish.show, "why": wish.why}
    chosen = {"jobs": list(wish.jobs)} if wish.jobs else {"batch": wish.batch}
    answer: dict[str, int] = elsewhere.post("/results/verdicts", body | chosen)
    return answer


def _clone_here(
    environ: Mapping[str, str],
    home: Path | None,
    job: int,
    changes: Mapping[str, Any],
    given: Mapping[str, Any],
) -> int:
    with connect(environ, home) as connection:
        text = given["deadline"]
        moment = deadline_here(connection, text) if text else None
        new = Changes(**changes, deadline=moment)
        with transaction(connection.engine) as session:
            return clones.clone(session, job, new, by=local_user(), why=given["why"])
