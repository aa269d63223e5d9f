"""Many jobs at once, in the background: each once, with a verdict, whoever dies in between."""

import threading
from dataclasses import replace

import pytest
from sqlalchemy import text

from barber.catalogue import bulk_actions, jobs, listing
from barber.catalogue.audit import entries
from barber.catalogue.bulk_actions import Wish
from barber.catalogue.bulk_tables import BulkStatus, BulkVerb
from barber.catalogue.db import transaction
from barber.catalogue.listing import Place, Sort
from barber.catalogue.selection import Selection
from barber.catalogue.status import JobStatus
from barber.errors import Conflict, InputError, NotFound
from tests.support.builders import Crew, break_down, hair_spec, known_portraits, submit, view

pytestmark = pytest.mark.integration

FAILED = Selection(statuses=(JobStatus.FAILED,))


@pytest.fixture
def people(engine):
    return known_portraits(engine, 9)


@pytest.fixture
def crew(engine, settings):
    return Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))


def wish(verb=BulkVerb.RETRY, chosen=FAILED, **options):
    return Wish(verb=verb, chosen=chosen, why="the disk is free again", **options)


def create(engine, asked, **options):
    with transaction(engine) as session:
        return bulk_actions.create(session, asked, by="ann", **options)


def row(engine, bulk_id):
    with transaction(engine) as session:
        return bulk_actions.one(session, bulk_id)


def report(engine, bulk_id, **options):
    with transaction(engine) as session:
        return bulk_actions.report(session, bulk_id, **options)


def finish(engine):
    while bulk_actions.work_off(engine, seconds=1.0):
        pass


def test_a_bulk_retry_touches_what_was_counted_and_says_why_not_the_rest(crew, engine, people):
    failed = submit(engine, [hair_spec(people[0], p) for p in people[1:4]])
    crew.work({"blend": break_down()})
    (waits,) = submit(engine, [hair_spec(people[4], people[5])])
    everything = Selection(text="job-")
    with transaction(engine) as session:
        outlook = bulk_actions.forecast(session, BulkVerb.RETRY, everything)
    assert (outlook.total, outlook.touched) == (4, 3)
    assert outlook.left == {JobStatus.QUEUED: 1}

    bulk_id = create(engine, wish(chosen=everything), expected=4)
    assert row(engine, bulk_id).status is BulkStatus.WAITING
    late = submit(engine, [hair_spec(people[6], people[7])])  # is not taken
    finish(engine)
    done = row(engine, bulk_id)
    assert (done.status, done.done, done.skipped, done.total) == (BulkStatus.DONE, 3, 1, 4)
    verdicts = report(engine, bulk_id)
    assert [v.job_id for v in verdicts] == [*failed, waits]
    assert [v.done for v in verdicts] == [True, True, True, False]
    assert verdicts[0].outcome == "1 stage set back"
    assert "has no failed stage" in verdicts[-1].outcome
    assert [v.job_id for v in report(engine, bulk_id, skipped=True)] == [waits]
    assert {view(engine, j).row.status for j in failed} == {JobStatus.RUNNING}
    assert view(engine, late[0]).row.status is JobStatus.QUEUED
    with transaction(engine) as session:
        told = {(e.verb, e.who, e.why) for e in entries(session)}
    assert ("bulk action", "ann", "the disk is free again") in told
    assert ("retry", "ann", "the disk is free again") in told


def test_whoever_dies_in_between_has_done_nothing_and_another_goes_on(
    crew, engine, people, monkeypatch
):
    submit(engine, [hair_spec(people[0], p) for p in people[1:6]])
    crew.work({"blend": break_down()})
    bulk_id = create(engine, wish())
    whole = bulk_actions._act
    calls = []

    def dies_at_the_third(session, bulk, job_id, by):
        outcome = whole(session, bulk, job_id, by)
        calls.append(job_id)
        if len(calls) == 3:
            raise KeyboardInterrupt  # after the change, before its verdict
        return outcome

    monkeypatch.setattr(bulk_actions, "_act", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        bulk_actions.work_off(engine, seconds=60)
    assert row(engine, bulk_id).done == 2
    assert view(engine, calls[2]).row.status is JobStatus.FAILED

    several = [threading.Thread(target=finish, args=(engine,)) for _ in range(3)]
    for each in several:
        each.start()
    for each in several:
        each.join(60)
    finish(engine)
    assert (row(engine, bulk_id).done, row(engine, bulk_id).status) == (5, BulkStatus.DONE)
    assert sorted(calls) == sorted([*{*calls}, calls[2]]), "each once, but for the one that died"


def test_a_bulk_action_that_is_stopped_leaves_the_rest(crew, engine, people):
    submit(engine, [hair_spec(people[0], p) for p in people[1:4]])
    bulk_id = create(engine, wish(BulkVerb.CANCEL, Selection(batch_id=1)))
    with transaction(engine) as session:
        assert bulk_actions._next(session)
    with transaction(engine) as session:
        assert bulk_actions.stop(session, bulk_id, by="bob").status is BulkStatus.STOPPED
    finish(engine)
    ended = row(engine, bulk_id)
    assert (ended.done, ended.left, ended.stopped_by) == (1, 2, "bob")
    with transaction(engine) as session, pytest.raises(Conflict, match="is stopped already"):
        bulk_actions.stop(session, bulk_id, by="bob")


def test_a_priority_goes_to_what_waits(crew, engine, people):
    (done,) = submit(engine, [hair_spec(people[0], people[1])])
    crew.work()
    (waits,) = submit(engine, [hair_spec(people[2], people[3])])
    bulk_id = create(engine, wish(BulkVerb.PRIORITY, Selection(job_ids=(done, waits)), priority=7))
    finish(engine)
    assert [v.done for v in report(engine, bulk_id)] == [False, True]
    assert view(engine, waits).row.priority == 7


def test_deleted_jobs_are_gone_and_what_others_share_stays(crew, engine, people):
    same = hair_spec(people[0], people[1])
    gone, stays = submit(engine, [same, same])
    crew.work()
    (waits,) = submit(engine, [hair_spec(people[2], people[3])])
    result = view(engine, stays).result_key
    bulk_id = create(engine, wish(BulkVerb.DELETE, Selection(job_ids=(gone, waits))))
    finish(engine)
    first, second = report(engine, bulk_id)
    assert (first.done, first.name, first.status) == (True, None, None)
    assert (second.done, "cancel it first" in second.outcome) == (False, True)
    with transaction(engine) as session, pytest.raises(NotFound):
        jobs.job(session, gone)
    assert view(engine, stays).result_key == result
    assert view(engine, stays).row.result_file
    with transaction(engine) as session:
        assert jobs.batch(session, 1).total == 1
        (told,) = [e for e in entries(session, job_id=gone) if e.verb == "delete"]
    assert told.why == "the disk is free again"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (wish(chosen=Selection()), "no condition"),
        (wish(BulkVerb.PRIORITY), "priority goes with"),
        (wish(BulkVerb.RETRY, priority=3), "priority goes with"),
        (wish(BulkVerb.PRIORITY, priority=4000), "4000"),
        (replace(wish(), why=" "), "say why"),
    ],
)
def test_what_is_no_wish_is_told(engine, asked, said):
    with pytest.raises(InputError, match=said):
        create(engine, asked)


def test_a_count_that_has_changed_is_refused(engine, people):
    with pytest.raises(Conflict, match="meets no jobs"):
        create(engine, wish())
    submit(engine, [hair_spec(people[0], people[1])])
    with pytest.raises(Conflict, match="meets 1 jobs now, not 2"):
        create(engine, wish(BulkVerb.CANCEL, Selection(batch_id=1)), expected=2)


def test_pages_of_every_order_hold_each_job_once(crew, engine, people):
    for number in range(3):
        specs = [hair_spec(people[number], p) for p in people[4:7]]
        submit(engine, specs, priority=number % 2, name=f"night-{number}", submitted_by="olga")
    crew.work({"align": break_down("no luck at step 17")})
    with transaction(engine) as session:
        ids = set(range(1, 10))
        (key,) = session.execute(text("SELECT DISTINCT cause FROM job")).scalars()
        for chosen in (
            Selection(),
            Selection(cause=key),
            Selection(text="night-"),
            Selection(person="olga"),
            Selection(person="olga", statuses=(JobStatus.FAILED,)),
        ):
            for sort in Sort:
                seen, after = [], None
                while found := listing.page(session, chosen, limit=2, sort=sort, after=after):
                    seen += [place.job_id for place in found]
                    after = Place.parse(str(found[-1]), sort)
                assert len(seen) == 9, (chosen, sort)
                assert set(seen) == ids
        oldest = listing.page(session, Selection(), limit=9, sort=Sort.OLDEST)
        assert [place.job_id for place in oldest] == sorted(ids)
        first = listing.page(session, Selection(), limit=3, sort=Sort.PRIORITY)
        assert [place.job_id for place in first] == [6, 5, 4]


@pytest.mark.parametrize(
    ("place", "sort"),
    [
        ("x", "newest"),
        ("1.5", "newest"),
        ("5", "priority"),
        ("9999.5", "priority"),
        ("-1.5", "updated"),
    ],
)
def test_a_place_of_another_list_is_refused(place, sort):
    with pytest.raises(InputError, match="no place in a list"):
        Place.parse(place, Sort(sort))
