"""Which snapshots are still needed, and what the record says of an attempt that used one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from barber.catalogue import operate, snapshots, stages
from barber.catalogue.claims import Claim
from barber.catalogue.db import transaction
from barber.catalogue.snapshots import Kept, SnapshotFiles
from barber.catalogue.store import Store
from barber.settings import Settings
from tests.support.builders import Crew, break_down, hair_spec, known_portraits, submit, view

pytestmark = pytest.mark.integration

KEPT = Kept(taken=120, note="fs 20/300", data=b"state")


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


@pytest.fixture
def files(settings: Settings) -> SnapshotFiles:
    return SnapshotFiles(Store(settings.store_dir))


def first_claim(crew: Crew, files: SnapshotFiles) -> Claim:
    """The claim of a job's target stage, which has left a snapshot."""
    (message,) = crew.messages()
    claim = crew.claim(message)
    assert claim is not None
    files.write(claim, {}, KEPT)
    return claim


def swept(engine: Engine, files: SnapshotFiles) -> int:
    with transaction(engine) as session:
        return snapshots.sweep(session, files)


def submitted(crew: Crew) -> int:
    (job_id,) = submit(crew.engine, [hair_spec(*known_portraits(crew.engine, 2))], max_losses=2)
    crew.tick()
    return job_id


def lose(crew: Crew, claim: Claim) -> None:
    """Its worker is gone, and the dispatcher has noticed."""
    with transaction(crew.engine) as session:
        session.execute(
            text("UPDATE stage SET lease_until = now() - interval '1 s' WHERE id = :id"),
            {"id": claim.stage_id},
        )
    crew.tick()
    with transaction(crew.engine) as session:
        session.execute(text("UPDATE stage SET not_before = NULL"))


def test_snapshot_stays_while_its_stage_runs_waits_or_is_on_its_way(
    crew: Crew, files: SnapshotFiles
) -> None:
    submitted(crew)
    claim = first_claim(crew, files)
    assert swept(crew.engine, files) == 0  # running
    lose(crew, claim)
    assert swept(crew.engine, files) == 0  # pending
    crew.tick()
    assert swept(crew.engine, files) == 0  # dispatched
    assert files.artifacts() == {claim.planned.key}


def finish(crew: Crew, claim: Claim, job_id: int) -> None:
    with transaction(crew.engine) as session:
        assert stages.finish(session, claim, files={}, recipe={})


def fail(crew: Crew, claim: Claim, job_id: int) -> None:
    with transaction(crew.engine) as session:
        assert break_down()(session, claim)


def exhaust(crew: Crew, claim: Claim, job_id: int) -> None:
    lose(crew, claim)
    crew.tick()
    (message,) = crew.messages()
    again = crew.claim(message)
    assert again is not None
    lose(crew, again)
    assert view(crew.engine, job_id).row.status == "failed"


def cancel(crew: Crew, claim: Claim, job_id: int) -> None:
    lose(crew, claim)
    with transaction(crew.engine) as session:
        operate.cancel(session, job_id, by="tests")
    assert view(crew.engine, job_id).row.status == "cancelled"


@pytest.mark.parametrize("end", [finish, fail, exhaust, cancel])
def test_snapshot_goes_when_its_stage_has_ended(
    crew: Crew, files: SnapshotFiles, end: Callable[[Crew, Claim, int], None]
) -> None:
    job_id = submitted(crew)
    claim = first_claim(crew, files)
    end(crew, claim, job_id)
    assert swept(crew.engine, files) == 1
    assert files.artifacts() == set() and swept(crew.engine, files) == 0


def test_fenced_workers_late_snapshot_is_swept_after_the_end(
    crew: Crew, files: SnapshotFiles
) -> None:
    job_id = submitted(crew)
    claim = first_claim(crew, files)
    exhaust(crew, claim, job_id)
    assert swept(crew.engine, files) == 1
    files.write(claim, {}, KEPT)  # it woke up
    assert swept(crew.engine, files) == 1


def test_record_tells_from_where_an_attempt_went_on_and_why_one_started_over(
    crew: Crew, files: SnapshotFiles
) -> None:
    job_id = submitted(crew)
    claim = first_claim(crew, files)
    with transaction(crew.engine) as session:
        snapshots.continued(session, claim, KEPT)
    told = {event.kind: event for event in view(crew.engine, job_id).events}["continued"]
    assert told.stage_id == claim.stage_id
    assert told.data == {"step": 120, "note": "fs 20/300", "token": 1}
    assert attempts(crew, job_id, claim) == [120]
    with transaction(crew.engine) as session:
        snapshots.started_over(session, claim, "it does not fit")
    told = {event.kind: event for event in view(crew.engine, job_id).events}["started_over"]
    assert told.data == {"reason": "it does not fit", "token": 1}
    assert attempts(crew, job_id, claim) == [None]


def attempts(crew: Crew, job_id: int, claim: Claim) -> list[int | None]:
    (stage,) = [s for s in view(crew.engine, job_id).stages if s.id == claim.stage_id]
    return [attempt.from_step for attempt in stage.attempts]


def test_inputs_name_the_files_that_a_stage_reads(crew: Crew, files: SnapshotFiles) -> None:
    submitted(crew)
    claims = []

    def keep(session: object, claim: Claim) -> bool:
        claims.append(claim)
        with transaction(crew.engine) as other:
            facts.append(snapshots.inputs(other, claim))
        return stages.finish(
            session,  # type: ignore[arg-type]
            claim,
            files={"artifact": Store(crew.settings.store_dir).store_file(b"made", "x/y")},
            recipe={},
        )

    facts: list[dict[str, str]] = []
    crew.work(dict.fromkeys(("target", "reconstruct", "align", "blend"), keep))
    for claim, found in zip(claims, facts, strict=True):
        assert set(found) == {f"artifact {key[:12]}" for key in claim.planned.needs}
    assert {0, 2} <= {len(found) for found in facts}
