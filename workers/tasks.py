"""The tasks: ids in, almost nothing out. What they do is in `runtime`, what came of it in the
catalogue.

A task never raises into Celery: a failed header task would fail the chord, and the chord knows
less than the catalogue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from celery import shared_task
from celery.signals import setup_logging

from barber.plan import StageKind
from workers import runtime
from workers.app import FAN_IN_TASK, STAGE_TASK
from workers.consumer import refuse
from workers.logs import configure_logging

log = logging.getLogger(__name__)

LARGEST_ID = 2**63 - 1
Answer = dict[str, int]

# Celery asks who sets up logging, in the worker and again in every pool child.
setup_logging.connect(lambda **_: configure_logging(), weak=False)


def _answer(
    work: Callable[[int, int], bool], given: Sequence[object], named: Mapping[str, object]
) -> Answer:
    """Checks the two numbers of a message, does the work and tells only whether it went well."""
    ids = [value for value in given if type(value) is int and 0 <= value <= LARGEST_ID]
    if len(given) != 2 or len(ids) != 2 or named:
        refuse("the message does not carry two ids", f"{work.__name__} {given!r} {named or ''}")
        return {"error": 1}
    try:
        return {"error": 0 if work(*ids) else 1}
    except Exception:
        log.exception("a message could not be worked on; the dispatcher sends it again")
        return {"error": 1}


# Each takes what comes: a message with other arguments must not raise into Celery either.


@shared_task(name=STAGE_TASK.format(kind=StageKind.TARGET), ignore_result=True)
def target(*ids: object, **named: object) -> Answer:
    """Stage id, generation: two label maps -> target mask."""
    return _answer(runtime.run_stage, ids, named)


@shared_task(name=STAGE_TASK.format(kind=StageKind.RECONSTRUCT))
def reconstruct(*ids: object, **named: object) -> Answer:
    """Stage id, generation: portrait -> codes."""
    return _answer(runtime.run_stage, ids, named)


@shared_task(name=STAGE_TASK.format(kind=StageKind.ALIGN))
def align(*ids: object, **named: object) -> Answer:
    """Stage id, generation: codes -> target mask."""
    return _answer(runtime.run_stage, ids, named)


@shared_task(name=STAGE_TASK.format(kind=StageKind.BLEND), ignore_result=True)
def blend(*ids: object, **named: object) -> Answer:
    """Stage id, generation: everything before it -> the composite."""
    return _answer(runtime.run_stage, ids, named)


@shared_task(name=FAN_IN_TASK, ignore_result=True)
def fan_in(*ids: object, **named: object) -> Answer:
    """Job id, generation: the chord's body: its branches are over, its blend may be due."""
    return _answer(runtime.fan_in, ids, named)
