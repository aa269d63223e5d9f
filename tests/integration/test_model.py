"""The catalogue against its plain-Python model: a short walk. `make model` is the long one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as walk
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import Engine

from barber.settings import Settings
from tests.model.machine import CatalogueMachine

pytestmark = pytest.mark.integration


def test_catalogue_does_what_the_model_says(engine: Engine, settings: Settings) -> None:
    machine = CatalogueMachine.on(engine, settings)
    run_state_machine_as_test(seed(20261122)(machine), settings=SHORT)
    assert machine.steps > 500
    assert {"succeeded", "failed", "cancelled", "running"} <= set(machine.seen), machine.seen
    assert machine.seen["succeeded"] >= 8, "else what follows a success is hardly walked"


SHORT = walk(
    max_examples=10,
    stateful_step_count=80,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
