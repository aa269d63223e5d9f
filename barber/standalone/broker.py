"""Whether anybody listens at the broker's address, before a system is started on it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from barber.errors import SettingsError

PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}
PATIENCE_S = 5.0


def check_broker_address(url: str) -> None:
    """Opens and closes a connection; the folder broker needs none.

    Raises:
        SettingsError: Nobody listens there.
    """
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        return
    host, port = parts.hostname or "127.0.0.1", parts.port or PORTS[parts.scheme]
    try:
        socket.create_connection((host, port), timeout=PATIENCE_S).close()
    except OSError as error:
        raise SettingsError(
            f"no broker answers at {host}:{port} ({error.strerror or error}): start it, correct "
            "BARBER_BROKER_URL, or leave that out for the broker in a folder"
        ) from error
