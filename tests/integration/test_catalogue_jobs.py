"""What people do with jobs, and what they read of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, event, text

from barber.catalogue import events, jobs, operate, portraits, stages, workers
from barber.catalogue.db import transaction
from barber.catalogue.jobs import AlreadySubmitted, NewJob
from barber.catalogue.status import EventKind, JobStatus, StageStatus
from barber.catalogue.store import Store, StoredFile
from barber.errors import Conflict, InputError, NotFound
from barber.photographs.picture import Crop, Picture, encode_labels
from barber.pixels import encode_png, portrait_key, read_portrait
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.support.builders import (
    BUNDLE,
    SIDE,
    Crew,
    break_down,
    hair_spec,
    known_portraits,
    picture,
    submit,
    view,
)
from tests.support.invariants import offences

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, sweep_s=0.0, window=50, window_per_worker=0)


@pytest.fixture
def people(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 6)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


def alone(portrait: PortraitKey) -> JobSpec:
    return JobSpec(identity=portrait, bundle=BUNDLE)


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """The statements that a block sends."""
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


# Submitting


def test_a_key_used_twice_names_the_first_batch(engine: Engine, people: list[PortraitKey]) -> None:
    submit(engine, [alone(people[0])], idempotency_key="k")
    with pytest.raises(AlreadySubmitted, match="as batch 1") as refused:
        submit(engine, [alone(people[0])], idempotency_key="k")
    assert refused.value.batch_id == 1
    assert count(engine, "job") == 1
    submit(engine, [alone(people[0])])
    submit(engine, [alone(people[0])])
    assert count(engine, "job") == 3, "without a key every submission is one"


def test_an_unknown_portrait_is_refused_and_nothing_stays(
    engine: Engine, people: list[PortraitKey]
) -> None:
    stranger = PortraitKey("5" * 64)
    with pytest.raises(InputError, match=f"portrait {stranger} is not registered"):
        submit(engine, [alone(people[0]), hair_spec(people[0], stranger)])
    assert count(engine, "batch") == 0


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ([], "has no jobs"),
        ([{"name": " "}], "cannot be a name"),
        ([{"name": "a\0b"}], "cannot be a name"),
        ([{"name": "a", "priority": 1001}], "priority 1001 of 'a' is out of range"),
    ],
)
def test_impossible_submissions_are_refused(
    engine: Engine, people: list[PortraitKey], new: list[dict[str, object]], sentence: str
) -> None:
    ready = [NewJob(spec=alone(people[0]), **facts) for facts in new]  # type: ignore[arg-type]
    with pytest.raises(InputError, match=sentence), transaction(engine) as session:
        jobs.submit(session, name="b", jobs=ready, bundle_name="tiny")


def test_refused_rows_are_kept_with_the_batch(engine: Engine) -> None:
    row = {"line": 3, "name": "ann", "reason": "no such file"}
    submit(engine, [], refused=[row], submitted_by="ann")
    with transaction(engine) as session:
        batch = jobs.batch(session, 1)
    assert batch.refused == (row,)
    assert (batch.total, batch.progress, batch.finished) == (0, 1.0, True)


def test_many_jobs_are_few_statements(engine: Engine, people: list[PortraitKey]) -> None:
    specs = [hair_spec(people[0], people[1], seed=seed) for seed in range(300)]
    with counted(engine) as statements:
        submit(engine, specs)
    assert count(engine, "stage") == 1800
    assert len(statements) < 25


# Cancelling


def test_a_queued_job_is_cancelled_at_once(engine: Engine, people: list[PortraitKey]) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    with transaction(engine) as session:
        assert jobs.cancel(session, job_id, by="ann", why="mistake") is JobStatus.CANCELLED
    found = view(engine, job_id)
    assert found.row.status is JobStatus.CANCELLED
    assert found.events[-1].data == {"by": "ann", "why": "mistake"}
    refusal = pytest.raises(Conflict, match="job 1 was cancelled already")
    with refusal, transaction(engine) as session:
        jobs.cancel(session, job_id, by="ann")


def test_messages_about_a_cancelled_job_die_and_others_build(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    first, second = submit(engine, [alone(people[0])] * 2)
    crew.tick()
    (message,) = crew.messages()
    with transaction(engine) as session:
        jobs.cancel(session, first, by="ann")
    assert crew.claim(message) is None
    assert offences(engine) == []
    crew.work()
    assert view(engine, second).row.status is JobStatus.SUCCEEDED


def test_a_batch_is_cancelled_as_far_as_it_is_open(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    done, running, queued = submit(engine, [alone(person) for person in people[:3]])
    with transaction(engine) as session:
        jobs.pause(session, running, by="ann")
        jobs.pause(session, queued, by="ann")
    crew.work()
    with transaction(engine) as session:
        jobs.resume(session, running, by="ann")
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    with transaction(engine) as session:
        assert jobs.cancel_batch(session, 1, by="ann") == 2
        assert jobs.cancel_batch(session, 1, by="ann") == 0, "asked once"
    states = [view(engine, i).row.status for i in (done, running, queued)]
    assert states == ["succeeded", "running", "cancelled"]
    with transaction(engine) as session:
        stages.hand_back(session, claim, "cancelled")
    assert view(engine, running).row.status is JobStatus.CANCELLED


def test_a_batch_is_cancelled_in_portions(
    engine: Engine, people: list[PortraitKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "AT_ONCE", 2)
    ids = submit(engine, [hair_spec(people[0], one) for one in people[1:6]])
    ended = []
    for _ in range(4):
        with transaction(engine) as session:
            ended.append(jobs.cancel_batch(session, 1, by="ann"))
    assert ended == [2, 2, 1, 0]
    assert {view(engine, job_id).row.status for job_id in ids} == {JobStatus.CANCELLED}


def test_two_who_cancel_a_batch_at_once_both_go_on_to_its_end(
    engine: Engine, people: list[PortraitKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operate, "AT_ONCE", 2)
    submit(engine, [hair_spec(people[0], one) for one in people[1:6]])

    def other() -> int:
        with transaction(engine) as session:
            return jobs.cancel_batch(session, 1, by="bob")

    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            assert jobs.cancel_batch(session, 1, by="ann") == 2
            second = pool.submit(other)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.5)  # it waits for the same jobs
        assert second.result(timeout=30) == 2, "the next ones, and not 0 for none left"
    assert other() == 1
    assert other() == 0


def test_no_such_job_or_batch(engine: Engine) -> None:
    with transaction(engine) as session:
        for ask in (
            lambda: jobs.cancel(session, 7, by="a"),
            lambda: jobs.retry(session, 7, by="a"),
            lambda: jobs.pause(session, 7, by="a"),
            lambda: jobs.job(session, 7),
            lambda: jobs.batch(session, 7),
            lambda: jobs.cancel_batch(session, 7, by="a"),
            lambda: jobs.pause_batch(session, 7, by="a"),
            lambda: portraits.file_of(session, PortraitKey("0" * 64)),
            lambda: stages.artifact_files(session, "0" * 64),
        ):
            with pytest.raises(NotFound):
                ask()


# Retrying


def test_a_retry_runs_only_what_is_missing(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    ids = submit(engine, [hair_spec(people[0], other) for other in people[1:5]])
    fail_once = {stage.id for i in ids for stage in view(engine, i).stages if stage.slot == 1}
    aligns = {s.id for i in ids for s in view(engine, i).stages if s.kind == "align"}
    for _ in range(10):
        crew.tick()
        for message in crew.messages():
            broken = message["stage_id"] in fail_once & aligns
            crew.run(message, *([break_down("align broke")] if broken else []))
    assert {view(engine, i).row.status for i in ids} == {JobStatus.FAILED}
    assert {view(engine, i).row.error for i in ids} == {"align broke"}
    crew.ran.clear()
    with transaction(engine) as session:
        assert [jobs.retry(session, i, by="ann") for i in ids] == [1, 1, 1, 1]
    assert {view(engine, i).row.status for i in ids} == {JobStatus.RUNNING}
    crew.work()
    assert sorted(crew.ran) == ["align"] * 4 + ["blend"] * 4
    assert {view(engine, i).row.status for i in ids} == {JobStatus.SUCCEEDED}
    assert offences(engine) == []


def test_a_retry_brings_fresh_budgets(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [alone(people[0])], max_errors=1)
    crew.work({"reconstruct": break_down(final=False)})
    assert view(engine, job_id).stages[0].errors == 1
    with transaction(engine) as session:
        assert jobs.retry(session, job_id, by="ann") == 1
    stage = view(engine, job_id).stages[0]
    assert (stage.status, stage.errors, stage.error) == (StageStatus.PENDING, 0, None)
    assert view(engine, job_id).row.error is None


def test_one_stage_of_several_can_be_retried(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    crew.work({"reconstruct": break_down()})
    broken = [s.id for s in view(engine, job_id).stages if s.status is StageStatus.FAILED]
    assert len(broken) == 2
    with transaction(engine) as session:
        assert jobs.retry(session, job_id, by="ann", stage_id=broken[0]) == 1
    crew.work()
    found = view(engine, job_id)
    assert found.row.status is JobStatus.FAILED, "the other one still stands in the way"
    with transaction(engine) as session:
        assert jobs.retry(session, job_id, by="ann") == 1
    crew.work()
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_cancelled_job_can_be_retried(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [hair_spec(*people[:2])])
    crew.tick()
    crew.run(crew.messages()[0])
    with transaction(engine) as session:
        jobs.cancel(session, job_id, by="ann")
    with transaction(engine) as session:
        assert jobs.retry(session, job_id, by="ann") == 5
    crew.work()
    assert crew.ran.count("target") == 1
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


def test_a_cancel_before_the_last_finish_wins_and_a_retry_needs_no_work(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    crew.tick()
    crew.run(crew.messages()[0])
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None and claim.planned.kind == "blend"
    with transaction(engine) as session:
        jobs.cancel(session, job_id, by="ann")
    with transaction(engine) as session, pytest.raises(Conflict, match="is being cancelled"):
        jobs.retry(session, job_id, by="ann")
    file = StoredFile(sha256="1" * 64, size_bytes=1, media_type="image/png")
    with transaction(engine) as session:
        assert stages.finish(session, claim, files={"image": file}, recipe={})
    assert view(engine, job_id).row.status is JobStatus.CANCELLED
    with transaction(engine) as session:
        assert jobs.retry(session, job_id, by="ann") == 0
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED


@pytest.mark.parametrize("finished", [True, False])
def test_nothing_failed_nothing_to_retry(
    crew: Crew, engine: Engine, people: list[PortraitKey], finished: bool
) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    if finished:
        crew.work()
    with pytest.raises(Conflict, match="has no failed stage"), transaction(engine) as session:
        jobs.retry(session, job_id, by="ann")


def test_a_stage_that_is_not_the_jobs_or_has_not_failed_is_not_retried(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    crew.work({"reconstruct": break_down()})
    blend = next(s.id for s in view(engine, job_id).stages if s.kind == "blend")
    with transaction(engine) as session:
        with pytest.raises(NotFound, match="has no stage 99999"):
            jobs.retry(session, job_id, by="ann", stage_id=99999)
        with pytest.raises(Conflict, match=f"stage {blend} of job {job_id} is pending"):
            jobs.retry(session, job_id, by="ann", stage_id=blend)


# Reading


def test_batches_count_and_measure(crew: Crew, engine: Engine, people: list[PortraitKey]) -> None:
    submit(engine, [alone(person) for person in people[:4]], name="old", submitted_by="ann")
    submit(engine, [alone(people[5])], name="new")
    with transaction(engine) as session:
        jobs.pause_batch(session, 2, by="ann")
    crew.settings = replace(crew.settings, window=1)
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    with transaction(engine) as session:
        stages.heartbeat(session, claim, lease_s=30, progress=0.5)
        new, old = jobs.batches(session)
        assert [row.id for row in jobs.batches(session, limit=1, before=2)] == [1]
    assert (new.name, new.paused, old.paused) == ("new", True, False)
    assert old.counts == dict.fromkeys(JobStatus, 0) | {"running": 1, "queued": 3}
    assert old.progress == pytest.approx(0.5 / 8)
    assert (old.total, old.finished, old.submitted_by) == (4, False, "ann")


def test_jobs_are_paged_newest_first(engine: Engine, people: list[PortraitKey]) -> None:
    ids = submit(engine, [alone(person) for person in people[:5]])
    with transaction(engine) as session:
        jobs.cancel(session, ids[1], by="ann")
        page = jobs.jobs(session, limit=2)
        rest = jobs.jobs(session, limit=10, before=page[-1].id)
        cancelled = jobs.jobs(session, status="cancelled")
        assert jobs.jobs(session, batch_id=99) == []
    assert [row.id for row in page + rest] == ids[::-1]
    assert [row.id for row in cancelled] == [ids[1]]
    assert page[0].identity == people[4] and page[0].batch_name == "batch"


def test_reading_takes_few_queries_whatever_the_page(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    ids = submit(engine, [hair_spec(people[0], other) for other in people[1:]])
    crew.work()
    for read, most in (
        (lambda s: jobs.batches(s), 3),
        (lambda s: jobs.jobs(s), 4),
        (lambda s: jobs.job(s, ids[0]), 9),
    ):
        with counted(engine) as statements, transaction(engine) as session:
            read(session)
        assert len(statements) <= most


def test_a_job_in_full(crew: Crew, engine: Engine, people: list[PortraitKey]) -> None:
    spec = hair_spec(*people[:3])
    (job_id,) = submit(engine, [spec])
    crew.work()
    found = view(engine, job_id)
    assert found.spec == spec
    assert list(found.portraits) != [] and set(found.portraits) == set(people[:3])
    assert found.row.portraits == spec.portraits
    assert [stage.kind for stage in found.stages][-1] == "blend"
    blend = found.stages[-1]
    assert blend.files["image"].media_type == "image/png"
    assert set(blend.needs) == {stage.key for stage in found.stages[:-1]}
    assert blend.seconds is not None and blend.seconds >= 0
    assert not blend.reused
    assert [e.id for e in found.events] == sorted(e.id for e in found.events)


# Events, workers, portraits


def test_events_are_read_from_a_cursor(engine: Engine, people: list[PortraitKey]) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    with transaction(engine) as session:
        cursor = events.latest_id(session)
        jobs.pause(session, job_id, by="ann")
        jobs.pause_all(session, by="ann")
        assert [e.kind for e in events.since(session, cursor)] == [EventKind.PAUSED] * 2
        assert [e.job_id for e in events.since(session, cursor, job_id=job_id)] == [job_id]
        assert jobs.paused_all(session)
        jobs.resume_all(session, by="ann")
        assert not jobs.paused_all(session)


def test_workers_describe_themselves(engine: Engine) -> None:
    facts: dict[str, Any] = {"device": "cpu", "queues": ["cpu", "gpu"], "versions": {"torch": "2"}}
    with transaction(engine) as session:
        assert not workers.seen(session, "w1")
        workers.hello(session, workers.Introduction(name="w1", pid=7, **facts))
    with transaction(engine) as session:
        workers.hello(session, workers.Introduction(name="w1", pid=8, **facts))
        workers.hello(session, workers.Introduction(name="w0", pid=7, **facts))
        assert workers.seen(session, "w1", status="busy")
        assert workers.bye(session, "w0")
        stopped, busy = workers.listed(session)
    assert (stopped.name, stopped.status, busy.status) == ("w0", "stopped", "busy")
    assert (busy.pid, busy.queues, busy.versions) == (8, ("cpu", "gpu"), {"torch": "2"})
    assert 0 <= busy.silent_s < timedelta(minutes=1).total_seconds()


def test_a_portrait_is_registered_once_by_its_pixels(engine: Engine, settings: Settings) -> None:
    store = Store(settings.store_dir)
    with transaction(engine) as session:
        data = picture(1, side=20)
        key = portraits.register(session, store, data, size=SIDE, name="ann.png")
        assert portraits.register(session, store, data, size=SIDE, name="copy.png") == key
        row = portraits.portraits(session, [key])[key]
        assert (row.name, row.width, row.side_px) == ("ann.png", 20, SIDE)
        found = portraits.pixels(session, store, key)
        assert (found == read_portrait(data, SIDE, name="ann")).all()
        assert portraits.file_of(session, key) == row.file_sha256


def test_portrait_keeps_its_label_map_and_learns_its_photograph(
    engine: Engine, settings: Settings
) -> None:
    store = Store(settings.store_dir)
    own = np.full((4, 4), 10, dtype=np.uint8)
    pixels = read_portrait(picture(1), SIDE, name="ann")
    quad = ((0.0, 0.0), (0.0, 9.0), (9.0, 9.0), (9.0, 0.0))
    crop = Crop(quad=quad, width=30, height=20, size=SIDE)
    plain = Picture(
        key=portrait_key(pixels, own),
        name="ann.png",
        width=SIDE,
        height=SIDE,
        size=SIDE,
        png=encode_png(pixels),
        labels_png=encode_labels(own),
    )
    with transaction(engine) as session:
        for told in (plain, replace(plain, photo=b"photo", crop=crop), plain):
            portraits.keep(session, store, told)
        later = replace(plain, photo=b"other", crop=replace(crop, width=40))
        portraits.keep(session, store, later)  # the first photograph stays
        row = portraits.portraits(session, [plain.key])[plain.key]
        assert row.photo_file_sha256 is not None
        assert row.crop is not None
        assert store.get(row.photo_file_sha256) == b"photo"
        assert Crop.from_json(dict(row.crop)) == crop
        kept = portraits.label_map(session, store, plain.key)
        assert kept is not None
        assert kept.tolist() == own.tolist()
        other = portraits.register(session, store, picture(2), size=SIDE, name="bob.png")
        assert portraits.label_map(session, store, other) is None
