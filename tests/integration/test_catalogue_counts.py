"""The counters of jobs: exact whatever changes them, and whenever they are folded."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from barber.catalogue import counts, jobs
from barber.catalogue.db import transaction
from barber.catalogue.status import JobStatus
from barber.plan import plan
from barber.settings import Settings
from barber.spec import PortraitKey
from tests.support.builders import Crew, break_down, hair_spec, known_portraits, submit
from tests.support.invariants import offences

pytestmark = pytest.mark.integration


@pytest.fixture
def people(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 6)


def read(engine: Engine) -> tuple[dict[JobStatus, int], dict[int, dict[JobStatus, int]]]:
    """All that is counted, without the zeros."""
    with transaction(engine) as session:
        batches = counts.of_batches(session, [row.id for row in jobs.batches(session)])
        overall = counts.totals(session)
    return (
        {status: n for status, n in overall.items() if n},
        {key: {status: n for status, n in row.items() if n} for key, row in batches.items()},
    )


def fold(engine: Engine) -> int:
    with transaction(engine) as session:
        return counts.fold(session)


def test_counters_follow_every_change_folded_or_not(
    engine: Engine, settings: Settings, people: list[PortraitKey]
) -> None:
    crew = Crew(engine, replace(settings, sweep_s=0))
    first = submit(engine, [hair_spec(people[0], people[1]), hair_spec(people[2], people[3])])
    (second,) = submit(engine, [hair_spec(people[4], people[5])], name="other")
    with transaction(engine) as session:
        one, other = (jobs.job(session, n).row.batch_id for n in (first[0], second))
        jobs.cancel(session, second, by="ann")
    assert read(engine)[1] == {one: {"queued": 2}, other: {"cancelled": 1}}
    assert fold(engine) > 0
    assert fold(engine) == 0

    crew.work({"blend": break_down()})

    unfolded = read(engine)
    assert unfolded == (
        {"failed": 2, "cancelled": 1},
        {one: {"failed": 2}, other: {"cancelled": 1}},
    )
    assert fold(engine) > 0
    assert read(engine) == unfolded
    assert not offences(engine)


def test_deleted_jobs_are_counted_no_more(engine: Engine, people: list[PortraitKey]) -> None:
    submit(engine, [hair_spec(people[0], people[1]), hair_spec(people[2], people[3])])
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM stage"))
        connection.execute(text("DELETE FROM job WHERE id = (SELECT min(id) FROM job)"))
    assert read(engine)[0] == {"queued": 1}


def test_foldings_at_once_count_nothing_twice(engine: Engine, people: list[PortraitKey]) -> None:
    for n in range(5):
        submit(engine, [hair_spec(people[0], people[1], seed=n)])
    threads = [threading.Thread(target=fold, args=(engine,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(engine)[0] == {"queued": 5}
    assert not offences(engine)


def test_progress_of_a_batch_counts_what_has_ended_and_what_runs(
    engine: Engine, settings: Settings, people: list[PortraitKey]
) -> None:
    crew = Crew(engine, settings)
    ids = submit(engine, [hair_spec(people[n], people[n + 1]) for n in (0, 2)])
    with transaction(engine) as session:
        jobs.cancel(session, ids[1], by="ann")
    crew.tick()
    (target,) = crew.messages()
    crew.run(target)
    with transaction(engine) as session:
        (batch,) = jobs.batches(session)
    stages = len(plan(hair_spec(people[0], people[1])))
    assert batch.progress == pytest.approx((1 + 1 / stages) / 2)
