"""What a worker does with a message that is none of ours: records it, and goes on.

Celery itself logs and drops such messages; these are the four places where it does.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from sqlalchemy.exc import SQLAlchemyError

from barber.catalogue import refusals
from barber.catalogue.db import open_engine, transaction
from barber.settings import Settings

log = logging.getLogger(__name__)


class Consumer(CeleryConsumer):
    """Celery's, which tells the catalogue what it refuses."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """A body that is no JSON, or a content type that we do not accept."""
        refuse(f"the message cannot be read ({type(exc).__name__})", _headers(message))
        super().on_decode_error(message, exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """No task message at all."""
        refuse("the message is no task", body)
        super().on_unknown_message(body, message)

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task that this program does not have."""
        refuse("no task of that name is ours", _headers(message) or body)
        super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A task whose arguments cannot be read, or are none."""
        refuse(f"the message cannot be read ({type(exc).__name__})", _headers(message))
        super().on_invalid_task(body, message, exc)


def refuse(reason: str, message: object) -> None:
    """Records a refused message in a connection of its own: they are rare, and few may stay open.

    A catalogue that is away must not stop the worker; its log has the message in any case.
    """
    log.error("a message is refused: %s", reason, extra={"reason": reason})
    engine = open_engine(Settings.from_env(os.environ), application="refusals")
    try:
        with transaction(engine) as session:
            refusals.record(session, refusals.Source.BROKER, reason, message)
    except SQLAlchemyError as error:
        log.warning("the refusal is not recorded: %s", error)
    finally:
        engine.dispose()


def _headers(message: Any) -> dict[str, Any]:
    """What tells one stranger from another: the task's name and its arguments in words."""
    headers = message.headers or {}
    told = {name: headers[name] for name in ("task", "argsrepr", "id") if headers.get(name)}
    return told or {"content_type": message.content_type}
