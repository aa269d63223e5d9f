"""The dispatcher's tick: what is handed out, in which order, and what is not built twice."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from barber.catalogue import dispatch, jobs, locks, outbox, stages, turns, workers
from barber.catalogue.db import transaction
from barber.catalogue.status import EventKind, JobStatus, StageStatus, WorkerStatus
from barber.catalogue.workers import Introduction
from barber.settings import Settings
from barber.spec import BlendParams, JobSpec, PortraitKey, StageParams
from tests.support.builders import (
    BUNDLE,
    Crew,
    Message,
    break_down,
    hair_spec,
    known_portraits,
    submit,
    succeed,
    view,
)
from tests.support.invariants import offences

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Blends are swept at once."""
    return replace(settings, sweep_s=0.0, window=8, window_per_worker=0)


@pytest.fixture
def portraits(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 30)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


def alone(portrait: PortraitKey, seed: int = 0) -> JobSpec:
    """A job of two stages: reconstruct and blend."""
    return JobSpec(identity=portrait, bundle=BUNDLE, seed=seed)


def jobs_out(engine: Engine) -> list[int]:
    """The jobs that have something out, in the order in which it went."""
    with engine.connect() as connection:
        query = """SELECT job_id FROM stage WHERE status IN ('dispatched', 'running')
                    GROUP BY job_id ORDER BY min(dispatched_at), min(id)"""
        return list(connection.scalars(text(query)))


def test_twenty_jobs_that_wait_for_one_reconstruct_build_it_once(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=100)
    spec = hair_spec(*portraits[:2])
    blends = [StageParams(blend=BlendParams(steps=n)) for n in range(1, 21)]
    ids = submit(engine, [replace(spec, params=params) for params in blends])
    crew.work()
    assert Counter(crew.ran) == {"reconstruct": 2, "target": 1, "align": 2, "blend": 20}
    with transaction(engine) as session:
        rows = jobs.jobs(session)
    assert [row.id for row in rows] == ids[::-1]
    assert {row.status for row in rows} == {JobStatus.SUCCEEDED}
    builders = [view(engine, job_id).stages[0] for job_id in ids]
    assert [len(stage.attempts) for stage in builders] == [1] + [0] * 19
    assert [stage.reused for stage in builders] == [False] + [True] * 19
    assert offences(engine) == []


def test_waiters_succeed_with_the_finish_itself(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    ids = submit(engine, [hair_spec(portraits[0], other) for other in portraits[1:3]])
    crew.tick()
    for message in crew.messages():
        crew.run(message)
    crew.tick()
    first, *rest = crew.messages()
    assert first["kind"] == "reconstruct"
    waiting = view(engine, ids[1]).stages[1]
    assert (waiting.portrait, waiting.status) == (portraits[0], StageStatus.PENDING)
    crew.run(first)
    waiting = view(engine, ids[1]).stages[1]
    assert waiting.status is StageStatus.SUCCEEDED and waiting.reused
    assert EventKind.REUSED in {event.kind for event in view(engine, ids[1]).events}
    assert rest


def test_a_lost_builder_is_replaced_by_a_waiting_job(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    ids = submit(engine, [alone(portraits[0], seed=1)] * 3)
    crew.tick()
    (message,) = crew.messages()
    crew.run(message, break_down("worker gave up"))
    assert view(engine, ids[0]).row.status is JobStatus.FAILED
    crew.ran.clear()
    crew.work()
    assert crew.ran == ["reconstruct", "blend"], "one more execution, for both that wait"
    assert [view(engine, i).row.status for i in ids] == ["failed", "succeeded", "succeeded"]
    assert offences(engine) == []


def test_a_finished_job_is_reused_whole(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    spec = hair_spec(*portraits[:3])
    submit(engine, [spec])
    crew.work()
    crew.ran.clear()
    (again,) = submit(engine, [spec])
    crew.tick()
    found = view(engine, again)
    assert found.row.status is JobStatus.SUCCEEDED
    assert crew.ran == [] and crew.messages() == []
    assert all(stage.reused and not stage.attempts for stage in found.stages)
    assert [event.kind for event in found.events].count(EventKind.REUSED) == len(found.stages)
    assert found.row.started_at is not None


def test_only_what_differs_is_made_for_another_blend(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    a, b, c, *_ = portraits
    submit(engine, [hair_spec(a, b)])
    crew.work()
    crew.ran.clear()
    submit(engine, [hair_spec(a, c)])
    crew.work()
    assert Counter(crew.ran) == {"target": 1, "reconstruct": 1, "align": 2, "blend": 1}


def test_the_window_bounds_what_is_out(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=3)
    submit(engine, [alone(portrait) for portrait in portraits[:10]])
    assert crew.tick() == 3
    assert crew.tick() == 0
    crew.run(crew.messages()[0])
    assert crew.tick() == 0, "the blend took the place of what it needed"
    assert len(jobs_out(engine)) == 3


def test_the_window_follows_the_live_workers_of_its_bundle(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=3, window_per_worker=2)
    submit(engine, [alone(portrait) for portrait in portraits])
    assert crew.tick() == 3, "one worker: the setting is the larger"
    for name in ("second", "third", "leaves", "silent", "another"):
        who = Introduction(
            name=name,
            device="cpu",
            queues=["gpu"],
            pid=1,
            versions={},
            bundle="f" * 64 if name == "another" else BUNDLE,
            bundle_name="any",
        )
        with transaction(engine) as session:
            workers.hello(session, who, alive_s=-1 if name == "silent" else 60)
    with transaction(engine) as session:
        workers.seen(session, "leaves", status=WorkerStatus.DRAINING)
    assert crew.tick() == 3, "three workers hold it: two stages each"
    assert len(jobs_out(engine)) == 6


def test_priority_goes_first_and_can_change(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=1)
    low, other = submit(engine, [alone(portraits[0]), alone(portraits[1])])
    (high,) = submit(engine, [alone(portraits[2])], priority=5)
    crew.tick()
    assert jobs_out(engine) == [high]
    with transaction(engine) as session:
        jobs.set_priority(session, other, 9, by="ann")
    crew.settings = replace(crew.settings, window=2)
    crew.tick()
    assert set(jobs_out(engine)) == {high, other}
    assert view(engine, low).row.status is JobStatus.QUEUED


def test_a_small_batch_does_not_wait_for_a_large_one(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=4)
    large = submit(engine, [alone(portrait) for portrait in portraits[:20]])
    crew.tick()
    assert jobs_out(engine) == large[:4]
    small = submit(engine, [alone(portrait) for portrait in portraits[20:22]])
    for message in crew.messages()[:2]:
        crew.run(message, break_down())
    crew.tick()
    assert set(jobs_out(engine)) == {*large[2:4], *small}


def test_what_lost_its_worker_goes_before_all_else_of_its_priority(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    crew.settings = replace(crew.settings, window=2, backoff_s=0)
    first = submit(engine, [alone(portrait) for portrait in portraits[:20]])
    (urgent,) = submit(engine, [alone(portraits[20])], priority=1)
    crew.tick()
    assert set(jobs_out(engine)) == {urgent, first[0]}
    held = [crew.claim(message) for message in crew.messages()]
    (lost,) = [claim for claim in held if claim and claim.job_id == first[0]]
    submit(engine, [alone(portrait) for portrait in portraits[21:29]], submitted_by="ann")
    (more,) = submit(engine, [alone(portraits[29])], priority=1)
    with transaction(engine) as session:
        ran_out = "UPDATE stage SET lease_until = now() - interval '1 s' WHERE id = :id"
        session.execute(text(ran_out), {"id": lost.stage_id})
        assert dispatch.reap(session, crew.settings) == 1
    crew.tick()
    assert set(jobs_out(engine)) == {urgent, more}, "a higher priority goes first"
    crew.settings = replace(crew.settings, window=3)
    crew.tick()
    assert set(jobs_out(engine)) == {urgent, more, first[0]}, "before all others"
    with transaction(engine) as session:
        again = turns.lost_stage(session, BUNDLE)
        assert again == (lost.stage_id, 2), "and does not wait behind the window"
        assert turns.lost_stage(session, "another bundle") is None
    assert crew.claim({"stage_id": again.stage_id, "generation": again.generation})
    with transaction(engine) as session:
        assert turns.lost_stage(session, BUNDLE) is None


@pytest.mark.parametrize("what", ["everything", "batch", "job"])
def test_what_is_paused_is_not_handed_out(
    crew: Crew, engine: Engine, portraits: list[PortraitKey], what: str
) -> None:
    (job_id,) = submit(engine, [alone(portraits[0])])
    switches = {
        "everything": (jobs.pause_all, jobs.resume_all, []),
        "batch": (jobs.pause_batch, jobs.resume_batch, [1]),
        "job": (jobs.pause, jobs.resume, [job_id]),
    }
    pause, resume, arguments = switches[what]
    with transaction(engine) as session:
        pause(session, *arguments, by="ann")
    assert crew.tick() == 0
    with transaction(engine) as session:
        resume(session, *arguments, by="ann")
    assert crew.tick() == 1
    with transaction(engine) as session:
        pause(session, *arguments, by="ann")
    (message,) = crew.messages()
    assert crew.run(message) is True, "what is out finishes"
    with transaction(engine) as session:
        assert not dispatch.offer_blend(session, job_id, 1)
    crew.tick()
    assert crew.messages() == []
    with transaction(engine) as session:
        resume(session, *arguments, by="ann")
    crew.work()
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_lost_message_is_sent_again_under_a_new_generation(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    submit(engine, [alone(portraits[0])])
    crew.tick()
    (lost,) = crew.messages()
    with transaction(engine) as session:
        assert dispatch.resend(session, crew.settings) == 0, "not yet"
    crew.settings = replace(crew.settings, grace_s=0.0)
    crew.tick()
    (sent,) = crew.messages()
    assert sent == lost | {"generation": lost["generation"] + 1}
    assert crew.claim(lost) is None, "the lost one may turn up after all"
    crew.settings = replace(crew.settings, grace_s=60.0)
    assert crew.run(sent) is True
    assert offences(engine) == []


def test_a_message_lost_again_and_again_waits_longer_each_time(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    """Or the broker would fill with old generations faster than workers can drop them."""
    submit(engine, [alone(portraits[0])])
    grace_s, waits = crew.settings.grace_s, []
    for _ in range(5):
        crew.tick()
        crew.messages()
        for doublings in range(5):
            with transaction(engine) as session:
                age = {"age": f"{grace_s * 2**doublings + 1} s"}
                session.execute(text("UPDATE stage SET ready_at = now() - :age ::interval"), age)
                if dispatch.resend(session, crew.settings):
                    waits.append(2**doublings)
                    break
    assert waits == [1, 2, 4, 8, 8]


def test_a_message_that_was_heard_of_counts_anew(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    """What was declined or handed back in between was not lost."""
    submit(engine, [alone(portraits[0])])
    late = text(f"UPDATE stage SET ready_at = now() - interval '{crew.settings.grace_s + 1} s'")
    ready = text("UPDATE stage SET not_before = NULL")

    def next_message() -> Message:
        crew.tick()
        (message,) = crew.messages()
        return message

    def lose() -> int:
        with transaction(engine) as session:
            session.execute(late)
            return dispatch.resend(session, crew.settings)

    for _ in range(3):
        message = next_message()
        with transaction(engine) as session:
            ids = (message["stage_id"], message["generation"])
            assert stages.decline(session, *ids, why="another one goes first")
            session.execute(ready)
    next_message()
    assert lose() == 1
    claim = crew.claim(next_message())
    assert claim is not None
    with transaction(engine) as session:
        stages.hand_back(session, claim, "its worker leaves")
    next_message()
    assert lose() == 1
    next_message()
    assert lose() == 0, "lost twice in a row: the wait has doubled"


def test_a_message_behind_a_running_stage_is_not_lost(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    submit(engine, [hair_spec(*portraits[:2])])
    crew.tick()
    crew.run(crew.messages()[0])
    crew.tick()
    reconstruct, align, *_ = crew.messages()
    claim = crew.claim(reconstruct)
    assert claim is not None
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET ready_at = ready_at - interval '1 h'"))
        assert dispatch.resend(session, crew.settings) == 1, "only the other branch's reconstruct"
    with transaction(engine) as session:
        succeed(session, claim)
    with transaction(engine) as session:
        assert dispatch.resend(session, crew.settings) == 0, "its grace begins"
        session.execute(text("UPDATE stage SET ready_at = ready_at - interval '1 h'"))
        assert dispatch.resend(session, crew.settings) == 1, "now the align could have been claimed"
    assert crew.claim(align) is None


def test_messages_wait_longer_behind_slow_stages(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    submit(engine, [alone(portrait) for portrait in portraits[:3]])
    crew.tick()
    messages = crew.messages()
    crew.claim(messages[0])
    with transaction(engine) as session:
        session.execute(text("UPDATE attempt SET started_at = now() - interval '40 s'"))
        session.execute(text("UPDATE stage SET ready_at = now() - interval '200 s'"))
    with transaction(engine) as session:
        assert dispatch.resend(session, crew.settings) == 0, "3 * 40 s * 2 messages / 1 worker"
        session.execute(text("UPDATE stage SET ready_at = now() - interval '250 s'"))
    with transaction(engine) as session:
        assert dispatch.resend(session, crew.settings) == 2


def test_slow_stages_do_not_excuse_a_queue_in_which_nothing_runs(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    submit(engine, [alone(portrait) for portrait in portraits[:3]])
    crew.tick()
    crew.run(crew.messages()[0])
    with transaction(engine) as session:
        session.execute(
            text("UPDATE attempt SET started_at = now() - interval '90 s', ended_at = now()")
        )
        session.execute(text("UPDATE stage SET ready_at = now() - interval '70 s'"))
    with transaction(engine) as session:
        busy = replace(crew.settings, grace_s=100.0)
        assert dispatch.resend(session, busy) == 0, "something was claimed within the grace"
        assert dispatch.resend(session, replace(busy, grace_s=60.0)) == 2


def test_a_blend_that_no_chord_offered_is_swept(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [alone(portraits[0])])
    crew.tick()
    crew.run(crew.messages()[0])
    with transaction(engine) as session:
        patient = replace(crew.settings, sweep_s=60.0)
        assert dispatch.sweep(session, patient) == 0, "the chord has its time"
        assert dispatch.sweep(session, crew.settings) == 1
        assert dispatch.sweep(session, crew.settings) == 0
    (message,) = crew.messages()
    assert message["kind"] == "blend"
    crew.run(message)
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_doorbell_rung_early_often_or_falsely_does_nothing(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*portraits[:2])])
    with transaction(engine) as session:
        assert not dispatch.offer_blend(session, job_id, 0), "queued"
        assert not dispatch.offer_blend(session, 999, 0), "no such job"
    crew.tick()
    crew.run(crew.messages()[0])
    crew.tick()
    messages = crew.messages()
    for message in messages:
        with transaction(engine) as session:
            assert not dispatch.offer_blend(session, job_id, 1), "early"
        crew.run(message)
    with transaction(engine) as session:
        assert not dispatch.offer_blend(session, job_id, 2), "a chord that never was"
        assert dispatch.offer_blend(session, job_id, 1)
    for _ in range(5):
        with transaction(engine) as session:
            assert not dispatch.offer_blend(session, job_id, 1)
    assert len(crew.messages()) == 1


def test_one_bad_job_does_not_stop_the_tick(
    crew: Crew,
    engine: Engine,
    portraits: list[PortraitKey],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = submit(engine, [alone(portraits[0]), alone(portraits[1])])
    with engine.begin() as connection:
        connection.execute(
            text(f"ALTER TABLE stage ADD CHECK (job_id <> {bad} OR status = 'pending')")
        )
    with caplog.at_level(logging.ERROR):
        assert crew.tick() == 1
    assert jobs_out(engine) == [good]
    assert caplog.records[0].job_id == bad  # type: ignore[attr-defined]
    assert [row.payload["job_id"] for row in crew.published()] == [good]


def test_a_connection_lost_in_one_jobs_part_stops_the_tick(engine: Engine) -> None:
    """It is told as what it is: a dispatcher outlives a database that is away, and no more."""
    tried = []

    def cut(session: Session) -> int:
        tried.append("once")
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return 1

    def tick() -> None:
        with transaction(engine) as session:
            for job_id in (1, 2):
                locks.guarded(session, job_id, partial(cut, session))

    with pytest.raises(OperationalError):
        tick()
    assert tried == ["once"]


def test_one_dispatcher_leads(engine: Engine) -> None:
    with transaction(engine) as first, transaction(engine) as second:
        assert dispatch.lead(first)
        assert not dispatch.lead(second)
    with transaction(engine) as second:
        assert dispatch.lead(second), "the lock went with the transaction"


def test_refused_messages_wait_longer_each_time(engine: Engine) -> None:
    with transaction(engine) as session:
        outbox.add(session, outbox.Topic.STAGE, {"kind": "blend"})
    waits = []
    for _ in range(3):
        with transaction(engine) as session:
            session.execute(text("UPDATE outbox SET not_before = NULL"))
            (row,) = outbox.take(session, 10)
            outbox.postpone(session, [row.id])
            assert outbox.take(session, 10) == []
            query = "SELECT extract(epoch FROM not_before - now()) FROM outbox"
            waits.append(float(session.scalar(text(query))))
    assert waits == [1, 2, 4]
    with transaction(engine) as session:
        backlog = outbox.backlog(session)
    assert backlog.count == 1 and backlog.oldest_s >= 0


def test_two_relays_take_different_messages(engine: Engine) -> None:
    with transaction(engine) as session:
        for number in range(4):
            outbox.add(session, outbox.Topic.STAGE, {"number": number})
    with transaction(engine) as first, transaction(engine) as second:
        ours = {row.payload["number"] for row in outbox.take(first, 2)}
        theirs = {row.payload["number"] for row in outbox.take(second, 10)}
    assert (ours, theirs) == ({0, 1}, {2, 3})


def test_open_chords_and_those_who_look_after_them_are_counted(
    crew: Crew, engine: Engine, portraits: list[PortraitKey]
) -> None:
    submit(engine, [hair_spec(*portraits[:2]), hair_spec(*portraits[2:4]), alone(portraits[4])])

    def counted() -> tuple[int, int, int]:
        with engine.connect() as connection, Session(connection) as session:
            fan_ins, stages = (workers.serving(session, queue) for queue in ("cpu", "gpu"))
            return dispatch.open_chords(session), fan_ins, stages

    crew.tick()
    assert counted() == (1, 0, 1), "two targets are no chord, a job of one portrait is one"
    for message in crew.messages():
        crew.run(message)
    crew.tick()
    assert counted()[0] == 2, "its blend is no chord any more"
    both = Introduction(
        name="both", device="cpu", queues=["gpu", "cpu"], pid=2, versions={}, bundle=None
    )
    with transaction(engine) as session:
        workers.hello(session, both)
    assert counted() == (2, 1, 2)
    with transaction(engine) as session:
        workers.bye(session, "both")
    assert counted() == (2, 0, 1)
