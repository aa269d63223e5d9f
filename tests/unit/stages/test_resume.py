"""A stage that goes on from a snapshot ends as if it had never stopped: the same bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from barber.artifacts import Artifact, pack
from barber.errors import SnapshotError
from barber.labels import Region
from barber.pipeline import compose, run_stage
from barber.plan import ArtifactKey, PlannedStage, StageKind, plan
from barber.spec import JobSpec, StageParams
from barber.stages.descent import StepReport
from barber.stages.snapshot import Snapshot
from tests.support.compositions import QUICK, job, portraits, tiny_bundle

STEPS = 4
LONGER = StageParams(
    reconstruct=replace(QUICK.reconstruct, w_plus_steps=STEPS, fs_steps=STEPS),
    target=replace(QUICK.target, steps=STEPS),
    align=replace(QUICK.align, identity_steps=STEPS, reference_steps=STEPS),
    blend=replace(QUICK.blend, steps=STEPS),
)
OWN_CHOICES = StageParams(  # what differs from the official code, and has a path of its own
    reconstruct=replace(LONGER.reconstruct, keep_last_update=True, carry_skip=True, f_weight=0.1),
    target=replace(LONGER.target, keep_last_update=True, all_f_rows=True),
    align=replace(LONGER.align, keep_last_update=True, all_f_rows=True),
    blend=replace(
        LONGER.blend, keep_last_update=True, pixel_weight=0.5, regional_s=True, refine_steps=STEPS
    ),
)
REGIONS = (((Region.HAIR,), 1, 2), ((Region.EYES, Region.BROWS), 2, 1))
SPECS = {
    "fresh noise": job(*REGIONS, params=LONGER),
    "own choices": job(*REGIONS, params=OWN_CHOICES),
}


@dataclass
class Run:
    """What a run of one stage told, step by step."""

    reports: list[tuple[str, int, float, dict[str, float]]] = field(default_factory=list)
    snapshots: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def on_step(self, report: StepReport) -> None:
        self.reports.append((report.phase, report.step, report.done, dict(report.losses)))
        if report.snapshot is not None:
            self.snapshots[report.phase, report.step] = report.snapshot().to_bytes()


@pytest.fixture(scope="module", params=SPECS)
def made(request: pytest.FixtureRequest) -> tuple[JobSpec, dict[ArtifactKey, Artifact]]:
    spec = SPECS[request.param]
    people = {portrait.sha256: portrait for portrait in portraits(3)}
    return spec, dict(compose(tiny_bundle(), spec, people).artifacts)


def stages_of(spec: JobSpec) -> list[PlannedStage]:
    """One stage for every loop: the first of each kind, and an alignment in each role."""
    return list({(stage.kind, stage.role): stage for stage in plan(spec)}.values())


def run(
    spec: JobSpec, stage: PlannedStage, artifacts: dict[ArtifactKey, Artifact], **given: Any
) -> Artifact:
    people = {portrait.sha256: portrait for portrait in portraits(3)}
    return run_stage(
        tiny_bundle(),
        spec,
        stage,
        portraits=people.__getitem__,
        artifacts=artifacts.__getitem__,
        **given,
    )


def test_every_loop_goes_on_at_its_start_middle_and_end_to_the_same_bytes(
    made: tuple[JobSpec, dict[ArtifactKey, Artifact]],
) -> None:
    spec, artifacts = made
    stopped = set()
    for stage in stages_of(spec):
        whole = Run()
        wanted = run(spec, stage, artifacts, on_step=whole.on_step).to_bytes()
        assert wanted == artifacts[stage.key].to_bytes()
        for (phase, step), data in whole.snapshots.items():
            rest = Run()
            resume = Snapshot.from_bytes(data)
            found = run(spec, stage, artifacts, on_step=rest.on_step, resume=resume)
            where = f"{stage.kind} after step {step} of {phase}"
            assert found.to_bytes() == wanted, where
            assert rest.reports == whole.reports[resume.taken :], where
            # The snapshots of the rest are those of the whole: it can be interrupted again.
            assert rest.snapshots.items() <= whole.snapshots.items(), where
            stopped.add((phase, step))
    loops = {"w_plus", "fs", "fill", "uncover", "identity", "reference", "appearance"}
    loops |= {"refine"} if spec.params.blend.refine_steps else set()
    assert stopped == {(loop, step) for loop in loops for step in range(1, STEPS)}


def test_snapshot_is_a_value_that_later_steps_leave_alone() -> None:
    spec = SPECS["fresh noise"]
    kept: list[tuple[Snapshot, bytes]] = []

    def keep(report: StepReport) -> None:
        if report.snapshot is not None:
            taken = report.snapshot()
            kept.append((taken, taken.to_bytes()))

    run(spec, stages_of(spec)[0], {}, on_step=keep)
    assert len(kept) == 2 * (STEPS - 1)
    assert all(taken.to_bytes() == data for taken, data in kept)
    assert len({data for _, data in kept}) == len(kept)


def test_last_step_of_a_phase_has_no_snapshot() -> None:
    spec, offered = SPECS["fresh noise"], list[bool]()
    stage = next(stage for stage in plan(spec) if stage.kind is StageKind.RECONSTRUCT)
    run(spec, stage, {}, on_step=lambda report: offered.append(report.snapshot is not None))
    assert offered == 2 * [*(STEPS - 1) * [True], False]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    """Of a reconstruction in its second phase."""
    seen, spec = Run(), SPECS["fresh noise"]
    stage = next(stage for stage in plan(spec) if stage.kind is StageKind.RECONSTRUCT)
    run(spec, stage, {}, on_step=seen.on_step)
    return Snapshot.from_bytes(seen.snapshots["fs", 2])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stage": StageKind.ALIGN}, "reconstruct cannot go on from a snapshot of align"),
        ({"phase": "w_plus"}, "of other variables"),
        ({"phase": "elsewhere"}, "at step 0 of 4 of fs, its snapshot at step 2 of elsewhere"),
        ({"step": STEPS}, "its snapshot at step 4 of fs"),
        ({"variables": (torch.zeros(1),)}, "of other variables"),
    ],
)
def test_snapshot_of_something_else_is_refused(
    snapshot: Snapshot, change: dict[str, Any], reason: str
) -> None:
    spec = SPECS["fresh noise"]
    stage = next(stage for stage in plan(spec) if stage.kind is StageKind.RECONSTRUCT)
    if change.get("phase") == "w_plus":
        change = {**change, "finished": {}}
    with pytest.raises(SnapshotError, match=reason):
        run(spec, stage, {}, resume=replace(snapshot, **change))


@pytest.mark.parametrize(
    "data",
    [b"", b"no tensors", pack({}, {"losses": {}}), pack({}, {"stage": "dye"}), pack({}, {})],
    ids=["empty", "text", "artifact", "unknown stage", "nothing"],
)
def test_bytes_of_no_snapshot_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        Snapshot.from_bytes(data)


def test_snapshot_cut_short_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(SnapshotError, match="cannot be read"):
        Snapshot.from_bytes(snapshot.to_bytes()[:-1])
