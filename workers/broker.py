"""The broker at the door: who is refused hears it in one sentence, who finds nobody waits."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from celery import Celery

from barber.errors import SettingsError
from workers.app import AMQP_SCHEMES

log = logging.getLogger(__name__)

# By name, so that only the client library that the address needs is ever imported.
REFUSALS = ("AccessRefused", "NotAllowed", "AuthenticationError", "AuthorizationError")


def check_broker(app: Celery) -> None:
    """Connects once. A broker that is away is no error: it may come, and the outbox keeps.

    Raises:
        SettingsError: The broker knows no such user, password or virtual host, or has a queue of
            ours that is of another kind.
    """
    with app.connection_for_write() as connection:
        errors = (OSError, *connection.connection_errors, *connection.channel_errors)
        try:
            connection.connect()
            channel = connection.default_channel  # Redis is first spoken to here
            if urlsplit(app.conf.broker_url).scheme in AMQP_SCHEMES:
                for queue in app.amqp.queues.values():  # Celery binds them all before it consumes
                    queue(channel).declare()
        except errors as error:
            address = connection.as_uri()  # without its password
            if any(kind.__name__ in REFUSALS for kind in type(error).__mro__):
                raise SettingsError(
                    f"the broker {address} refuses us ({_said(error)}): correct the user, the "
                    "password or the path in BARBER_BROKER_URL"
                ) from error
            if any(kind.__name__ == "PreconditionFailed" for kind in type(error).__mro__):
                raise SettingsError(
                    f"the broker {address} has a queue of ours in another form ({_said(error)}): "
                    "delete it there with `rabbitmqctl delete_queue`"
                ) from error
            log.warning(
                "the broker %s cannot be reached (%s): waiting for it; is BARBER_BROKER_URL right?",
                address,
                _said(error),
            )


def _said(error: BaseException) -> str:
    """What the broker said, on one line."""
    return " ".join(str(error).split()) or type(error).__name__
