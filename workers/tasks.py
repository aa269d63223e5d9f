"""The tasks: ids in, almost nothing out. What they do is in `runtime`, what came of it in the
catalogue.

A task never raises into Celery: a failed header task would fail the chord, and the chord knows
less than the catalogue.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery import shared_task
from celery.signals import setup_logging

from barber.plan import StageKind
from workers import runtime
from workers.app import FAN_IN_TASK, STAGE_TASK
from workers.logs import configure_logging

log = logging.getLogger(__name__)

LARGEST_ID = 2**63 - 1
Answer = dict[str, int]

# Celery asks who sets up logging, in the worker and again in every pool child.
setup_logging.connect(lambda **_: configure_logging(), weak=False)


def _answer(work: Callable[[int, int], bool], first: object, second: object) -> Answer:
    """Checks the two numbers of a message, does the work and tells only whether it went well."""
    for value in (first, second):
        if type(value) is not int or not 0 <= value <= LARGEST_ID:
            log.error("a message with %r instead of an id is dropped", value)
            return {"error": 1}
    assert isinstance(first, int) and isinstance(second, int)
    try:
        return {"error": 0 if work(first, second) else 1}
    except Exception:
        log.exception("a message could not be worked on; the dispatcher sends it again")
        return {"error": 1}


@shared_task(name=STAGE_TASK.format(kind=StageKind.TARGET), ignore_result=True)
def target(stage_id: int, generation: int) -> Answer:
    """Two label maps -> target mask."""
    return _answer(runtime.run_stage, stage_id, generation)


@shared_task(name=STAGE_TASK.format(kind=StageKind.RECONSTRUCT))
def reconstruct(stage_id: int, generation: int) -> Answer:
    """Portrait -> codes."""
    return _answer(runtime.run_stage, stage_id, generation)


@shared_task(name=STAGE_TASK.format(kind=StageKind.ALIGN))
def align(stage_id: int, generation: int) -> Answer:
    """Codes -> target mask."""
    return _answer(runtime.run_stage, stage_id, generation)


@shared_task(name=STAGE_TASK.format(kind=StageKind.BLEND), ignore_result=True)
def blend(stage_id: int, generation: int) -> Answer:
    """Everything before it -> the composite."""
    return _answer(runtime.run_stage, stage_id, generation)


@shared_task(name=FAN_IN_TASK, ignore_result=True)
def fan_in(job_id: int, generation: int) -> Answer:
    """The chord's body: a job's branches are over, its blend may be due."""
    return _answer(runtime.fan_in, job_id, generation)
