"""Jobs that ended and run again: from a stage on, with other parameters, many at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from barber.catalogue import bulk, jobs, rework, selection
from barber.catalogue.db import transaction
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus, StageStatus
from barber.errors import Conflict, InputError, NotFound
from barber.plan import StageKind, plan
from barber.settings import Settings
from barber.spec import PortraitKey
from tests.support.builders import Crew, break_down, hair_spec, known_portraits, submit, view
from tests.support.invariants import offences

pytestmark = pytest.mark.integration

EVERY_STAGE = ["target", "reconstruct", "reconstruct", "align", "align", "blend"]


@pytest.fixture
def people(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 6)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, replace(settings, window=50, sweep_s=0, backoff_s=0))


def worked_again(crew: Crew) -> list[str]:
    """The kinds of stages that run from here on."""
    crew.ran.clear()
    crew.work()
    assert offences(crew.engine) == []
    return crew.ran


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        (StageKind.BLEND, ["blend"]),
        (StageKind.ALIGN, ["align", "align", "blend"]),
        (StageKind.TARGET, ["target", "align", "align", "blend"]),
        (StageKind.RECONSTRUCT, ["reconstruct", "reconstruct", "align", "align", "blend"]),
    ],
)
def test_a_job_runs_again_from_a_stage_on(
    crew: Crew, engine: Engine, people: list[PortraitKey], kind: StageKind, again: list[str]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    crew.work()
    assert sorted(crew.ran) == sorted(EVERY_STAGE)
    with transaction(engine) as session:
        count = rework.run_from(session, job_id, kind, by="ann", why="it looks wrong")
    assert count == len(again)
    assert view(engine, job_id).row.status is JobStatus.RUNNING
    assert sorted(worked_again(crew)) == sorted(again)
    found = view(engine, job_id)
    assert found.row.status is JobStatus.SUCCEEDED
    assert [len(s.attempts) for s in found.stages] == [1 + (s.kind in again) for s in found.stages]


def test_what_another_job_has_is_not_made_again(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    first, second = submit(engine, [hair_spec(*people[:2]), hair_spec(people[2], people[1])])
    crew.work()
    with transaction(engine) as session:
        rework.run_from(session, first, StageKind.RECONSTRUCT, by="ann")
    ran = worked_again(crew)
    assert ran.count("reconstruct") == 1, "the reference's reconstruction is the other job's too"
    assert view(engine, second).row.status is JobStatus.SUCCEEDED
    assert view(engine, first).row.status is JobStatus.SUCCEEDED


def test_other_params_run_what_they_change_and_no_more(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    crew.work({"align": break_down()})
    before = view(engine, job_id)
    assert before.row.status is JobStatus.FAILED
    with transaction(engine) as session:
        changes = {"align": {"identity_steps": 7}}
        rework.change_params(session, job_id, changes, by="ann", why="fewer steps")
    assert sorted(worked_again(crew)) == ["align", "align", "blend"]
    found = view(engine, job_id)
    assert found.row.status is JobStatus.SUCCEEDED
    assert found.spec.params.align.identity_steps == 7
    assert {s.key for s in found.stages} == {s.key for s in plan(found.spec)}
    assert found.result_key != before.result_key
    (retried,) = [event for event in found.events if event.kind == "retried"]
    assert retried.data["before"] == before.spec.params.to_json()
    assert retried.data["why"] == "fewer steps"


def test_params_that_change_back_find_the_old_work(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    crew.work()
    for rate in (0.02, 0.01):
        with transaction(engine) as session:
            rework.change_params(session, job_id, {"blend": {"rate": rate}}, by="ann")
        ran = worked_again(crew)
    assert ran == []
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_what_cannot_run_again_is_refused(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    with transaction(engine) as session:
        with pytest.raises(Conflict, match=f"job {job_id} is queued"):
            rework.run_from(session, job_id, StageKind.BLEND, by="ann")
        with pytest.raises(NotFound, match="no job 999"):
            rework.change_params(session, 999, {"blend": {"steps": 9}}, by="ann")
    crew.work()
    with transaction(engine) as session:
        with pytest.raises(Conflict, match="has these parameters already"):
            rework.change_params(session, job_id, {"blend": {"steps": 400}}, by="ann")
        with pytest.raises(InputError, match=r"unknown parameter blend\.stepps"):
            rework.change_params(session, job_id, {"blend": {"stepps": 4}}, by="ann")
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_cancelled_job_runs_again_from_a_stage(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    with transaction(engine) as session:
        jobs.cancel(session, job_id, by="ann")
        rework.run_from(session, job_id, StageKind.ALIGN, by="ann")
    assert sorted(worked_again(crew)) == sorted(EVERY_STAGE)
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_every_condition_narrows_the_selection(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    a, b, c = submit(
        engine, [hair_spec(people[0], p) for p in people[1:4]], name="night", bundle_name="one"
    )
    crew.work({"align": break_down("no such luck")})
    (d,) = submit(engine, [hair_spec(people[4], people[5])], bundle_name="two")
    now = datetime.now(UTC)
    expected: list[tuple[Selection, list[int]]] = [
        (Selection(), [a, b, c, d]),
        (Selection(job_ids=(b, d)), [b, d]),
        (Selection(batch_id=2), [d]),
        (Selection(statuses=(JobStatus.FAILED,)), [a, b, c]),
        (Selection(statuses=(JobStatus.FAILED, JobStatus.QUEUED)), [a, b, c, d]),
        (Selection(stage=StageKind.ALIGN), [a, b, c]),
        (Selection(stage=StageKind.BLEND), []),
        (Selection(error_class="StageError"), [a, b, c]),
        (Selection(error_class="WorkerLost"), []),
        (Selection(bundle="two"), [d]),
        (Selection(text="JOB-1"), [b]),
        (Selection(text="such luck"), [a, b, c]),
        (Selection(text="100%"), []),
        (Selection(since=now - timedelta(hours=1)), [a, b, c, d]),
        (Selection(until=now - timedelta(hours=1)), []),
        (Selection(batch_id=1, text="job-2", stage=StageKind.ALIGN), [c]),
    ]
    with transaction(engine) as session:
        for chosen, ids in expected:
            assert selection.page(session, chosen, after=0, limit=9) == ids, chosen
            assert sum(selection.count(session, chosen).values()) == len(ids)


def test_a_bulk_retry_tells_of_each_job(
    crew: Crew, engine: Engine, people: list[PortraitKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "PAGE", 2)  # several pages
    failed = submit(engine, [hair_spec(people[0], p) for p in people[1:4]])
    crew.work({"blend": break_down()})
    (sound,) = submit(engine, [hair_spec(people[4], people[5])])
    crew.work()
    verdicts = list(
        bulk.each(
            engine,
            Selection(),
            lambda session, job_id: f"{rework.retry(session, job_id, by='ann')} stages",
        )
    )
    assert [v.job_id for v in verdicts] == [*failed, sound]
    assert [v.done for v in verdicts] == [True, True, True, False]
    assert "has no failed stage" in verdicts[-1].outcome
    assert worked_again(crew) == ["blend"] * 3


def test_jobs_that_come_later_are_not_taken(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    first, second = submit(engine, [hair_spec(*people[:2]), hair_spec(*people[2:4])])
    late: list[int] = []

    def cancel(session: object, job_id: int) -> str:
        if not late:
            late.extend(submit(engine, [hair_spec(*people[4:6])]))
        with transaction(engine) as own:
            return str(jobs.cancel(own, job_id, by="ann"))

    verdicts = list(bulk.each(engine, Selection(statuses=(JobStatus.QUEUED,)), cancel))
    assert [v.job_id for v in verdicts] == [first, second]
    assert view(engine, late[0]).row.status is JobStatus.QUEUED
    assert {s.status for s in view(engine, first).stages} == {StageStatus.CANCELLED}
