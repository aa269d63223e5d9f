"""The options that choose jobs: the console's filter, for lists and for what is done to many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from barber.catalogue.operate import PRIORITIES
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.errors import InputError
from barber.plan import StageKind

F = TypeVar("F", bound=Callable[..., object])

CAUSE_DIGITS: Final = 16
# The fields of a selection as the API calls them.
API_NAMES: Final = {
    "batch_id": "batch",
    "statuses": "status",
    "stage": "failed_in",
    "error_class": "error",
}
STATUSES, KINDS = ([str(each) for each in words] for words in (JobStatus, StageKind))

# By the name of their argument, which is the selection's field.
CONDITIONS: Final = {
    "batch_id": click.option("--batch", "batch_id", type=int, help="Jobs of this batch."),
    "statuses": click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice(STATUSES),
        help="Jobs with this status; repeatable.",
    ),
    "stage": click.option(
        "--failed-in",
        "stage",
        type=click.Choice(KINDS),
        help="Jobs of which such a stage has failed.",
    ),
    "error_class": click.option(
        "--error", "error_class", help="Jobs that failed of this class of error."
    ),
    "cause": click.option("--cause", help="Jobs that failed of this cause: `barber dead`."),
    "bundle": click.option("--bundle", help="Jobs on this bundle."),
    "person": click.option("--person", help="Jobs that this person submitted."),
    "priority": click.option(
        "--priority",
        type=click.IntRange(PRIORITIES[0], PRIORITIES[-1]),
        help="Jobs of this priority.",
    ),
    "text": click.option(
        "--text", help="Jobs with this in their name or error, their batch's name, or their keys."
    ),
    "since": click.option("--since", type=click.DateTime(), help="Submitted then or later (UTC)."),
    "until": click.option("--until", type=click.DateTime(), help="Submitted before (UTC)."),
}


def conditions(verb: F) -> F:
    """The options of the filter."""
    for option in reversed(CONDITIONS.values()):
        verb = option(verb)
    return verb


def many_options(verb: F) -> F:
    """The filter, and what goes with changing all jobs that it meets."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask before many jobs are changed."),
        click.option(
            "--dry-run", is_flag=True, help="Only say what would be done, or to how many."
        ),
        click.option("--all", "everything", is_flag=True, help="All jobs."),
    ):
        verb = option(verb)
    return conditions(verb)


def selection(chosen: Mapping[str, Any]) -> Selection:
    """The filter as given. Raises InputError for what is none."""
    given = {name: chosen[name] for name in CONDITIONS}
    cause = given["cause"]
    if cause is not None and (len(cause) != CAUSE_DIGITS or set(cause) - set("0123456789abcdef")):
        raise InputError(f"--cause {cause[:40]!r} is none: `barber dead` tells them")
    given["statuses"] = tuple(JobStatus(word) for word in given["statuses"])
    given["stage"] = StageKind(given["stage"]) if given["stage"] else None
    given |= {name: _utc(given[name]) for name in ("since", "until")}
    return Selection(**given)


def for_api(chosen: Selection) -> dict[str, Any]:
    """The filter as the API takes it."""
    return {API_NAMES.get(name, name): value for name, value in chosen.to_json().items()}


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
