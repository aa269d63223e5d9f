"""Results to look at: their numbers, accepting and rejecting them, and the way back."""

from __future__ import annotations

from typing import Any

from flask import request, url_for

from barber.catalogue import gallery, owners, verdicts
from barber.catalogue.gallery import Item, Wanted
from barber.catalogue.people_tables import Role
from barber.errors import InputError
from barber.quality import Quality
from dashboard import access, record
from dashboard.api import review_shapes as review
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain


@endpoint("GET", "/results", role=Role.VIEWER, answer=review.Results, tag="results")
def results(query: review.ResultsAsked) -> dict[str, Any]:
    """Results, newest first, or the worst of a batch first."""
    wanted = Wanted(batch_id=query.batch, shown=query.show, order=query.sort, owner=access.owner())
    with record.transaction() as session:
        if query.batch is not None:
            owners.check_batch(session, query.batch, access.owner())
        found, after = gallery.page(session, wanted, limit=query.limit, after=query.after)
    following = None
    if after is not None:
        arguments: dict[str, Any] = {**request.args, "after": after}
        following = url_for(str(request.endpoint), **arguments)
    return {"results": [_facts(item) for item in found], "next": following}


@endpoint(
    "GET", "/jobs/<id:job_id>/review", role=Role.VIEWER, answer=review.OneResult, tag="results"
)
def look(job_id: int) -> dict[str, Any]:
    """A job's result with its numbers and what was decided."""
    with record.transaction() as session:
        owners.check_job(session, job_id, access.owner())
        return {"result": _facts(gallery.item(session, job_id, owner=access.owner()))}


@endpoint("POST", "/results/verdicts", role=Role.OPERATOR, answer=review.VerdictDone, tag="results")
def judge(json: review.VerdictAsked) -> dict[str, Any]:
    """Accepts or rejects results, all in one deed that can be undone."""
    if bool(json.jobs) == (json.batch is not None):
        raise InputError("name either jobs or a batch: one of them is needed")
    with record.transaction() as session:
        if json.batch is not None:
            owners.check_batch(session, json.batch, access.owner())
        wanted = Wanted(
            batch_id=json.batch, job_ids=tuple(json.jobs), shown=json.show, owner=access.owner()
        )
        deed, count = verdicts.decide(session, wanted, json.decision, by=access.by(), why=json.why)
    return {"deed": deed, "results": count}


@endpoint("POST", "/results/undo", role=Role.OPERATOR, answer=review.Undone, tag="results")
def undo(json: review.UndoAsked) -> dict[str, Any]:
    """Takes verdicts back to what held before, wherever nobody decided anew since."""
    with record.transaction() as session:
        count = verdicts.undo(session, json.deed, owner=access.owner(), by=access.by())
    return {"results": count}


def _facts(item: Item) -> dict[str, Any]:
    facts = plain(item, "quality", "result_key", "result_file", "mask_file", "batch_name")
    return facts | {
        "result": item.result_file and url_for("portraits.file", sha256=item.result_file),
        "mask": item.mask_file and url_for("portraits.file", sha256=item.mask_file),
        "references": list(item.references),
        "quality": None if item.quality is None else _numbers(item.quality),
        "page": url_for("results.show", job_id=item.job_id),
    }


def _numbers(found: Quality) -> dict[str, Any]:
    return plain(found) | {"iou": found.iou, "flags": list(found.flags)}
