"""What a worker takes first when a message comes, on one that only notes what it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from barber.catalogue.stages import Claim
from barber.settings import Settings
from tests.support.builders import BUNDLE, Crew, Message, hair_spec, known_portraits, submit
from tests.support.invariants import offences
from workers.bench import Bench
from workers.runtime import Runtime

pytestmark = pytest.mark.integration


class NotingBench(Bench):
    """Claims, and notes what."""

    taken: list[int]

    def _work(self, claim: Claim, keeper: object) -> bool:
        self.taken.append(claim.stage_id)
        return True


class Bundle:
    digest = BUNDLE


@pytest.mark.parametrize(
    ("limits", "leaving", "first"),
    [("18000", False, True), ("0,blend=20000", False, False), ("18000", True, False)],
)
def test_a_stage_that_lost_its_worker_is_taken_before_the_one_that_came(
    engine: Engine, settings: Settings, limits: str, leaving: bool, first: bool
) -> None:
    crew = Crew(engine, replace(settings, window=8, window_per_worker=0, backoff_s=0))
    people = known_portraits(engine, 6)
    submit(engine, [hair_spec(*people[n : n + 2]) for n in (0, 2, 4)])
    crew.tick()
    lost, came, _ = crew.messages()
    assert crew.claim(lost)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE stage SET lease_until = now() - interval '1 s' WHERE id = :id"),
            {"id": lost["stage_id"]},
        )
    crew.tick()
    given: dict[str, Any] = {"bundle": Bundle(), "worker": "w", "versions": {}}
    bench = NotingBench(settings=replace(settings, hard_limit_s=limits), engine=engine, **given)
    bench.taken = []
    if leaving:
        bench.leave_soon()
    worker = Runtime(
        name="w",
        queues=["gpu"],
        device="cpu",
        versions={},
        warm_up_s=0.1,
        alive_s=30,
        engine=engine,
        bench=bench,
    )
    worker.run_stage(came["stage_id"], came["generation"])
    expected = lost if first else came
    assert bench.taken == ([] if leaving else [expected["stage_id"]])
    waits = first or leaving
    assert status(engine, came) == ("pending" if waits else "running"), "it is nobody's secret"

    worker.run_stage(lost["stage_id"], lost["generation"] + 1)
    assert bench.taken.count(lost["stage_id"]) == (0 if leaving else 1)
    assert offences(engine) == []


def status(engine: Engine, message: Message) -> str:
    with engine.connect() as connection:
        query = text("SELECT status FROM stage WHERE id = :id")
        return str(connection.scalar(query, {"id": message["stage_id"]}))
