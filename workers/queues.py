"""`python -m workers.queues --delete`: takes a system's queues off its broker.

For systems that come and go, such as a chaos run on a broker that others use too: only what bears
the setting BARBER_QUEUE_PREFIX is touched, and without one nothing is. Celery's own queues for
messages with a delay (`celery_delayed_..`) belong to everybody on a RabbitMQ and stay.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from celery import Celery

from barber.chaos.rules import TOY_DIGEST
from barber.errors import BarberError, InputError
from barber.settings import Settings
from workers.app import EXCHANGE, add_stage_queue, create_app


def delete_queues(app: Celery, settings: Settings) -> int:
    """Deletes queues, exchanges and, on Redis, every key of the prefix; returns how many.

    Raises:
        InputError: The settings have no prefix: then the queues may be anybody's.
    """
    prefix = settings.queue_prefix
    if not prefix:
        raise InputError("BARBER_QUEUE_PREFIX is not set: only queues with a prefix are deleted")
    scheme = urlsplit(settings.broker_url).scheme
    if scheme == "filesystem":
        return 0  # they lie in the system's own home
    if scheme.startswith("redis"):
        return _delete_keys(settings.broker_url, prefix)
    add_stage_queue(app, TOY_DIGEST)
    names = list(app.amqp.queues)
    with app.connection_for_write() as connection, connection.channel() as channel:
        for name in names:
            channel.queue_delete(queue=name)
        # Of stages, and those through which Celery's own remarks travel.
        control = f"{prefix}celery.pidbox"
        for exchange in (prefix + EXCHANGE, control, f"reply.{control}"):
            channel.exchange_delete(exchange)
    return len(names)


def _delete_keys(url: str, prefix: str) -> int:
    from redis import Redis

    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
    with Redis.from_url(url) as client:
        return sum(int(client.delete(key)) for key in client.scan_iter(match=pattern, count=500))


def main(arguments: Sequence[str] | None = None) -> int:
    """Deletes the queues; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.queues", description=__doc__)
    parser.add_argument("--delete", action="store_true", required=True)
    parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ)
        count = delete_queues(create_app(settings), settings)
    except (BarberError, OSError) as error:
        sys.stderr.write(f"the queues stay: {error}\n")
        return 2
    sys.stdout.write(f"{count} deleted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
