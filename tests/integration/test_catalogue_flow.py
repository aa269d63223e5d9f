"""A job's way through the catalogue, from submission to result, and what is reused on the way."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from barber.catalogue import dispatch
from barber.catalogue.db import transaction
from barber.catalogue.status import EventKind, JobStatus
from barber.plan import plan
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey
from tests.support.builders import BUNDLE, Crew, hair_spec, known_portraits, submit, view

pytestmark = pytest.mark.integration


@pytest.fixture
def portraits(engine: Engine) -> list[PortraitKey]:
    return known_portraits(engine, 4)


@pytest.fixture
def crew(engine: Engine, settings: Settings) -> Crew:
    return Crew(engine, settings)


def statuses(engine: Engine, job_id: int) -> dict[str, str]:
    return {f"{s.kind}{s.slot}": s.status.value for s in view(engine, job_id).stages}


def test_a_job_goes_targets_then_one_chord_then_blend(
    engine: Engine, crew: Crew, portraits: list[PortraitKey]
) -> None:
    a, b, c, _ = portraits
    (job_id,) = submit(engine, [hair_spec(a, b, c)])
    assert view(engine, job_id).row.status is JobStatus.QUEUED

    crew.tick()
    targets = crew.published()
    assert [(row.topic, row.payload["kind"]) for row in targets] == [("stage", "target")] * 2
    assert view(engine, job_id).row.status is JobStatus.RUNNING
    crew.run(targets[0].payload)
    assert crew.tick() == 0, "the chord waits for both targets"
    crew.run(targets[1].payload)

    crew.tick()
    (chord,) = crew.published()
    assert (chord.topic, chord.payload["generation"]) == ("chord", 1)
    kinds = [[message["kind"] for message in branch] for branch in chord.payload["branches"]]
    assert kinds == [
        ["reconstruct", "align", "align"],  # the identity, in both variants
        ["reconstruct", "align"],
        ["reconstruct", "align"],
    ]
    for branch in chord.payload["branches"]:
        for message in branch:
            assert crew.run(message) is True

    with transaction(engine) as session:
        assert dispatch.offer_blend(session, job_id, 1)
        assert not dispatch.offer_blend(session, job_id, 1), "offered once"
    (blend,) = crew.messages()
    assert crew.run(blend) is True

    done = view(engine, job_id)
    assert done.row.status is JobStatus.SUCCEEDED
    assert done.row.progress == 1.0
    assert done.result_key == plan(done.spec)[-1].key
    assert done.row.result_file == done.result_key, "the crew's files are named by the key"
    assert done.events[-1].kind is EventKind.JOB_SUCCEEDED


def test_an_empty_plan_is_a_chord_of_one_reconstruct_then_the_blend(
    engine: Engine, crew: Crew, portraits: list[PortraitKey]
) -> None:
    (job_id,) = submit(engine, [JobSpec(identity=portraits[0], bundle=BUNDLE)])
    crew.tick()
    (chord,) = crew.published()
    assert chord.topic == "chord"
    (branch,) = chord.payload["branches"]
    assert [message["kind"] for message in branch] == ["reconstruct"]
    crew.run(branch[0])
    with transaction(engine) as session:
        assert dispatch.offer_blend(session, job_id, chord.payload["generation"])
    crew.run(crew.messages()[0])
    assert view(engine, job_id).row.status is JobStatus.SUCCEEDED
