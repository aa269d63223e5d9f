"""What a worker takes first when a message comes, on one that only notes what it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from barber.settings import Settings
from tests.support.builders import BUNDLE, Crew, hair_spec, known_portraits, submit
from workers.bench import Bench, Outcome
from workers.runtime import Runtime

pytestmark = pytest.mark.integration


class NotingBench(Bench):
    """Claims nothing."""

    def run(self, stage_id: int, generation: int) -> Outcome:
        self.taken = [*getattr(self, "taken", []), (stage_id, generation)]
        return Outcome(claimed=False)


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
    lost, *others = crew.messages()
    assert crew.claim(lost)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE stage SET lease_until = now() - interval '1 s' WHERE id = :id"),
            {"id": lost["stage_id"]},
        )
    crew.tick()
    given: dict[str, Any] = {"bundle": Bundle(), "worker": "w", "versions": {}}
    bench = NotingBench(settings=replace(settings, hard_limit_s=limits), engine=engine, **given)
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
    came = (others[0]["stage_id"], others[0]["generation"])
    again = (lost["stage_id"], lost["generation"] + 1)
    worker.run_stage(*came)
    assert bench.taken == ([again, came] if first else [came])
    if first:
        worker.run_stage(*again)
        assert bench.taken[2:] == [again], "not twice when it comes itself"
