"""What waits for a person: failures by cause, what is paused, what nobody would do."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError

from barber.catalogue import counts, dead
from barber.catalogue.people_tables import Role
from barber.catalogue.status import JobStatus
from dashboard import access, live, record

blueprint = Blueprint("attention", __name__, url_prefix="/attention")

POLL_S = 5
SLOW_S = 30.0  # a message that waits longer for the broker is worth a line


@blueprint.get("")
@access.needs(Role.VIEWER)
@live.streamed(shared=True)
def index() -> ResponseReturnValue:
    """Everything that will not move by itself."""
    mine = access.owner()
    with record.transaction() as session:
        found = dead.dead(session, owner=mine)
    slow = found.outbox.oldest_s > SLOW_S
    system = bool(found.refused or found.quarantined or slow)
    return live.render(
        "attention.html",
        "_attention.html",
        poll_s=POLL_S,
        dead=found,
        unserved=found.unserved,
        slow=slow,
        nothing=not (found.groups or found.held or found.unserved or found.full_disk or system),
        operates=access.may(Role.OPERATOR),
    )


def failed_jobs() -> int:
    """How many jobs of the visitor's have failed for good, for the header; cheap at any size."""
    try:
        with record.transaction() as session:
            return counts.totals(session, owner=access.owner())[JobStatus.FAILED]
    except DBAPIError:
        return 0  # the page that tells of it has this header too
