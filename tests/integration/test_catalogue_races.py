"""Two at the same time: one wins, the other is told, and the catalogue stays sound."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from barber.catalogue import dispatch, jobs, operate, rework, stages
from barber.catalogue.db import transaction
from barber.catalogue.jobs import AlreadySubmitted
from barber.catalogue.status import JobStatus
from barber.errors import Conflict
from barber.plan import StageKind
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.support.builders import (
    BUNDLE,
    Crew,
    Ending,
    break_down,
    hair_spec,
    known_portraits,
    staff,
    submit,
    succeed,
)
from tests.support.invariants import offences

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, sweep_s=0.0, backoff_s=0.0, window=30)


@pytest.fixture
def people(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 6)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


def alone(portrait: PortraitKey) -> JobSpec:
    return JobSpec(identity=portrait, bundle=BUNDLE)


def at_once(
    engine: Engine, actions: Sequence[Callable[[Session], object]]
) -> list[object | Exception]:
    """Runs each action in a transaction and thread of its own; what it gave or raised."""
    gate = threading.Barrier(len(actions))

    def run(action: Callable[[Session], object]) -> object | Exception:
        with engine.connect():  # a warm connection, so that the gate is the last thing before
            gate.wait(20)
        try:
            with transaction(engine) as session:
                return action(session)
        except Conflict as refusal:
            return refusal

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


def status(engine: Engine, job_id: int) -> JobStatus:
    with transaction(engine) as session:
        return jobs.job(session, job_id).row.status


def test_of_eight_claims_one_wins(crew: Crew, engine: Engine, people: list[PortraitKey]) -> None:
    submit(engine, [alone(people[0])])
    crew.tick()
    (message,) = crew.messages()

    def claim(session: Session) -> object:
        ids = (message["stage_id"], message["generation"])
        return stages.claim(session, *ids, worker="w", device="cpu", lease_s=30)

    results = at_once(engine, [claim] * 8)
    assert sum(result is not None for result in results) == 1
    assert offences(engine) == []


@pytest.mark.matrix(18)
@pytest.mark.parametrize("rounds", [6, pytest.param(75, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["reconstruct", "blend"])
def test_cancel_against_finish(
    crew: Crew, engine: Engine, people: list[PortraitKey], kind: str, rounds: int
) -> None:
    """Whoever locks the job first decides; either way the record is whole."""
    orders = random.Random(kind)
    seen = set()
    for round_ in range(rounds):
        (job_id,) = submit(engine, [replace(alone(people[0]), seed=round_)])
        crew.tick()
        message = crew.messages()[0]
        if kind == "blend":
            crew.run(message)
            crew.tick()
            message = crew.messages()[0]
        claim = crew.claim(message)
        assert claim is not None
        actions = [
            lambda session, claim=claim: succeed(session, claim),
            lambda session, job_id=job_id: jobs.cancel(session, job_id, by="ann"),
        ]
        orders.shuffle(actions)
        results = at_once(engine, actions)
        assert True in results, "the finish is recorded in both orders"
        assert offences(engine) == []
        seen.add(status(engine, job_id))
        if kind == "reconstruct":
            assert status(engine, job_id) is JobStatus.CANCELLED
    assert seen <= {JobStatus.CANCELLED, JobStatus.SUCCEEDED}


def test_cancel_before_finish_and_finish_before_cancel(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    for first, expected in (("cancel", JobStatus.CANCELLED), ("finish", JobStatus.SUCCEEDED)):
        (job_id,) = submit(engine, [alone(people[first == "cancel"])])
        crew.tick()
        crew.run(crew.messages()[0])
        crew.tick()
        claim = crew.claim(crew.messages()[0])
        assert claim is not None
        with transaction(engine) as session:
            if first == "cancel":
                jobs.cancel(session, job_id, by="ann")
            else:
                succeed(session, claim)
        with transaction(engine) as session:
            if first == "cancel":
                assert succeed(session, claim)
            else:
                with pytest.raises(Conflict, match="has succeeded already"):
                    jobs.cancel(session, job_id, by="ann")
        assert status(engine, job_id) is expected


@pytest.mark.matrix(18)
@pytest.mark.parametrize("rounds", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_claim_against_cancel(
    crew: Crew, engine: Engine, people: list[PortraitKey], rounds: int
) -> None:
    for round_ in range(rounds):
        (job_id,) = submit(engine, [replace(alone(people[0]), seed=round_)])
        crew.tick()
        (message,) = crew.messages()

        def claim(session: Session, message: dict[str, int] = message) -> object:
            ids = (message["stage_id"], message["generation"])
            return stages.claim(session, *ids, worker="w", device="cpu", lease_s=30)

        def cancel(session: Session, job_id: int = job_id) -> object:
            return jobs.cancel(session, job_id, by="ann")

        claimed, cancelled = at_once(engine, [claim, cancel])
        assert (claimed is None) == (cancelled is JobStatus.CANCELLED)
        if claimed is not None:
            with transaction(engine) as session:
                assert stages.hand_back(session, claimed, "cancelled")  # type: ignore[arg-type]
        assert status(engine, job_id) is JobStatus.CANCELLED
        assert offences(engine) == []


@pytest.mark.matrix(19)
def test_of_two_retries_one_counts(crew: Crew, engine: Engine, people: list[PortraitKey]) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    crew.work({"reconstruct": break_down()})
    results = at_once(engine, [lambda session: jobs.retry(session, job_id, by="ann")] * 2)
    assert sorted(map(type, results), key=str) == sorted([int, Conflict], key=str)
    crew.work()
    assert crew.ran == ["reconstruct", "reconstruct", "blend"]


@pytest.mark.matrix(21)
def test_of_two_submissions_with_one_key_one_counts(
    engine: Engine, people: list[PortraitKey]
) -> None:
    def ask(session: Session) -> object:
        new = [jobs.NewJob(name="a", spec=alone(people[0]))]
        return jobs.submit(session, name="b", jobs=new, bundle_name="t", idempotency_key="k")

    results = at_once(engine, [ask] * 4)
    assert [r for r in results if isinstance(r, int)] == [
        next(r.batch_id for r in results if isinstance(r, AlreadySubmitted))
    ]


def test_of_many_doorbells_one_rings(crew: Crew, engine: Engine, people: list[PortraitKey]) -> None:
    (job_id,) = submit(engine, [alone(people[0])])
    crew.tick()
    crew.run(crew.messages()[0])
    results = at_once(engine, [lambda s: dispatch.offer_blend(s, job_id, 1)] * 5)
    assert sum(map(bool, results)) == 1
    assert len(crew.messages()) == 1


@pytest.mark.parametrize("other", ["another early message", "the end of what they need"])
def test_a_message_before_its_needs_does_not_deadlock(
    crew: Crew, engine: Engine, people: list[PortraitKey], other: str
) -> None:
    """Two aligns of one portrait wait for its reconstruct; both sides are held at an artifact."""
    submit(engine, [hair_spec(*people[:3])])
    crew.tick()
    for message in crew.messages():
        crew.run(message)
    crew.tick()
    rows = crew.published()
    branch = next(b for row in rows for b in row.payload["branches"] if len(b) == 3)
    reconstruct, first, second = branch
    assert (first["kind"], second["kind"]) == ("align", "align")
    running = crew.claim(reconstruct)
    assert running is not None

    def rival() -> object:
        if other == "another early message":
            return crew.claim(first)
        with transaction(engine) as session:
            return break_down(final=False)(session, running)

    ids = {"first": first["stage_id"], "second": second["stage_id"]}
    with ThreadPoolExecutor(2) as pool:
        with engine.connect() as holder, holder.begin():
            building = "SELECT key FROM artifact WHERE builder_stage IN (:first, :second)"
            holder.execute(text(f"{building} FOR UPDATE"), ids)
            early = pool.submit(crew.claim, second)
            wait_for_locks(engine, 1)
            late = pool.submit(rival)
            wait_for_locks(engine, 2)
        results = (early.result(30), late.result(30))
    assert results == (None, None if other == "another early message" else True)
    assert offences(engine) == []
    with engine.connect() as connection:
        query = text("SELECT status FROM stage WHERE id = :second")
        assert connection.scalar(query, ids) == "pending"


@pytest.mark.parametrize("sooner", ["tick", "retry"])
def test_what_a_tick_reuses_at_this_moment_is_not_forgotten(
    crew: Crew, engine: Engine, people: list[PortraitKey], sooner: str
) -> None:
    """A job that runs again from its beginning, beside a tick that gives another what it made."""
    (first,) = submit(engine, [hair_spec(people[0], people[1])])
    crew.work()
    submit(engine, [hair_spec(people[0], people[2])])

    def tick(session: Session) -> int:
        return dispatch.fill(session, crew.settings)

    def retry(session: Session) -> int:
        return rework.run_from(session, first, StageKind.RECONSTRUCT, by="ann")

    def apart(deed: Callable[[Session], int]) -> int:
        with transaction(engine) as session:
            return deed(session)

    one, other = (tick, retry) if sooner == "tick" else (retry, tick)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            assert one(session)
            rival = pool.submit(apart, other)
            wait_for_locks(engine, 1, unless=rival.done)
        assert rival.result(30) > 0
    assert offences(engine) == []
    crew.work()
    with transaction(engine) as session:
        assert {row.status for row in jobs.jobs(session)} == {JobStatus.SUCCEEDED}


def wait_for_locks(
    engine: Engine, count: int, *, unless: Callable[[], bool] = lambda: False
) -> None:
    """Until so many statements wait for somebody else's lock, unless that is not to come."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    deadline = time.monotonic() + 20
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.scalar(waiting) < count and not unless():
            assert time.monotonic() < deadline, f"no {count} statements wait"
            time.sleep(0.02)


def test_finishes_of_shared_work_do_not_deadlock(
    crew: Crew, engine: Engine, people: list[PortraitKey]
) -> None:
    """Six jobs, each building what others wait for, finished and refilled at once."""
    submit(engine, [hair_spec(a, b) for a in people[:3] for b in people[:3] if a != b])
    crew.tick()
    while messages := crew.messages():
        claims = [claim for m in messages if (claim := crew.claim(m)) is not None]
        results = at_once(
            engine,
            [lambda session, claim=claim: succeed(session, claim) for claim in claims]
            + [lambda session: dispatch.fill(session, crew.settings)],
        )
        assert results[:-1] == [True] * len(claims)
        assert offences(engine) == []
        crew.tick()
    with transaction(engine) as session:
        assert {row.status for row in jobs.jobs(session)} == {JobStatus.SUCCEEDED}


@pytest.mark.parametrize("seed", range(2))
def test_any_history_ends_well(
    crew: Crew, engine: Engine, people: list[PortraitKey], seed: int
) -> None:
    """Random endings, losses, lost messages and operators; then calm: every job ends."""
    chance = random.Random(seed)
    specs = [hair_spec(*chance.sample(people, chance.choice([2, 3]))) for _ in range(4)]
    ids = submit(engine, specs, max_errors=30, max_losses=30)
    held = []
    for _ in range(15):
        crew.tick()
        for message in crew.messages():
            if chance.random() < 0.1:
                continue  # lost on its way
            claim = crew.claim(message)
            if claim is not None:
                held.append(claim)
        chance.shuffle(held)
        for claim in [held.pop() for _ in range(min(len(held), chance.randint(0, 6)))]:
            endings: list[Ending] = [succeed] * 6 + [break_down(final=False), break_down()]
            endings += [lambda s, c: stages.hand_back(s, c, "drained"), lambda s, c: None]
            with transaction(engine) as session:
                chance.choice(endings)(session, claim)
        with transaction(engine) as session:
            _meddle(session, chance, chance.choice(ids))
        assert offences(engine) == []
    _calm(engine, crew, ids)
    with transaction(engine) as session:
        assert {row.status for row in jobs.jobs(session)} == {JobStatus.SUCCEEDED}
    assert offences(engine) == []


def _meddle(session: Session, chance: random.Random, job_id: int) -> None:
    """What operators, dying machines and rotting disks do."""
    deed = chance.random()
    try:
        if deed < 0.1:
            jobs.cancel(session, job_id, by="ann")
        elif deed < 0.4:
            jobs.retry(session, job_id, by="ann")
        elif deed < 0.5:
            session.execute(
                text("UPDATE stage SET lease_until = now() WHERE status = 'running' AND id % 2 = 0")
            )
        elif deed < 0.6:
            session.execute(text("UPDATE stage SET ready_at = ready_at - interval '1 h'"))
        elif deed < 0.7:
            keys = session.scalars(text("SELECT key FROM artifact WHERE status = 'ready'")).all()
            if keys:
                stages.quarantine(session, chance.choice(sorted(keys)))
    except Conflict:
        pass


@pytest.mark.matrix(16)
@pytest.mark.parametrize("how", ["reuse", "retry"])
def test_a_job_that_begins_to_use_an_artifact_while_it_is_quarantined_has_it_built_anew(
    engine: Engine, crew: Crew, people: list[PortraitKey], how: str
) -> None:
    (second,) = submit(engine, [hair_spec(people[0], people[2])])
    if how == "retry":
        crew.work({"align": break_down()})
        assert status(engine, second) is JobStatus.FAILED
    else:
        with transaction(engine) as session:
            operate.pause(session, second, by="ann")
    (first,) = submit(engine, [hair_spec(people[0], people[1])])
    for _ in range(2):
        crew.tick()
        for message in crew.messages():
            crew.run(message, succeed if message["kind"] != "align" else break_down(final=False))
    shared = """SELECT s.key FROM stage s JOIN stage t USING (key) JOIN artifact a USING (key)
        WHERE s.job_id = :one AND t.job_id = :two AND a.kind = 'reconstruct' AND a.status = 'ready'
        LIMIT 1"""
    with engine.connect() as connection:
        key = connection.scalars(text(shared), {"one": first, "two": second}).one()

    def quarantine() -> None:
        with transaction(engine) as session:
            assert stages.quarantine(session, key)

    with engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(text(f"SELECT id FROM job WHERE id = {first} FOR NO KEY UPDATE"))
        done = pool.submit(quarantine)
        time.sleep(0.5)  # it has listed the jobs and waits for the first
        assert not done.done()
        with transaction(engine) as session:
            if how == "retry":
                rework.retry(session, second, by="ann")
            else:
                operate.resume(session, second, by="ann")
        crew.tick()
        holder.rollback()
        done.result(30)

    assert offences(engine) == []
    with transaction(engine) as session:
        jobs.cancel(session, first, by="ann")  # so that it does not build it for the second
    for _ in range(4):
        with transaction(engine) as session:
            session.execute(text("UPDATE stage SET ready_at = ready_at - interval '1 h'"))
        crew.work()
    assert status(engine, second) is JobStatus.SUCCEEDED
    assert offences(engine) == []


def _calm(engine: Engine, crew: Crew, ids: list[int]) -> None:
    """What was held is lost, what failed is retried, and nothing goes wrong any more."""
    for _ in range(4):
        with transaction(engine) as session:
            session.execute(
                text("UPDATE stage SET lease_until = now() - interval '1 s' WHERE worker > ''")
            )
            session.execute(text("UPDATE stage SET ready_at = ready_at - interval '1 h'"))
        for job_id in ids:
            try:
                with transaction(engine) as session:
                    jobs.retry(session, job_id, by="ann")
            except Conflict:
                continue
        crew.work()


def test_the_dispatcher_does_not_wait_for_a_long_submission_of_the_same_work(
    engine: Engine, people: list[PortraitKey], crew: Crew
) -> None:
    """Nor the submission for the dispatcher, or both wait in a ring."""
    submit(engine, [alone(people[0])])
    with transaction(engine) as session:
        staff(session)
    new = jobs.NewJob(name="second", spec=alone(people[0]))
    with transaction(engine) as submission:
        jobs.submit(submission, name="b", jobs=[new], bundle_name="tiny")  # not committed
        with transaction(engine) as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            assert dispatch.fill(session, crew.settings) == 1
    crew.work()
    with engine.connect() as connection:
        ended = connection.scalars(text("SELECT status FROM job")).all()
    assert ended == ["succeeded", "succeeded"]
