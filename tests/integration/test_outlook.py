"""When it will be done, on a real catalogue with a real past."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from barber.catalogue import counts, jobs, outlook, workers
from barber.catalogue.db import transaction
from barber.plan import StageKind
from tests.support.builders import Crew, hair_spec, known_portraits, submit

pytestmark = pytest.mark.integration


@pytest.fixture
def crew(engine, settings):
    return Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))


def look(engine, **options):
    with transaction(engine) as session:
        return outlook.look_ahead(session, **options)


def test_a_batch_is_done_when_its_work_is_shared_out(crew, engine):
    people = known_portraits(engine, 9)
    submit(engine, [hair_spec(people[0], people[1])])
    crew.work()
    with engine.begin() as connection:  # each of its six stages took ten seconds
        connection.execute(text("UPDATE attempt SET started_at = ended_at - interval '10 s'"))
    waiting = [hair_spec(people[2], people[3]), hair_spec(people[4], people[5])]
    submit(engine, waiting)
    found = look(engine)
    (estimate,) = found.estimates.values()
    assert (estimate.batch_id, estimate.open, estimate.position) == (2, 2, 1)
    assert estimate.seconds == pytest.approx(2 * 6 * 10, rel=0.02)  # on one worker
    assert found.workers == 1
    assert {rate.kind for rate in found.rates} == set(StageKind)
    assert [each.jobs for each in found.throughput] == [1, 1, 1]
    assert found.throughput[0].per_hour == 4

    with transaction(engine) as session:
        counts.fold(session)
    assert look(engine).estimates == found.estimates, "the same after the counters were folded"

    with transaction(engine) as session:
        jobs.pause_batch(session, 2, by="ann")
    assert look(engine).estimates[2].reason == "the batch is paused"
    assert look(engine, dispatching=False).whole.reason == "no dispatcher is there"
    with transaction(engine) as session:
        jobs.resume_batch(session, 2, by="ann")
        for row in workers.listed(session):
            workers.bye(session, row.name)
    assert "no worker" in look(engine).estimates[2].reason


def test_what_was_never_measured_has_no_estimate(crew, engine):
    people = known_portraits(engine, 3)
    submit(engine, [hair_spec(people[0], people[1])])
    crew.tick()
    assert "has ended with this bundle within a day" in look(engine).whole.reason
