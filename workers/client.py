"""What others may ask of the queue. The catalogue decides; these are hints that save time."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def message_id(stage_id: int, generation: int) -> str:
    """The Celery id of the message that asks for one stage."""
    return f"stage-{stage_id}-{generation}"


def revoke(app: Celery, stages: Iterable[tuple[int, int]]) -> bool:
    """Asks the workers to drop the messages of these (stage id, generation) pairs unread.

    Best effort: the message of a cancelled stage finds nothing to claim in any case.

    Returns:
        Whether the broker took the request.
    """
    ids = [message_id(stage_id, generation) for stage_id, generation in stages]
    try:
        app.control.revoke(ids)
    except (OperationalError, OSError) as error:
        log.warning("the broker cannot be reached, messages are not revoked: %s", error)
        return False
    return True
