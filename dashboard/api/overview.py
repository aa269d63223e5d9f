"""What the overview shows: jobs by status, how fast it goes, until when, and what fails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from barber.catalogue import outlook
from barber.catalogue.people_tables import Role
from barber.catalogue.standing import standing
from barber.catalogue.status import JobStatus
from barber.plan import StageKind
from dashboard import access, record
from dashboard.api.attention import Failures
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain
from dashboard.api.shapes import Given


class Estimate(Given):
    """When a batch will be done, or why nobody can say."""

    batch_id: int
    open: int = Field(description="Jobs that have not ended.")
    seconds: float | None
    done_at: datetime | None
    reason: str = Field(description="Why there is no estimate.")
    position: int | None = Field(description="In the order of ending, from 1.")
    batches: int = Field(description="That share its workers, itself included.")


class Rate(Given):
    """What stages of one kind took lately, in seconds."""

    kind: StageKind
    bundle: str
    stages: int
    ran: int = Field(description="Of these; the others found their artifact made already.")
    seconds: float = Field(description="On average over all.")
    run_s: float = Field(description="On average over those that ran.")


class Throughput(Given):
    """Jobs that succeeded lately."""

    window: str
    jobs: int
    per_hour: float


class Overview(Given):
    """How everything stands."""

    counts: Mapping[JobStatus, int]
    throughput: list[Throughput]
    whole: Estimate | None = Field(description="Of the batch that is done last.")
    estimates: list[Estimate]
    rests_on: str
    rates: list[Rate]
    workers: int
    failures: list[Failures] = Field(description="The five commonest causes.")


@endpoint("GET", "/overview", role=Role.VIEWER, answer=Overview, tag="system")
def overview() -> dict[str, Any]:
    """Jobs by status, throughput, estimates of all open batches, the commonest failures."""
    with record.transaction() as session:
        found = standing(session, owner=access.owner())
    ahead = found.ahead
    return {
        "counts": found.counts,
        "throughput": [plain(each) for each in ahead.throughput],
        "whole": _estimate(ahead.whole) if ahead.whole else None,
        "estimates": [_estimate(each) for each in ahead.estimates.values()],
        "rests_on": ahead.rests_on,
        "rates": [plain(each) for each in ahead.rates],
        "workers": ahead.workers,
        "failures": [plain(each) | {"key": each.common.key} for each in found.causes],
    }


def _estimate(estimate: outlook.Estimate) -> dict[str, Any]:
    return plain(estimate) | {"done_at": estimate.done_at(datetime.now(UTC))}
