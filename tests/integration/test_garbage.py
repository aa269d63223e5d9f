"""What is deleted because nobody needs it, and what never is, whoever comes at that moment."""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from barber.catalogue import events, garbage, jobs, making, operate, rework, stages
from barber.catalogue.db import transaction
from barber.catalogue.garbage import NAMES_A_FILE, SHARDS, Keep, Rubbish
from barber.catalogue.stages import Claim
from barber.catalogue.status import EventKind, JobStatus
from barber.catalogue.store import Store
from barber.catalogue.tables import Base
from barber.plan import StageKind
from barber.settings import Settings
from barber.spec import StageParams
from tests.support.builders import Crew, break_down, hair_spec, register_portraits, submit, view
from tests.support.invariants import offences

pytestmark = pytest.mark.integration

KEEP = Keep(days=30)
ALL = Keep(days=0, intermediate_days=0, orphan_s=0, past_s=0)


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store_dir)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, replace(settings, window=50, sweep_s=0, backoff_s=0))


@pytest.fixture
def ending(store: Store):
    """A stage that really puts a file into the store."""

    def finish(session: Session, claim: Claim) -> bool:
        file = store.store_file(claim.planned.key.encode(), "image/png")
        return stages.finish(session, claim, files={"image": file}, recipe={"made": "up"})

    return finish


def collect(engine: Engine, store: Store, keep: Keep, *, dry_run: bool = False) -> Rubbish:
    """All that there is to collect; empty shards are left out."""
    with transaction(engine) as session:
        found = garbage.collect_rows(session, keep, dry_run=dry_run)
        found += garbage.collect_events(session, keep, dry_run=dry_run)[0]
        keys = session.scalars(text("SELECT key FROM artifact")).all()
    for shard in sorted({int(key[:2], 16) for key in keys}):
        assert shard < SHARDS
        with transaction(engine) as session:
            found += garbage.collect_artifacts(session, shard, keep, dry_run=dry_run)
    with transaction(engine) as session:
        for shard in sorted({int(name[:2], 16) for name in files(store)}):
            found += garbage.collect_files(session, store, shard, keep, dry_run=dry_run)
    return found


def grow_old(engine: Engine, store: Store, days: float = 40) -> None:
    with transaction(engine) as session:
        for table, column in (("artifact", "last_used_at"), ("event", "at")):
            session.execute(text(f"UPDATE {table} SET {column} = now() - interval '{days} days'"))
    for path in store.root.glob("*/*/*"):
        os.utime(path, (time.time() - days * 86_400,) * 2)


def files(store: Store) -> set[str]:
    return {path.name for path in store.root.glob("*/*/*")}


def run(crew: Crew, engine: Engine, ending, *specs) -> list[int]:
    ids = submit(engine, specs)
    kinds = ("target", "reconstruct", "align", "blend")
    crew.work(dict.fromkeys(kinds, ending))
    return ids


def test_what_jobs_refer_to_stays_and_orphans_go(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    people = register_portraits(engine, store, 3)
    (job_id,) = run(crew, engine, ending, hair_spec(*people))
    needed = files(store)
    orphan = store.put(b"nobody names me")
    grow_old(engine, store)
    young = store.put(b"my row is not written yet")
    told = collect(engine, store, KEEP, dry_run=True)
    assert files(store) == needed | {orphan, young}, "a dry run deletes nothing"
    assert collect(engine, store, KEEP) == told
    assert (told.artifacts, told.files, told.file_bytes) == (0, 1, len(b"nobody names me"))
    assert files(store) == needed | {young}
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED
    assert offences(engine) == []


def test_an_artifact_that_no_job_wants_any_more_goes(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    people = register_portraits(engine, store, 2)
    (job_id,) = run(crew, engine, ending, hair_spec(*people))
    old_result = view(engine, job_id).result_key
    with transaction(engine) as session:
        rework.change_params(session, job_id, {"blend": {"steps": 3}}, by="ann")
    crew.work(dict.fromkeys(("blend",), ending))
    assert collect(engine, store, KEEP).artifacts == 0, "not that old yet"
    grow_old(engine, store)
    found = collect(engine, store, KEEP)
    assert (found.artifacts, found.files) == (1, 1)
    with engine.connect() as connection:
        query = text("SELECT status, recipe FROM artifact WHERE key = :key")
        assert connection.execute(query, {"key": old_result}).one() == ("missing", {"made": "up"})
    assert view(engine, job_id).row.result_file in files(store)
    assert offences(engine) == []


def test_intermediates_go_only_when_asked_and_of_jobs_that_are_over(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    people = register_portraits(engine, store, 4)
    (done,) = run(crew, engine, ending, hair_spec(*people[:2]))
    (failed,) = submit(engine, [hair_spec(*people[2:])])
    kept = dict.fromkeys(("target", "reconstruct", "align"), ending)
    crew.work(kept | {"blend": break_down()})
    spec = view(engine, done).spec
    with transaction(engine) as session:
        before = making.recipe(session, spec)
    grow_old(engine, store)
    assert collect(engine, store, KEEP).artifacts == 0
    found = collect(engine, store, ALL)
    assert (found.artifacts, found.files) == (4, 4), "two codes, two alignments"
    with transaction(engine) as session:
        assert making.recipe(session, spec) == before, "it still tells how it was made"
        jobs.retry(session, failed, by="ann")
    crew.ran.clear()
    crew.work(dict.fromkeys(("blend",), ending))
    assert crew.ran == ["blend"], "what a retry would find done was kept"
    with transaction(engine) as session:
        rework.run_from(session, done, StageKind.BLEND, by="ann")
    crew.ran.clear()
    crew.work({**kept, "blend": ending})
    assert sorted(crew.ran) == ["align", "align", "blend", "reconstruct", "reconstruct"]
    assert offences(engine) == []


@pytest.mark.matrix(17)
def test_what_a_cancelled_job_leaves_is_collected_and_a_retry_makes_it_anew(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    """Cancelled between the writing of an alignment's file and its acceptance."""
    (job_id,) = submit(engine, [hair_spec(*register_portraits(engine, store, 2))])
    aligns = []
    for _ in range(2):  # the target, then everything else in one chord
        crew.tick()
        for message in crew.messages():
            if message["kind"] == "align":
                aligns.append(message)
            else:
                crew.run(message, ending)
    made = ready(engine)
    claim = crew.claim(aligns[0])
    assert claim is not None
    unaccepted = store.store_file(claim.planned.key.encode(), "image/png").sha256
    with transaction(engine) as session:
        operate.cancel(session, job_id, by="ann")
        assert stages.hand_back(session, claim, "its job was cancelled")
    assert view(engine, job_id).row.status is JobStatus.CANCELLED

    assert collect(engine, store, KEEP).files == 0, "not that old yet"
    grow_old(engine, store)
    assert collect(engine, store, KEEP).files == 1
    assert unaccepted not in files(store)
    assert ready(engine) == made, "what was accepted serves a retry, or another job"
    found = collect(engine, store, replace(KEEP, intermediate_days=7))
    assert (found.artifacts, found.files) == (len(made) - 1, len(made) - 1), "all but the mask"

    with transaction(engine) as session:
        jobs.retry(session, job_id, by="ann")
    crew.work(dict.fromkeys(("target", "reconstruct", "align", "blend"), ending))
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED
    assert offences(engine) == []


def ready(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT key FROM artifact WHERE status = 'ready'")))


def test_a_job_submitted_at_that_moment_finds_its_artifact_or_makes_it(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    """Both orders of the two row locks; neither waits for the other in a ring."""
    people = register_portraits(engine, store, 2)
    (job_id,) = run(crew, engine, ending, hair_spec(*people))
    with transaction(engine) as session:
        rework.change_params(session, job_id, {"blend": {"steps": 3}}, by="ann")
    crew.work({"blend": ending})
    grow_old(engine, store)
    old = replace(view(engine, job_id).spec, params=StageParams())
    with transaction(engine) as submitter:
        new = [jobs.NewJob(name="again", spec=old)]
        batch = jobs.submit(submitter, name="b", jobs=new, bundle_name="tiny")
        assert collect(engine, store, KEEP).artifacts == 0, "held by what is not committed yet"
    crew.ran.clear()
    crew.work()
    assert crew.ran == [], "all of it was there"
    with transaction(engine) as session:
        assert jobs.batch(session, batch).counts[JobStatus.SUCCEEDED] == 1
    assert offences(engine) == []


def test_a_job_submitted_right_after_makes_it_again(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    people = register_portraits(engine, store, 2)
    (job_id,) = run(crew, engine, ending, hair_spec(*people))
    spec = view(engine, job_id).spec
    with transaction(engine) as session:
        rework.change_params(session, job_id, {"blend": {"steps": 3}}, by="ann")
    crew.work({"blend": ending})
    grow_old(engine, store)
    assert collect(engine, store, KEEP).artifacts == 1
    crew.ran.clear()
    (again,) = submit(engine, [spec])
    crew.work({"blend": ending})
    assert crew.ran == ["blend"]
    assert view(engine, again).row.status is JobStatus.SUCCEEDED


def test_a_file_put_again_is_not_deleted_under_the_putter(store: Store) -> None:
    digest = store.put(b"twice")
    path = store.path(digest)
    os.utime(path, (0, 0))
    store.put(b"twice")
    assert not store.delete_old(digest, 60), "it is young again"
    os.utime(path, (0, 0))
    assert store.delete_old(digest, 60)
    assert not store.delete_old(digest, 60)
    store.put(b"twice")
    assert store.get(digest) == b"twice"


def test_every_column_that_names_a_file_is_asked() -> None:
    no_file = {"portrait.sha256"}  # of pixels
    no_file_either = {"secret_sha256", "request_sha256"}  # of what people and programs send
    named = {
        str(column)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if re.search("sha256|^file_[ab]$", column.name) and column.name not in no_file_either
    }
    assert named - no_file == {str(column.property.columns[0]) for column in NAMES_A_FILE}


def test_the_past_of_jobs_that_succeeded_goes_first(
    crew: Crew, engine: Engine, store: Store, ending
) -> None:
    people = register_portraits(engine, store, 4)
    (good,) = run(crew, engine, ending, hair_spec(*people[:2]))
    (bad,) = submit(engine, [hair_spec(*people[2:])])
    crew.work({"target": break_down()})
    grow_old(engine, store, days=2)
    found = collect(engine, store, KEEP)
    assert found.events > 0
    assert view(engine, good).events == ()
    assert EventKind.JOB_FAILED in {event.kind for event in view(engine, bad).events}
    grow_old(engine, store, days=40)
    collect(engine, store, KEEP)
    with transaction(engine) as session:
        assert events.since(session, 0) == []


def test_events_are_looked_through_some_at_a_time(
    crew: Crew, engine: Engine, store: Store, ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = register_portraits(engine, store, 6)
    (bad,) = submit(engine, [hair_spec(*people[2:4])])
    crew.work({"target": break_down()})
    (good,) = run(crew, engine, ending, hair_spec(*people[:2]))
    kept = len(view(engine, bad).events)
    grow_old(engine, store, days=2)
    (young,) = submit(engine, [hair_spec(*people[4:])])
    crew.tick()
    monkeypatch.setattr(garbage, "MOST_ROWS", 3)
    deleted, after, rounds = 0, -1, 0
    while after:
        with transaction(engine) as session:
            found, after = garbage.collect_events(session, KEEP, after=max(after, 0))
        deleted, rounds = deleted + found.events, rounds + 1
        assert found.events <= 3
    assert deleted > 3 and rounds > kept // 3
    assert view(engine, good).events == ()
    assert len(view(engine, bad).events) == kept
    assert view(engine, young).events


def test_previews_of_stages_that_ended_go(crew: Crew, engine: Engine, store: Store, ending) -> None:
    people = register_portraits(engine, store, 2)
    submit(engine, [hair_spec(*people)])
    crew.tick()
    claim = crew.claim(crew.messages()[0])
    assert claim is not None
    with transaction(engine) as session:
        assert stages.record_preview(session, claim, step=1, png=b"png")
        session.execute(text("UPDATE stage_preview SET at = now() - interval '2 days'"))
    assert collect(engine, store, KEEP).previews == 0, "it runs"
    with transaction(engine) as session:
        ending(session, claim)
    assert collect(engine, store, KEEP).previews == 1
