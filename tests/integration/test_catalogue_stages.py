"""One stage between its workers: claims, leases, fences, budgets."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from barber.catalogue import dispatch, jobs, stages
from barber.catalogue.db import transaction
from barber.catalogue.jobs import StageView
from barber.catalogue.stages import Claim, Pulse
from barber.catalogue.status import EventKind, JobStatus, Outcome, StageStatus
from barber.errors import NotFound
from barber.settings import Settings
from barber.spec import JobSpec
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
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


@pytest.fixture
def job_id(engine: Engine) -> int:
    """A job with an empty plan: one reconstruct, then the blend."""
    (portrait,) = known_portraits(engine, 1)
    return submit(engine, [JobSpec(identity=portrait, bundle=BUNDLE)])[0]


@pytest.fixture
def message(crew: Crew, job_id: int) -> Message:
    """The message about the job's reconstruct."""
    crew.tick()
    return crew.messages()[0]


def first(engine: Engine, job_id: int) -> StageView:
    return view(engine, job_id).stages[0]


def expire(engine: Engine) -> None:
    """Every lease ends now."""
    with transaction(engine) as session:
        session.execute(
            text("UPDATE stage SET lease_until = now() - interval '1 s' WHERE status = 'running'")
        )


def forget_backoff(engine: Engine) -> None:
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET not_before = NULL"))


def claimed(crew: Crew, message: Message, worker: str = "w1") -> Claim:
    claim = crew.claim(message, worker)
    assert claim is not None
    return claim


def lose(crew: Crew, engine: Engine) -> int:
    expire(engine)
    with transaction(engine) as session:
        return dispatch.reap(session, crew.settings)


def again(crew: Crew, engine: Engine) -> Message:
    """The message of the next dispatch, whatever the backoff."""
    forget_backoff(engine)
    crew.tick()
    return crew.messages()[0]


def test_a_doubled_message_finds_nothing_to_claim(crew: Crew, message: Message) -> None:
    assert crew.claim(message) is not None
    assert crew.claim(message) is None


def test_a_message_of_another_generation_finds_nothing(crew: Crew, message: Message) -> None:
    assert crew.claim(message | {"generation": message["generation"] + 1}) is None
    assert crew.claim(message | {"generation": message["generation"] - 1}) is None


def test_a_message_about_no_stage_finds_nothing(crew: Crew, message: Message) -> None:
    assert crew.claim(message | {"stage_id": 10**12}) is None


def test_claim_brings_spec_plan_and_bundle(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    found = view(engine, claim.job_id)
    assert claim.spec == found.spec
    assert claim.planned.key == found.stages[0].key
    assert claim.bundle_name == "tiny"
    assert found.stages[0].attempts[0].worker == "w1"


def test_heartbeat_tells_progress_and_renews(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    before = first(engine, claim.job_id).lease_until
    with transaction(engine) as session:
        losses = {"total": 2.5}
        told = {"progress": 0.25, "note": "w+ 5 of 20", "losses": losses}
        assert stages.heartbeat(session, claim, lease_s=500, **told) is Pulse.GO
    stage = first(engine, claim.job_id)
    assert (stage.progress, stage.note, stage.losses_now) == (0.25, "w+ 5 of 20", losses)
    assert before is not None and stage.lease_until is not None
    assert (stage.lease_until - before).total_seconds() > 400
    with transaction(engine) as session:
        assert stages.heartbeat(session, claim, lease_s=30) is Pulse.GO
    assert first(engine, claim.job_id).progress == 0.25, "what is not told stays"


def test_nothing_that_a_stage_says_stops_its_heartbeat(
    crew: Crew, engine: Engine, message: Message
) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        told = {"progress": 1.0000001, "note": "a\0b \udcff"}
        losses = {"total": float("nan"), "style": float("inf"), "l2": 1.5}
        pulse = stages.heartbeat(session, claim, lease_s=30, losses=losses, **told)
    assert pulse is Pulse.GO
    stage = first(engine, claim.job_id)
    assert (stage.progress, stage.note) == (1.0, "ab ?")
    assert stage.losses_now == {"total": None, "style": None, "l2": 1.5}
    with transaction(engine) as session:
        assert break_down("no file \udcff\0.png")(session, claim)
    assert first(engine, claim.job_id).error == "no file ?.png"


def test_heartbeats_touch_no_index(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    query = text("""SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables
                     WHERE relname = 'stage'""")
    with transaction(engine) as session:
        updates, hot = session.execute(query).one()
        for step in range(5):
            stages.heartbeat(session, claim, lease_s=30, progress=step / 5, note=str(step))
        assert tuple(session.execute(query).one()) == (updates + 5, hot + 5)


def test_heartbeat_hears_of_a_cancel(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        status = jobs.cancel(session, claim.job_id, by="ann", why="wrong hair")
    assert status is JobStatus.RUNNING
    with transaction(engine) as session:
        assert stages.heartbeat(session, claim, lease_s=30) is Pulse.CANCEL
        assert stages.hand_back(session, claim, "cancelled")
    found = view(engine, claim.job_id)
    assert found.row.status is JobStatus.CANCELLED
    assert {stage.status for stage in found.stages} == {StageStatus.CANCELLED}
    assert found.stages[0].attempts[0].outcome is Outcome.CANCELLED
    assert offences(engine) == []


def test_a_lost_lease_is_repeated_by_another_and_fenced(
    crew: Crew, engine: Engine, message: Message
) -> None:
    zombie = claimed(crew, message, "w1")
    assert lose(crew, engine) == 1
    with transaction(engine) as session:
        assert stages.heartbeat(session, zombie, lease_s=30) is Pulse.LOST
        assert not stages.record_preview(session, zombie, step=9, png=b"late")
        assert not succeed(session, zombie)
    heir = claimed(crew, again(crew, engine), "w2")
    assert heir.token == zombie.token + 1
    with transaction(engine) as session:
        assert not succeed(session, zombie)
        assert not stages.hand_back(session, zombie, "late")
        assert not break_down()(session, zombie)
    with transaction(engine) as session:
        assert succeed(session, heir)
    with transaction(engine) as session:
        assert not succeed(session, zombie)
    stage = first(engine, heir.job_id)
    assert stage.status is StageStatus.SUCCEEDED
    assert [attempt.outcome for attempt in stage.attempts] == [Outcome.FENCED, Outcome.SUCCEEDED]
    assert (stage.losses, stage.errors) == (1, 0)
    assert offences(engine) == []


def test_a_live_lease_is_not_reaped(crew: Crew, engine: Engine, message: Message) -> None:
    claimed(crew, message)
    with transaction(engine) as session:
        assert dispatch.reap(session, crew.settings) == 0


def test_a_finish_repeated_after_a_lost_answer_is_true(
    crew: Crew, engine: Engine, message: Message
) -> None:
    claim = claimed(crew, message)
    for _ in range(2):
        with transaction(engine) as session:
            assert succeed(session, claim)
    events = view(engine, claim.job_id).events
    assert [event.kind for event in events].count(EventKind.SUCCEEDED) == 1


def test_losses_and_errors_have_budgets_of_their_own(
    crew: Crew, engine: Engine, message: Message
) -> None:
    for _ in range(2):
        crew.run(message, break_down(final=False))
        message = again(crew, engine)
    for _ in range(4):
        claimed(crew, message)
        assert lose(crew, engine) == 1
        message = again(crew, engine)
    claim = claimed(crew, message)
    stage = first(engine, claim.job_id)
    assert (stage.status, stage.errors, stage.losses) == (StageStatus.RUNNING, 2, 4)
    assert claim.errors == 2, "a worker must know the earlier errors: a bug is repeated only once"


def test_the_last_loss_fails_the_stage_and_its_job(
    crew: Crew, engine: Engine, message: Message
) -> None:
    job_id = claimed(crew, message).job_id
    for _ in range(4):
        lose(crew, engine)
        claimed(crew, again(crew, engine))
    lose(crew, engine)
    found = view(engine, job_id)
    assert found.stages[0].status is StageStatus.FAILED
    assert found.row.status is JobStatus.FAILED
    assert found.row.error_class == "WorkerLost"
    assert found.row.error == "worker w1 stopped without a word; that was time 5 for this stage"
    assert offences(engine) == []


def test_the_last_error_fails_the_stage(crew: Crew, engine: Engine, message: Message) -> None:
    for n in range(3):
        crew.run(message, break_down(f"time {n}", final=False))
        if n < 2:
            message = again(crew, engine)
    stage = view(engine, 1).stages[0]
    assert (stage.status, stage.errors, stage.error) == (StageStatus.FAILED, 3, "time 2")
    assert [attempt.error for attempt in stage.attempts] == ["time 0", "time 1", "time 2"]


def test_a_final_error_fails_at_once(crew: Crew, engine: Engine, message: Message) -> None:
    crew.run(message, break_down("no face in portrait-0.png"))
    found = view(engine, 1)
    assert found.stages[0].status is StageStatus.FAILED
    assert found.row.status is JobStatus.FAILED
    assert (found.row.error_class, found.row.error) == ("StageError", "no face in portrait-0.png")


def test_the_wait_before_a_repeat_doubles_and_is_spread(
    crew: Crew, engine: Engine, message: Message
) -> None:
    waits = []
    for _ in range(2):
        claim = claimed(crew, message)
        with transaction(engine) as session:
            stages.fail(session, claim, error_class="E", message="m", final=False, backoff_s=10)
            query = text("SELECT extract(epoch FROM not_before - now()) FROM stage WHERE id = :id")
            waits.append(float(session.scalar(query, {"id": claim.stage_id})))
        assert crew.tick() == 0, "not before its time"
        message = again(crew, engine)
    assert 5 <= waits[0] <= 10 <= waits[1] <= 20
    assert set(waits) != {10, 20}, "not all at the same moment"


def test_a_drained_worker_hands_back_without_cost(
    crew: Crew, engine: Engine, message: Message
) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        assert stages.hand_back(session, claim, "worker shuts down")
    stage = first(engine, claim.job_id)
    assert (stage.status, stage.errors, stage.losses) == (StageStatus.PENDING, 0, 0)
    assert stage.attempts[0].outcome is Outcome.RETURNED
    assert crew.tick() == 1, "no backoff either"
    assert offences(engine) == []


def test_an_error_after_a_cancel_ends_the_job(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        jobs.cancel(session, claim.job_id, by="ann")
    with transaction(engine) as session:
        assert break_down(final=False)(session, claim)
    assert view(engine, claim.job_id).row.status is JobStatus.CANCELLED


def test_a_worker_lost_after_a_cancel_ends_the_job(
    crew: Crew, engine: Engine, message: Message
) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        jobs.cancel(session, claim.job_id, by="ann")
    lose(crew, engine)
    assert view(engine, claim.job_id).row.status is JobStatus.CANCELLED


def test_the_latest_preview_is_kept(crew: Crew, engine: Engine, message: Message) -> None:
    claim = claimed(crew, message)
    with transaction(engine) as session:
        assert stages.preview(session, claim.stage_id) is None
        assert stages.record_preview(session, claim, step=1, png=b"one")
        assert stages.record_preview(session, claim, step=2, png=b"two")
    with transaction(engine) as session:
        shown = stages.preview(session, claim.stage_id)
    assert shown is not None and (shown.step, shown.png) == (2, b"two")
    assert first(engine, claim.job_id).preview_step == 2


def test_a_message_ahead_of_its_needs_goes_back(
    crew: Crew, engine: Engine, settings: Settings
) -> None:
    a, b = known_portraits(engine, 2)
    (job_id,) = submit(engine, [hair_spec(a, b)])
    crew.tick()
    crew.run(crew.messages()[0])
    crew.tick()
    reconstruct, align, *_ = crew.messages()
    assert (reconstruct["kind"], align["kind"]) == ("reconstruct", "align")
    assert crew.claim(align) is None
    by_id = {stage.id: stage for stage in view(engine, job_id).stages}
    assert by_id[align["stage_id"]].status is StageStatus.PENDING
    assert offences(engine) == []
    crew.run(reconstruct)
    crew.work()
    assert view(engine, job_id).stages[-1].status is StageStatus.PENDING, "the other branch is out"


def test_a_failed_reconstruct_takes_its_branch_back_and_lets_the_others_finish(
    crew: Crew, engine: Engine, settings: Settings
) -> None:
    a, b = known_portraits(engine, 2)
    (job_id,) = submit(engine, [hair_spec(a, b)])
    crew.tick()
    crew.run(crew.messages()[0])
    crew.tick()
    ours, our_align, other, other_align = crew.messages()
    crew.run(ours, break_down("nothing like it"))
    assert crew.run(our_align) is None
    found = view(engine, job_id)
    assert found.row.status is JobStatus.RUNNING, "the other branch can still finish"
    crew.run(other)
    assert view(engine, job_id).row.status is JobStatus.RUNNING
    crew.run(other_align)
    found = view(engine, job_id)
    assert found.row.status is JobStatus.FAILED
    assert found.row.error == "nothing like it"
    assert offences(engine) == []


def test_a_job_planned_by_another_method_version_fails_with_the_remedy(
    crew: Crew, engine: Engine, message: Message
) -> None:
    with transaction(engine) as session:
        session.execute(
            text("UPDATE job SET spec = jsonb_set(spec, '{params,reconstruct,fs_steps}', '7')")
        )
    assert crew.claim(message) is None
    row = view(engine, 1).row
    assert (row.status, row.error_class) == (JobStatus.FAILED, "MethodChanged")
    assert row.error == "this job was planned by another version of the method: submit it again"
    assert offences(engine) == []


def test_a_damaged_artifact_is_rebuilt_once(crew: Crew, engine: Engine, message: Message) -> None:
    crew.run(message)
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET ready_at = now() - interval '1 h'"))
    crew.tick()
    (blend,) = crew.messages()
    claim = claimed(crew, blend)
    key = claim.planned.needs[0]
    with transaction(engine) as session:
        assert stages.quarantine(session, key)
        assert not stages.quarantine(session, key), "once"
        with pytest.raises(NotFound):
            stages.artifact_files(session, key)
        break_down("damaged file", final=False)(session, claim)
    assert offences(engine) == []
    forget_backoff(engine)
    crew.ran.clear()
    crew.work()
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET ready_at = now() - interval '1 h'"))
    crew.work()
    assert crew.ran == ["reconstruct", "blend"]
    assert view(engine, claim.job_id).row.status is JobStatus.SUCCEEDED
    assert offences(engine) == []


def test_a_damaged_result_is_made_again(crew: Crew, engine: Engine, message: Message) -> None:
    crew.run(message)
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET ready_at = now() - interval '1 h'"))
    crew.work()
    found = view(engine, 1)
    assert found.row.status is JobStatus.SUCCEEDED and found.result_key is not None
    with transaction(engine) as session:
        assert stages.quarantine(session, found.result_key)
        assert stages.artifact_files(session, found.stages[0].key)
    assert view(engine, 1).row.status is JobStatus.RUNNING
    crew.ran.clear()
    crew.tick()
    with transaction(engine) as session:
        session.execute(text("UPDATE stage SET ready_at = now() - interval '1 h'"))
    crew.work()
    assert crew.ran == ["blend"]
    assert view(engine, 1).row.status is JobStatus.SUCCEEDED
