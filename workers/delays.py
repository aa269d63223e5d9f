"""The queues in which RabbitMQ keeps a message until its time has come.

Celery's workers declare them when they start. A publisher that came first, to a new broker or to
one that lost everything, would find them missing: so it declares them itself.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from celery import Celery
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    declare_native_delayed_delivery_exchanges_and_queues,
)

from workers.app import AMQP_SCHEMES, cpu_queue


def declare_delays(app: Celery) -> None:
    """Makes RabbitMQ ready for messages with a delay; other brokers need nothing.

    Only the chords' poller has a delay, and it ends in the queue of the fan-in: that one is
    declared as well, for a message that finds no queue when its time has come is dropped.

    Raises:
        kombu.exceptions.KombuError, OSError: The broker is away or refuses.
    """
    if urlsplit(app.conf.broker_url).scheme not in AMQP_SCHEMES:
        return
    with app.connection_for_write() as connection:
        # Else a broker that is away would be waited for, and the dispatcher's ticks with it.
        connection.ensure_connection(**app.conf.task_publish_retry_policy)
        queue = app.amqp.queues[cpu_queue(app)]
        queue.bind(connection.default_channel).declare()
        kind = str(app.conf.broker_native_delayed_delivery_queue_type)
        declare_native_delayed_delivery_exchanges_and_queues(connection, kind)
        bind_queue_to_native_delayed_delivery_exchange(connection, queue)
