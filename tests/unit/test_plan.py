from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barber.labels import Area, Region, Zone
from barber.plan import (
    PlannedStage,
    Role,
    StageKind,
    Variant,
    areas_from,
    plan,
    sources,
    variants,
)
from barber.spec import (
    CodeSpace,
    EmptyRegion,
    FillMode,
    JobSpec,
    LowTarget,
    MaskMode,
    NoiseMode,
    PortraitKey,
    RegionEdit,
    StageParams,
)

ONE, TWO, THREE, FOUR = (PortraitKey(digit * 64) for digit in "1234")
LIPS = (Region.UPPER_LIP, Region.LOWER_LIP)
Slot = tuple[StageKind, int]


def edit(
    structure: PortraitKey, appearance: PortraitKey, labels: tuple[Region, ...] = (Region.HAIR,)
) -> RegionEdit:
    return RegionEdit(labels=labels, structure=structure, appearance=appearance)


def job(*regions: RegionEdit, **facts: Any) -> JobSpec:
    return JobSpec(identity=ONE, regions=regions, bundle="b" * 64, **facts)


def keys(spec: JobSpec) -> dict[Slot, str]:
    return {(stage.kind, stage.slot): stage.key for stage in plan(spec)}


def kinds(spec: JobSpec) -> dict[StageKind, int]:
    return {kind: sum(stage.kind is kind for stage in plan(spec)) for kind in StageKind}


def changed(before: JobSpec, after: JobSpec) -> set[StageKind]:
    old, new = keys(before), keys(after)
    assert old.keys() == new.keys()
    return {kind for kind, slot in old if old[kind, slot] != new[kind, slot]}


def test_nothing_to_edit_needs_no_mask() -> None:
    assert [stage.kind for stage in plan(job())] == [StageKind.RECONSTRUCT, StageKind.BLEND]


def test_hair_of_one_portrait_needs_one_mask_and_two_aligns() -> None:
    assert kinds(job(edit(TWO, TWO))) == {"target": 1, "reconstruct": 2, "align": 2, "blend": 1}


def test_colour_from_a_third_portrait_needs_a_second_set() -> None:
    spec = job(edit(TWO, THREE))
    assert kinds(spec) == {"target": 2, "reconstruct": 3, "align": 4, "blend": 1}
    assert variants(spec) == (Variant.STRUCTURE, Variant.APPEARANCE)
    assert sources(spec, Variant.APPEARANCE) == (THREE,)


def test_keeping_ones_own_colour_needs_no_second_set() -> None:
    assert variants(job(edit(TWO, ONE))) == (Variant.STRUCTURE,)


def test_one_region_with_its_own_colour_among_others_needs_the_second_set() -> None:
    # The colour of the hair is sought on a mix that has the identity's own lips (method 16.3.4).
    assert len(variants(job(edit(TWO, TWO), edit(THREE, ONE, LIPS)))) == 2


def test_every_stage_comes_after_what_it_needs_and_blend_is_last() -> None:
    stages = plan(job(edit(TWO, THREE), edit(THREE, FOUR, LIPS)))
    seen: set[str] = set()
    for stage in stages:
        assert set(stage.needs) <= seen
        seen.add(stage.key)
    assert stages[-1].kind is StageKind.BLEND
    assert set(stages[-1].needs) == seen - {stages[-1].key}


def test_kind_and_slot_and_key_are_unique_in_a_job() -> None:
    stages = plan(job(edit(TWO, THREE), edit(ONE, ONE, LIPS), edit(TWO, TWO, (Region.NOSE,))))
    assert len({(stage.kind, stage.slot) for stage in stages}) == len(stages)
    assert len({stage.key for stage in stages}) == len(stages)


def test_reference_aligns_with_all_labels_it_gives() -> None:
    spec = job(edit(TWO, TWO), edit(TWO, TWO, LIPS))
    both = (Area(labels=(*LIPS, Region.HAIR)),)
    assert areas_from(spec, Variant.STRUCTURE, TWO) == both
    (reference,) = [stage for stage in plan(spec) if stage.role is Role.REFERENCE]
    assert reference.areas == both


def test_portrait_shared_by_jobs_is_reconstructed_once() -> None:
    first, second = keys(job(edit(TWO, TWO))), keys(job(edit(THREE, THREE)))
    shared = set(first.values()) & set(second.values())
    assert shared == {first[StageKind.RECONSTRUCT, 0]}


def test_same_hair_with_two_colours_shares_the_structure_branch() -> None:
    first, second = (job(edit(TWO, colour)) for colour in (THREE, FOUR))
    shared = set(keys(first).values()) & set(keys(second).values())
    structure = [s for s in plan(first) if s.variant is Variant.STRUCTURE]
    assert {stage.key for stage in structure} <= shared


# What a change of one input must touch, and that it touches nothing else.
TOUCHED_BY_PARAMS = {
    "reconstruct": {StageKind.RECONSTRUCT, StageKind.ALIGN, StageKind.BLEND},
    "target": {StageKind.TARGET, StageKind.ALIGN, StageKind.BLEND},
    "align": {StageKind.ALIGN, StageKind.BLEND},
    "blend": {StageKind.BLEND},
}
OTHER_VALUE: dict[object, object] = {
    MaskMode.REALISTIC: MaskMode.FIDELITY,
    FillMode.SEMANTIC: FillMode.HEURISTIC,
    LowTarget.LANCZOS: LowTarget.BICUBIC,
    EmptyRegion.REFUSE: EmptyRegion.REMOVE,
    CodeSpace.FS: CodeSpace.W_PLUS,
    False: True,
    True: False,
}
PARAMETERS = [
    (part.name, f.name)
    for part in fields(StageParams)
    for f in fields(getattr(StageParams(), part.name))
]


@pytest.mark.parametrize(("part", "name"), PARAMETERS)
def test_parameter_changes_the_keys_of_its_stage_and_of_those_after(part: str, name: str) -> None:
    before = job(edit(TWO, THREE))
    stage_params = getattr(before.params, part)
    value = getattr(stage_params, name)
    other = replace(
        stage_params, **{name: OTHER_VALUE[value] if isinstance(value, str | bool) else value + 1}
    )
    after = replace(before, params=replace(before.params, **{part: other}))
    assert changed(before, after) == TOUCHED_BY_PARAMS[part]


@pytest.mark.parametrize("facts", [{"bundle": "c" * 64}, {"noise": NoiseMode.ZERO}, {"seed": 1}])
def test_bundle_noise_and_seed_change_every_key(facts: dict[str, Any]) -> None:
    before, after = keys(job(edit(TWO, THREE))), keys(replace(job(edit(TWO, THREE)), **facts))
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize("noise", [NoiseMode.BUFFERS, NoiseMode.ZERO])
def test_seed_changes_nothing_where_nothing_is_drawn(noise: NoiseMode) -> None:
    before = job(edit(TWO, THREE), noise=noise)
    assert keys(before) == keys(replace(before, seed=9))


def test_equal_specs_have_equal_keys() -> None:
    assert keys(job(edit(TWO, THREE))) == keys(job(edit(TWO, THREE)))


def test_order_of_regions_changes_mask_and_blend_but_no_reconstruction() -> None:
    hair, lips = edit(TWO, TWO), edit(THREE, THREE, LIPS)
    before, after = plan(job(hair, lips)), plan(job(lips, hair))

    def of(stages: tuple[PlannedStage, ...], kind: StageKind) -> set[str]:
        return {stage.key for stage in stages if stage.kind is kind}

    assert of(before, StageKind.RECONSTRUCT) == of(after, StageKind.RECONSTRUCT)
    assert not of(before, StageKind.TARGET) & of(after, StageKind.TARGET)
    assert not of(before, StageKind.BLEND) & of(after, StageKind.BLEND)


def test_noise_seed_differs_from_stage_to_stage_and_fits_a_generator() -> None:
    seeds = [stage.noise_seed for stage in plan(job(edit(TWO, THREE)))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_zone_changes_mask_align_and_blend_and_no_reconstruction() -> None:
    skin = edit(TWO, TWO, (Region.SKIN,))
    beard = replace(skin, zone=Zone.LOWER_FACE)
    touched = {StageKind.TARGET, StageKind.ALIGN, StageKind.BLEND}
    # The identity's align follows its mask.
    assert changed(job(skin), job(beard)) == touched


def test_heuristic_fill_takes_no_step_so_steps_do_not_count() -> None:
    def with_target(**change: Any) -> JobSpec:
        spec = job(edit(TWO, TWO))
        target = replace(spec.params.target, fill=FillMode.HEURISTIC, **change)
        return replace(spec, params=replace(spec.params, target=target))

    for change in ({"steps": 7}, {"rate": 0.5}, {"mask_mode": MaskMode.FIDELITY}):
        assert keys(with_target()) == keys(with_target(**change))


def test_w_plus_alone_does_not_read_what_the_fs_loop_reads() -> None:
    def in_w_plus(**change: Any) -> JobSpec:
        spec = job(edit(TWO, TWO))
        params = replace(spec.params.reconstruct, space=CodeSpace.W_PLUS, **change)
        return replace(spec, params=replace(spec.params, reconstruct=params))

    for change in ({"fs_steps": 7}, {"fs_rate": 0.5}, {"f_weight": 1.0}, {"carry_skip": True}):
        assert keys(in_w_plus()) == keys(in_w_plus(**change))
    assert keys(in_w_plus()) != keys(in_w_plus(w_plus_steps=7))


def test_align_that_is_off_reads_no_other_parameter() -> None:
    def unaligned(**change: Any) -> JobSpec:
        spec = job(edit(TWO, TWO))
        params = replace(spec.params.align, enabled=False, **change)
        return replace(spec, params=replace(spec.params, align=params))

    for change in ({"identity_steps": 7}, {"style_weight": 1.0}, {"rate": 0.5}):
        assert keys(unaligned()) == keys(unaligned(**change))


def test_keys_are_those_that_older_versions_made() -> None:
    # A new parameter must not make a night's finished artifacts unknown (`spec.key_facts`).
    found = {slot: key[:12] for slot, key in keys(job(edit(TWO, THREE))).items()}
    assert found[StageKind.RECONSTRUCT, 0] == "c1e7dfd84fd5"
    assert found[StageKind.TARGET, 0] == "da9f347492a5"
    assert found[StageKind.ALIGN, 0] == "ccac8d7d178c"
    assert found[StageKind.BLEND, 0] == "81e6f6dd821d"


def test_without_a_colour_from_another_the_search_for_it_does_not_count() -> None:
    def with_blend(*regions: RegionEdit, **change: Any) -> JobSpec:
        spec = job(*regions)
        return replace(
            spec, params=replace(spec.params, blend=replace(spec.params.blend, **change))
        )

    for change in ({"steps": 7}, {"rate": 0.5}, {"mask_smoothing": 1}, {"pixel_weight": 1.0}):
        for regions in ([], [edit(TWO, ONE)]):
            assert keys(with_blend(*regions)) == keys(with_blend(*regions, **change))
        assert keys(with_blend(edit(ONE, TWO))) != keys(with_blend(edit(ONE, TWO), **change))


edits = st.builds(
    RegionEdit,
    labels=st.sampled_from([(Region.SKIN,), LIPS, (Region.SKIN, *LIPS)]),
    structure=st.sampled_from([ONE, TWO, THREE]),
    appearance=st.sampled_from([ONE, TWO, THREE]),
    zone=st.sampled_from([None, Zone.LOWER_FACE]),
)
plans = st.lists(edits, max_size=3).map(tuple)


@settings(max_examples=100)
@given(plans, plans, st.sampled_from(NoiseMode), st.integers(0, 1), st.integers(0, 1))
def test_results_have_equal_keys_exactly_when_the_same_is_asked_for(
    one: tuple[RegionEdit, ...],
    other: tuple[RegionEdit, ...],
    noise: NoiseMode,
    seed: int,
    another: int,
) -> None:
    asked = one == other and (noise is not NoiseMode.FRESH or seed == another)
    first, second = (
        plan(job(*regions, noise=noise, seed=number))
        for regions, number in ((one, seed), (other, another))
    )
    assert (first[-1].key == second[-1].key) == asked
    # And within each: artifacts of the same kind that read the same are the same.
    for stages in (first, second):
        assert len({stage.key for stage in stages}) == len(stages)
