"""Jobs with a deadline, and who goes first when several people wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from barber.catalogue import deadlines, jobs, rework, stages
from barber.catalogue.db import transaction
from barber.catalogue.stages import Pulse
from barber.catalogue.status import EventKind, JobStatus, Outcome, StageStatus
from barber.errors import Conflict, InputError
from barber.plan import StageKind
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.support.builders import (
    BUNDLE,
    Crew,
    break_down,
    hair_spec,
    known_portraits,
    submit,
    succeed,
    view,
)
from tests.support.invariants import offences

pytestmark = pytest.mark.integration

TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def people(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 12)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    changes = {"window": 50, "window_per_worker": 0, "sweep_s": 0, "backoff_s": 0}
    return Crew(engine, replace(settings, **changes))


def let_it_pass(engine: Engine, *job_ids: int) -> None:
    with transaction(engine) as session:
        session.execute(
            text("UPDATE job SET deadline = now() - interval '1 s' WHERE id = ANY (:ids)"),
            {"ids": list(job_ids)},
        )


def test_a_job_in_time_knows_no_difference(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW)
    crew.work()
    row = view(engine, job_id).row
    assert (row.status, row.deadline) == (JobStatus.SUCCEEDED, TOMORROW)


def test_many_end_in_portions(
    crew: Crew, engine: Engine, people: list[PortraitKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "AT_ONCE", 2)
    ids = submit(engine, [hair_spec(people[0], one) for one in people[1:6]], deadline=TOMORROW)
    let_it_pass(engine, *ids)
    ended = []
    for _ in range(4):
        with transaction(engine) as session:
            ended.append(deadlines.expire(session, crew.settings))
    assert ended == [2, 2, 1, 0]
    assert {view(engine, job_id).row.status for job_id in ids} == {JobStatus.FAILED}


@pytest.mark.parametrize("out", [False, True])
def test_what_waits_fails_when_the_deadline_passes(
    crew: Crew, engine: Engine, people: list[PortraitKey], out: bool
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW)
    messages = crew.tick() and crew.messages() if out else []
    let_it_pass(engine, job_id)
    for message in messages or ():
        assert crew.claim(message) is None, "too late to begin"
    crew.tick()
    found = view(engine, job_id)
    assert (found.row.status, found.row.error_class) == (JobStatus.FAILED, "deadline")
    assert "passed before" in (found.row.error or "")
    assert {stage.status for stage in found.stages} == {StageStatus.FAILED}
    assert EventKind.EXPIRED in {event.kind for event in found.events}
    assert crew.tick() == 0 and crew.messages() == []
    assert offences(engine) == []


@pytest.mark.parametrize("how", ["hands back", "errs", "is lost", "finishes"])
def test_what_runs_hears_of_it_at_its_heartbeat(
    crew: Crew, engine: Engine, people: list[PortraitKey], how: str
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW)
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    with transaction(engine) as session:
        assert stages.heartbeat(session, claim, lease_s=30) is Pulse.GO
    let_it_pass(engine, job_id)
    with transaction(engine) as session:
        assert stages.heartbeat(session, claim, lease_s=30) is Pulse.LATE
    crew.tick()
    assert view(engine, job_id).row.status is JobStatus.RUNNING, "its worker has not answered yet"
    with transaction(engine) as session:
        if how == "hands back":
            assert stages.hand_back(session, claim, "its job's deadline passed")
        elif how == "errs":
            assert break_down(final=False)(session, claim)
        elif how == "finishes":
            assert succeed(session, claim)
        else:
            session.execute(text("UPDATE stage SET lease_until = now() WHERE worker IS NOT NULL"))
    crew.tick()
    found = view(engine, job_id)
    assert (found.row.status, found.row.error_class) == (JobStatus.FAILED, "deadline")
    ran = next(stage for stage in found.stages if stage.attempts)
    expected = {
        "hands back": (StageStatus.FAILED, Outcome.RETURNED),
        "errs": (StageStatus.FAILED, Outcome.ERROR),
        "is lost": (StageStatus.FAILED, Outcome.LOST),
        "finishes": (StageStatus.SUCCEEDED, Outcome.SUCCEEDED),
    }
    assert (ran.status, ran.attempts[0].outcome) == expected[how]
    assert offences(engine) == []


def test_a_stage_that_fails_for_good_keeps_its_own_cause(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [JobSpec(identity=people[0], bundle=BUNDLE)], deadline=TOMORROW)
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    let_it_pass(engine, job_id)
    with transaction(engine) as session:
        assert break_down("no face")(session, claim)
    assert view(engine, job_id).stages[0].error_class == "StageError"


def test_a_builder_that_is_too_late_leaves_its_work_to_others(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    late, other = submit(engine, [JobSpec(identity=people[0], bundle=BUNDLE)] * 2)
    crew.tick()
    let_it_pass(engine, late)
    crew.work()
    assert view(engine, late).row.status is JobStatus.FAILED
    assert view(engine, other).row.status is JobStatus.SUCCEEDED


def test_a_retry_takes_a_passed_deadline_away_or_sets_a_new_one(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    ids = submit(engine, [hair_spec(*people[:2]), hair_spec(*people[2:4])], deadline=TOMORROW)
    let_it_pass(engine, *ids)
    crew.tick()
    with transaction(engine) as session:
        jobs.retry(session, ids[0], by="ann")
        jobs.retry(session, ids[1], by="ann", deadline=TOMORROW + timedelta(days=1))
    with transaction(engine) as session, pytest.raises(InputError, match="has passed"):
        jobs.retry(session, ids[0], by="ann", deadline=TOMORROW - timedelta(days=2))
    assert [view(engine, i).row.deadline for i in ids] == [None, TOMORROW + timedelta(days=1)]
    crew.work()
    assert [view(engine, i).row.status for i in ids] == ["succeeded"] * 2
    with transaction(engine) as session:
        rework.run_from(session, ids[1], StageKind.BLEND, by="ann")
    assert view(engine, ids[1]).row.deadline is not None, "still to come, so it stays"


def test_a_result_that_was_in_time_is_made_again_after_the_deadline(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW)
    crew.work()
    let_it_pass(engine, job_id)
    result = view(engine, job_id).result_key
    assert result is not None
    with transaction(engine) as session:
        assert stages.quarantine(session, result)
    crew.work()
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_cancelled_job_stays_cancelled(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW)
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    with transaction(engine) as session:
        jobs.cancel(session, job_id, by="ann")
    let_it_pass(engine, job_id)
    crew.tick()
    with transaction(engine) as session:
        stages.hand_back(session, claim, "its job was cancelled")
    assert view(engine, job_id).row.status is JobStatus.CANCELLED


def test_deadlines_are_set_and_refused(engine: Engine, people: list[PortraitKey]) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    with transaction(engine) as session:
        jobs.set_deadline(session, job_id, TOMORROW, by="ann")
    with transaction(engine) as session, pytest.raises(InputError, match="give a later one"):
        jobs.set_deadline(session, job_id, TOMORROW - timedelta(days=2), by="ann")
    with pytest.raises(InputError, match="give a later one"):
        submit(engine, [hair_spec(*people[:2])], deadline=TOMORROW - timedelta(days=2))
    assert view(engine, job_id).row.deadline == TOMORROW
    let_it_pass(engine, job_id)
    with transaction(engine) as session, pytest.raises(Conflict, match="retry it when it has end"):
        jobs.set_deadline(session, job_id, TOMORROW, by="ann")


def test_one_bad_job_does_not_keep_others_from_ending(
    engine: Engine, settings: Settings, people: list[PortraitKey]
) -> None:
    bad, good = submit(engine, [hair_spec(*people[:2]), hair_spec(*people[2:4])])
    let_it_pass(engine, bad, good)
    with engine.begin() as connection:
        connection.execute(
            text(f"ALTER TABLE stage ADD CHECK (job_id <> {bad} OR status = 'pending')")
        )
    with transaction(engine) as session:
        assert deadlines.expire(session, settings) == 1
    assert view(engine, good).row.status is JobStatus.FAILED


def test_a_person_with_one_job_does_not_wait_for_ten_batches_of_another(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=4)
    for number in range(5):
        specs = [JobSpec(identity=people[number], bundle=BUNDLE, seed=n) for n in range(2)]
        submit(engine, specs, submitted_by="bob")
    (ann,) = submit(engine, [JobSpec(identity=people[8], bundle=BUNDLE)], submitted_by="ann")
    assert crew.tick() == 4
    with engine.connect() as connection:
        out = connection.execute(
            text("""SELECT batch.submitted_by, count(DISTINCT batch.id) FROM stage
                    JOIN job ON job.id = job_id JOIN batch ON batch.id = batch_id
                    WHERE stage.status = 'dispatched' GROUP BY 1""")
        )
        assert dict(out.all()) == {"ann": 1, "bob": 3}, "bob's batches by turns"
    assert view(engine, ann).row.status is JobStatus.RUNNING


def test_a_person_with_much_out_lets_others_go_first(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=3)
    submit(engine, [JobSpec(identity=p, bundle=BUNDLE) for p in people[:3]], submitted_by="bob")
    crew.tick()
    submit(engine, [JobSpec(identity=people[3], bundle=BUNDLE)], submitted_by="bob")
    mine = submit(
        engine, [JobSpec(identity=p, bundle=BUNDLE) for p in people[4:6]], submitted_by="ann"
    )
    crew.settings = replace(crew.settings, window=5)
    crew.tick()
    assert {view(engine, i).row.status for i in mine} == {JobStatus.RUNNING}
