"""How everything stands, in the few facts that tell whether the night will go well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from barber.catalogue import counts, dead, outlook, workers
from barber.catalogue.dead import DeadGroup
from barber.catalogue.outlook import Outlook
from barber.catalogue.status import JobStatus

DISPATCHER: Final = "dispatcher"  # the queue name under which the dispatcher reports itself
MOST_CAUSES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Jobs by status, how it will go on, and what fails most."""

    counts: Mapping[JobStatus, int]
    ahead: Outlook
    causes: Sequence[DeadGroup]


def standing(session: Session, *, owner: int | None = None) -> Standing:
    """How the jobs of everybody stand, or those of `owner`."""
    listed = workers.listed(session)
    dispatching = any(DISPATCHER in row.queues and row.alive for row in listed)
    return Standing(
        counts=counts.totals(session, owner=owner),
        ahead=outlook.look_ahead(session, owner=owner, dispatching=dispatching),
        causes=dead.groups(session, owner=owner, most=MOST_CAUSES),
    )
