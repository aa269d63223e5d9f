"""Bulk actions: a wish about many jobs, done in the background, with a report for each job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from flask import url_for
from pydantic import Field

from barber.catalogue import bulk_actions, jobs
from barber.catalogue.bulk_actions import BulkRow, Wish
from barber.catalogue.bulk_tables import BulkStatus, BulkVerb
from barber.catalogue.people_tables import Role
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from dashboard import access, record
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import next_of, plain, selection_of
from dashboard.api.shapes import Asked, Filter, Given, Id, Paging, Priority
from dashboard.paging import page_of


class BulkAsked(Asked):
    """What shall be done to the jobs of a filter, or to those named; look with `dry_run` first."""

    verb: BulkVerb
    filter: Filter = Field(default_factory=Filter)
    job_ids: list[Id] = Field(default_factory=list, max_length=1000, description="Instead.")
    priority: Priority | None = Field(None, description="For the verb priority, and no other.")
    everything: bool = Field(False, description="Needed for a filter without any condition.")
    why: Annotated[str, Field(max_length=500, description="Needed unless `dry_run`.")] = ""
    dry_run: bool = Field(False, description="Only count.")
    expected: int | None = Field(None, description="The total that was shown; another is refused.")


class Outlook(Given):
    """What it comes to, as far as the jobs' status tells."""

    total: int
    touched: int
    left: Mapping[JobStatus, int] = Field(description="Jobs that are left alone, by status.")
    why_left: str


class Bulk(Given):
    """A bulk action and how far it is."""

    id: int
    verb: BulkVerb
    argument: Mapping[str, Any]
    filter: Mapping[str, Any]
    why: str
    who: str
    status: BulkStatus
    total: int
    done: int
    skipped: int
    progress: float = Field(ge=0, le=1)
    stopped_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    page: str = Field(description="Path of its page in the console.")


class BulkMade(Given):
    """What it comes to, and the bulk action; none after `dry_run`."""

    outlook: Outlook
    bulk: Bulk | None


class OneBulk(Given):
    """One bulk action."""

    bulk: Bulk


class Bulks(Given):
    """A page of bulk actions, newest first."""

    bulks: list[Bulk]
    next: str | None


class BulkJob(Given):
    """What became of one job."""

    job_id: int
    name: str | None = Field(description="None: the job is gone.")
    done: bool | None = Field(description="None: it has not come to it yet.")
    outcome: str | None
    status: JobStatus | None = Field(description="Of the job, now.")


class BulkJobs(Given):
    """A page of the report, by the jobs' ids."""

    jobs: list[BulkJob]
    next: str | None


class ReportAsked(Asked):
    """Which part of the report."""

    skipped: bool = Field(False, description="Only jobs that were left alone.")
    after: int = Field(0, ge=0, le=2**63 - 2)
    limit: int = Field(50, ge=1, le=1000)


@endpoint("POST", "/bulk", role=Role.OPERATOR, answer=BulkMade, tag="bulk")
def ask_bulk(json: BulkAsked) -> dict[str, Any]:
    """Does one thing to all jobs of a filter, in the background; or only counts them."""
    chosen = selection_of(json.filter)
    if json.job_ids:
        chosen = Selection(job_ids=tuple(json.job_ids), owner=access.owner())
    with record.transaction() as session:
        if chosen.batch_id is not None:
            jobs.batch(session, chosen.batch_id, owner=access.owner())
        outlook = bulk_actions.forecast(session, json.verb, chosen)
        made = None
        if not json.dry_run:
            wish = Wish(
                verb=json.verb,
                chosen=chosen,
                why=json.why,
                priority=json.priority,
                everything=json.everything,
            )
            bulk_id = bulk_actions.create(session, wish, by=access.by(), expected=json.expected)
            made = _facts(bulk_actions.one(session, bulk_id))
    return {"outlook": plain(outlook), "bulk": made}


@endpoint("GET", "/bulk", role=Role.VIEWER, answer=Bulks, tag="bulk")
def bulks(query: Paging) -> dict[str, Any]:
    """Bulk actions, newest first."""
    with record.transaction() as session:
        page = page_of(
            lambda limit: bulk_actions.listed(
                session, limit=limit, before=query.before, owner=access.owner()
            ),
            key=lambda row: row.id,
            size=query.limit,
        )
    return {"bulks": [_facts(row) for row in page.rows], "next": next_of(page)}


@endpoint("GET", "/bulk/<id:bulk_id>", role=Role.VIEWER, answer=OneBulk, tag="bulk")
def one_bulk(bulk_id: int) -> dict[str, Any]:
    """How far a bulk action is."""
    with record.transaction() as session:
        row = bulk_actions.one(session, bulk_id, owner=access.owner())
    return {"bulk": _facts(row)}


@endpoint("GET", "/bulk/<id:bulk_id>/jobs", role=Role.VIEWER, answer=BulkJobs, tag="bulk")
def bulk_jobs(bulk_id: int, query: ReportAsked) -> dict[str, Any]:
    """What became of each job."""
    with record.transaction() as session:
        bulk_actions.one(session, bulk_id, owner=access.owner())
        page = page_of(
            lambda limit: bulk_actions.report(
                session, bulk_id, skipped=query.skipped, limit=limit, after=query.after
            ),
            key=lambda row: row.job_id,
            size=query.limit,
        )
    return {"jobs": [plain(row) for row in page.rows], "next": next_of(page, "after")}


@endpoint("POST", "/bulk/<id:bulk_id>/stop", role=Role.OPERATOR, answer=OneBulk, tag="bulk")
def stop_bulk(bulk_id: int) -> dict[str, Any]:
    """Ends a bulk action; what it has done stays done."""
    with record.transaction() as session:
        row = bulk_actions.stop(session, bulk_id, by=access.by(), owner=access.owner())
    return {"bulk": _facts(row)}


def _facts(row: BulkRow) -> dict[str, Any]:
    page = url_for("bulk.show", bulk_id=row.id)
    return plain(row) | {"progress": row.progress, "page": page}
