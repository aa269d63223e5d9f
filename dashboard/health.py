"""Is the system alive: the database, the dispatcher, the workers."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError

from barber.catalogue import outbox, room, workers
from barber.catalogue.standing import DISPATCHER
from barber.catalogue.workers import WorkerRow
from dashboard import access, record

blueprint = Blueprint("health", __name__)


def alive(worker: WorkerRow) -> bool:
    """Whether the worker gave a sign of life lately."""
    return worker.alive


@blueprint.get("/health")
@access.open_to_everybody
def health() -> ResponseReturnValue:
    """503 when the catalogue cannot be reached; "degraded" when nobody would do some of it.

    Strangers, such as a load balancer, learn no more than that.
    """
    try:
        with record.transaction() as session:
            rows = workers.listed(session)
            backlog = outbox.backlog(session)
            unserved = workers.unserved(session)
            full_disk = room.full_disk(session)
    except DBAPIError:
        return jsonify(status="down", database="unreachable"), 503
    dispatchers = [w for w in rows if DISPATCHER in w.queues]
    present = [w for w in rows if DISPATCHER not in w.queues and alive(w)]
    whole = bool(present) and any(alive(w) for w in dispatchers)
    whole = whole and not unserved and full_disk is None
    facts: dict[str, Any] = {"status": "ok" if whole else "degraded", "database": "ok"}
    if access.known_visitor() is None:
        return jsonify(facts)
    facts |= {
        "dispatcher_silent_s": min((round(w.silent_s, 1) for w in dispatchers), default=None),
        "workers": [
            {
                "name": w.name,
                "device": w.device,
                "bundle": w.bundle_name,
                "queues": list(w.queues),
                "status": w.status,
                "silent_s": round(w.silent_s, 1),
            }
            for w in present
        ],
        "unserved": [
            {"bundle": u.bundle_name, "digest": u.bundle, "jobs": u.jobs, "why": u.sentence}
            for u in unserved
        ],
        "full_disk": full_disk,
        "outbox": {"messages": backlog.count, "oldest_s": backlog.oldest_s},
    }
    return jsonify(facts)
