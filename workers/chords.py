"""Outbox rows as messages: a single stage, or a job's missing branches as a chord.

The chord's header is one chain per portrait (reconstruct, then its aligns), its body the fan-in
that offers the blend. Every signature is immutable: nothing but ids travels, and no result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from celery import Celery, chain, chord, group
from celery.canvas import Signature

from workers.app import FAN_IN_TASK, STAGE_TASK, add_stage_queue, cpu_queue
from workers.client import message_id

# The chord's poller gives up after so many seconds; the dispatcher's sweep is what remains.
LOOKS_FOR_S = 1800
# One worker of the fan-in queue looks at some forty chords a second (docs/benchmarks.md) and has
# fan-ins to do as well.
LOOKS_PER_S = 20


def look_interval_s(chords: int, workers: int) -> int:
    """How long a chord's poller waits between its looks, in whole seconds as RabbitMQ wants.

    Args:
        chords: How many are open.
        workers: How many serve the fan-in queue; with none, as if there were one.
    """
    return max(1, math.ceil(chords / (LOOKS_PER_S * max(1, workers))))


def publish(app: Celery, topic: str, payload: Mapping[str, Any], *, look_s: int = 1) -> None:
    """Sends one outbox row to the broker.

    Args:
        app: The application.
        topic: Of the row.
        payload: Likewise.
        look_s: Seconds between two looks of a chord's poller.

    Raises:
        kombu.exceptions.OperationalError: The broker cannot be reached.
    """
    if topic == "chord":
        looks = math.ceil(LOOKS_FOR_S / look_s)
        job_chord(app, payload).apply_async(max_retries=looks, interval=look_s)
    else:
        stage_signature(app, payload).apply_async()


def stage_signature(app: Celery, stage: Mapping[str, Any], *, bundle: str = "") -> Signature:
    """The message that asks for one stage: `{"kind", "stage_id", "generation"}`.

    Args:
        app: The application.
        stage: The stage.
        bundle: Digest of the job's bundle; the stage's own entry of that name goes first.
    """
    return app.signature(
        STAGE_TASK.format(kind=stage["kind"]),
        args=(stage["stage_id"], stage["generation"]),
        immutable=True,
        queue=add_stage_queue(app, stage.get("bundle", bundle)),
        task_id=message_id(stage["stage_id"], stage["generation"]),
    )


def job_chord(app: Celery, payload: Mapping[str, Any]) -> Signature:
    """`{"job_id", "generation", "bundle", "branches": [[stage, ..], ..]}` as a chord."""
    bundle = payload.get("bundle", "")
    branches = [
        chain(*(stage_signature(app, stage, bundle=bundle) for stage in branch), app=app)
        for branch in payload["branches"]
    ]
    fan_in = app.signature(
        FAN_IN_TASK,
        args=(payload["job_id"], payload["generation"]),
        immutable=True,
        queue=cpu_queue(app),
    )
    return chord(group(branches, app=app), body=fan_in, app=app)
