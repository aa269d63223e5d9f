from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from barber.artifacts import ARTIFACTS, Artifact, Portrait, Reconstruction, TargetMask
from barber.errors import Cancelled, CheckpointError, InputError, StageError, StageTimeout
from barber.labels import Region
from barber.models.stylegan2 import Noise
from barber.pipeline import Composition, compose, run_stage
from barber.plan import ArtifactKey, PlannedStage, StageKind, plan
from barber.spec import FillMode, JobSpec, NoiseMode, PortraitKey
from barber.stages import masks
from barber.stages.descent import StepReport
from barber.stages.pictures import photograph_labels, to_pixels
from tests.support.compositions import QUICK, job, portraits, tiny_bundle
from workers.retry import TIMEOUT, judge

HAIR = (Region.HAIR,)
FACE = (Region.SKIN, Region.NOSE, Region.EYES, Region.BROWS)
LIPS = (Region.UPPER_LIP, Region.LOWER_LIP)
WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)


def people(count: int = 4) -> dict[PortraitKey, Portrait]:
    return {portrait.sha256: portrait for portrait in portraits(count)}


def composed(spec: JobSpec, **given: Any) -> Composition:
    return compose(tiny_bundle(), spec, people(), **given)


def everything(composition: Composition) -> dict[ArtifactKey, bytes]:
    return {key: artifact.to_bytes() for key, artifact in composition.artifacts.items()}


REFINED = replace(
    QUICK.blend,
    regional_s=True,
    refine_steps=2,
    refine_extends=True,
    hats_off=True,
    colour_match=True,
    recolour=True,
)
EVERY_KIND = pytest.mark.parametrize(
    "spec",
    [
        job((HAIR, 1, 1)),
        job((WIDE, 1, 2)),
        job((FACE, 1, 2), (HAIR, 2, 3)),
        job((WIDE, 1, 0), noise=NoiseMode.ZERO),
        job((HAIR, 0, 1), noise=NoiseMode.BUFFERS),
        job(
            (LIPS, 1, 1),
            params=replace(QUICK, target=replace(QUICK.target, fill=FillMode.HEURISTIC)),
        ),
    ],
    ids=["hair", "colour of a third", "face and hair", "own colour", "own shape", "heuristic"],
)


@EVERY_KIND
def test_every_kind_of_job_ends_in_a_picture_of_the_bundles_size(spec: JobSpec) -> None:
    found = composed(spec)
    side = tiny_bundle().geometry.image_size
    assert found.blend.image.shape == (side, side, 3) and found.blend.image.dtype == np.uint8
    assert set(found.artifacts) == {stage.key for stage in plan(spec)}
    shares = torch.stack(list(found.blend.weights.values()))
    assert torch.allclose(shares.sum(dim=0), torch.ones_like(shares[0]))


@EVERY_KIND
def test_every_kind_of_job_is_refined_with_all_that_can_be_asked_for(spec: JobSpec) -> None:
    plain = composed(spec)
    found = composed(replace(spec, params=replace(spec.params, blend=REFINED)))
    side = tiny_bundle().geometry.image_size
    assert found.blend.image.shape == (side, side, 3) and found.blend.image.dtype == np.uint8
    assert "refine.l2" in found.blend.losses
    assert not torch.equal(found.blend.fs.f, plain.blend.fs.f)


def test_nothing_to_edit_returns_the_reconstruction() -> None:
    spec = job(noise=NoiseMode.ZERO)
    found, bundle = composed(spec), tiny_bundle()
    code = found.artifacts[plan(spec)[0].key]
    assert isinstance(code, Reconstruction)
    assert torch.equal(found.blend.fs.f, code.fs.f) and torch.equal(found.blend.fs.s, code.fs.s)
    picture = bundle.generator.render(code.fs.f, code.fs.s, Noise.zero())
    assert (found.blend.image == to_pixels(picture)).all()


@pytest.mark.parametrize("count", range(1, 6))
def test_shares_of_several_references_sum_to_one_however_they_are_shared(count: int) -> None:
    regions = [(HAIR, 1, 2), (FACE, 2, 3), (LIPS, 3, 1), (WIDE, 2, 2), (HAIR, 0, 3)][:count]
    found = composed(job(*regions)).blend
    keys = [portrait.sha256 for portrait in portraits(4)]
    colours = dict.fromkeys(colour for _, _, colour in regions)
    assert list(found.weights) == [keys[0], *(keys[n] for n in colours)]
    shares = torch.stack(list(found.weights.values()))  # [1 + colours, L, D]
    assert bool((shares >= 0).all()) and bool((shares <= 1).all())
    assert torch.allclose(shares.sum(dim=0), torch.ones_like(shares[0]), atol=1e-6)
    assert bool((shares[1:] > 0).any())


def test_identity_as_its_own_reference_changes_its_mask_nowhere_and_f_only_at_the_rim() -> None:
    spec = job((HAIR, 0, 0), noise=NoiseMode.ZERO)
    found, bundle = composed(spec), tiny_bundle()
    stages = {stage.kind: found.artifacts[stage.key] for stage in plan(spec)}
    mask, code = stages[StageKind.TARGET], stages[StageKind.RECONSTRUCT]
    assert isinstance(mask, TargetMask) and isinstance(code, Reconstruction)
    own = photograph_labels(bundle, portraits(1)[0])
    assert torch.equal(mask.label_map, own)
    hair = (own == Region.HAIR)[:, None]
    inner = masks.region_alpha(hair, 1, bundle.geometry)
    outer = masks.identity_alpha(hair, hair, 1, bundle.geometry)
    same = ((inner == 1) | ((inner == 0) & (outer == 0))).expand_as(code.fs.f)
    # Inside the hair and away from it F is the reconstruction's; between them, the aligned one's.
    assert torch.allclose(found.blend.fs.f[same], code.fs.f[same], atol=1e-5)
    assert 0 < int(same.sum()) < same.numel()
    assert not torch.allclose(found.blend.fs.f[~same], code.fs.f[~same], atol=1e-3)


def test_identity_as_its_own_reference_keeps_its_appearance() -> None:
    found = composed(job((HAIR, 0, 0)))
    assert list(found.blend.weights) == [portraits(1)[0].sha256]
    assert bool((next(iter(found.blend.weights.values())) == 1).all())


@pytest.mark.parametrize("noise", list(NoiseMode))
def test_equal_specs_give_equal_bytes(noise: NoiseMode) -> None:
    spec = job((WIDE, 1, 2), noise=noise)
    assert everything(composed(spec)) == everything(composed(spec))


def test_seed_changes_the_result_under_fresh_noise() -> None:
    one, two = (composed(job((WIDE, 1, 1), seed=seed)).blend for seed in (0, 1))
    assert one.to_bytes() != two.to_bytes()


def test_region_order_changes_the_result_where_they_overlap() -> None:
    both = [(WIDE, 1, 1), (FACE, 2, 2)]
    one, two = (composed(job(*regions)).blend for regions in (both, both[::-1]))
    assert not torch.equal(one.fs.f, two.fs.f)


def test_stages_run_apart_from_stored_bytes_give_the_same_bytes() -> None:
    spec = job((WIDE, 1, 2))
    whole, stored = everything(composed(spec)), dict[ArtifactKey, bytes]()
    kinds = {stage.key: stage.kind for stage in plan(spec)}

    def load(key: ArtifactKey) -> Artifact:
        return ARTIFACTS[kinds[key]].from_bytes(stored[key])

    for stage in plan(spec):
        found = run_stage(
            tiny_bundle(), spec, stage, portraits=people().__getitem__, artifacts=load
        )
        stored[stage.key] = found.to_bytes()
    assert stored == whole


def test_stage_loads_only_what_it_needs() -> None:
    spec, done = job((WIDE, 1, 2)), composed(job((WIDE, 1, 2))).artifacts
    identity, structure, appearance = (p.sha256 for p in portraits(3))
    for stage in plan(spec):
        asked: set[str] = set()
        run_stage(
            tiny_bundle(),
            spec,
            stage,
            portraits=overheard(people().__getitem__, asked),
            artifacts=overheard(done.__getitem__, asked),
        )
        pictures = {
            StageKind.RECONSTRUCT: {stage.portrait},
            StageKind.TARGET: {identity, structure if stage.slot == 0 else appearance},
            StageKind.ALIGN: set(),
            StageKind.BLEND: {identity, structure, appearance},
        }[stage.kind]
        assert asked == pictures | set(stage.needs)


def overheard(find: Callable[[Any], Any], asked: set[str]) -> Callable[[Any], Any]:
    def found(key: Any) -> Any:
        asked.add(key)
        return find(key)

    return found


def test_steps_are_reported_with_their_stage() -> None:
    told: list[tuple[PlannedStage, StepReport]] = []
    spec = job((WIDE, 1, 1))
    composed(spec, on_step=lambda stage, report: told.append((stage, report)))
    assert {stage.key for stage, _ in told} == {stage.key for stage in plan(spec)}
    for planned in plan(spec):
        done = [report.done for stage, report in told if stage == planned]
        assert done == sorted(done) and done[-1] == 1.0


@pytest.mark.parametrize("kind", list(StageKind))
def test_cancelling_in_any_stage_leaves(kind: StageKind) -> None:
    def stop(stage: PlannedStage, report: StepReport) -> None:
        if stage.kind is kind:
            raise Cancelled("the job was cancelled")

    with pytest.raises(Cancelled):
        composed(job((WIDE, 1, 1)), on_step=stop)


def test_a_stage_over_its_soft_limit_names_its_portraits_and_stays_a_timeout() -> None:
    def over_the_limit(stage: PlannedStage, report: StepReport) -> None:
        raise StageTimeout("it took too long", stage=stage.kind)

    with pytest.raises(StageTimeout, match=r"it took too long .*portrait") as raised:
        composed(job(), on_step=over_the_limit)
    assert raised.value.portraits
    assert judge(raised.value) is TIMEOUT
    assert judge(raised.value.naming({raised.value.portraits[0]: "a.png"})) is TIMEOUT


def test_non_finite_loss_names_the_stage() -> None:
    spoiled = replace(tiny_bundle(), w_avg=torch.full_like(tiny_bundle().w_avg, torch.nan))
    with pytest.raises(StageError, match="step 1 of 2 of w_plus") as failed:
        compose(spoiled, job(), people())
    assert failed.value.stage == "reconstruct"


def test_another_bundle_is_refused_before_any_work() -> None:
    spec = replace(job((HAIR, 1, 1)), bundle="c" * 64)
    with pytest.raises(CheckpointError, match="cccccccccccc"):
        composed(spec)


def test_missing_portrait_is_named() -> None:
    spec = job((HAIR, 1, 1))
    with pytest.raises(InputError, match=spec.regions[0].structure[:12]):
        compose(tiny_bundle(), spec, people(1))


def test_portrait_of_another_size_is_refused_early() -> None:
    spec = job()
    large = Portrait(sha256=spec.identity, pixels=np.zeros((48, 48, 3), np.uint8))
    with pytest.raises(InputError, match="48x48: this bundle needs"):
        compose(tiny_bundle(), spec, {spec.identity: large})


def test_start_and_end_of_a_stage_are_logged_with_facts(caplog: pytest.LogCaptureFixture) -> None:
    spec = job()
    with caplog.at_level(logging.INFO, logger="barber.pipeline"):
        composed(spec)
    assert [record.getMessage() for record in caplog.records] == [
        "stage started",
        "stage finished",
    ] * len(plan(spec))
    last = caplog.records[-1]
    assert (last.stage, last.key) == ("blend", plan(spec)[-1].key)  # type: ignore[attr-defined]
    assert last.seconds >= 0  # type: ignore[attr-defined]
