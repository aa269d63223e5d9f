"""The catalogue against its plain-Python model: a short walk. `make model` is the long one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as walk
from hypothesis.stateful import run_state_machine_as_test

from barber.settings import Settings
from tests.model.moments import CatalogueMachine

pytestmark = pytest.mark.integration


def test_catalogue_does_what_the_model_says(settings: Settings) -> None:
    machine = CatalogueMachine.on(settings)
    try:
        run_state_machine_as_test(seed(20261122)(machine), settings=SHORT)
    finally:
        machine.engine.dispose()
    assert machine.steps > 300
    assert machine.seen["succeeded"] >= 4, "else what follows a success is hardly walked"
    assert machine.seen["failed"] + machine.seen["cancelled"] >= 3, machine.seen


SHORT = walk(
    max_examples=9,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)
