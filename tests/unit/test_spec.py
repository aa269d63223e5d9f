from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barber.errors import InputError
from barber.labels import Region, Zone
from barber.spec import (
    PRESETS,
    AlignParams,
    BlendParams,
    FillMode,
    JobSpec,
    MaskMode,
    NoiseMode,
    PortraitKey,
    ReconstructParams,
    RegionEdit,
    StageParams,
    TargetParams,
    apply_settings,
    preset_params,
)

ONE, TWO, THREE = (PortraitKey(digit * 64) for digit in "123")
BUNDLE = "b" * 64
HAIR = RegionEdit(labels=(Region.HAIR,), structure=TWO, appearance=THREE)
LIPS = RegionEdit(labels=(Region.UPPER_LIP, Region.LOWER_LIP), structure=THREE, appearance=ONE)

steps, numbers = st.integers(1, 2000), st.floats(0, 1e6, allow_nan=False)
params = st.builds(
    StageParams,
    reconstruct=st.builds(
        ReconstructParams, w_plus_steps=steps, fs_steps=steps, w_plus_rate=numbers, f_weight=numbers
    ),
    target=st.builds(
        TargetParams, mask_mode=st.sampled_from(MaskMode), fill=st.sampled_from(FillMode)
    ),
    align=st.builds(AlignParams, identity_steps=steps, style_weight=numbers),
    blend=st.builds(BlendParams, mix_smoothing=st.integers(0, 20), pixel_weight=numbers),
)
regions = st.sets(st.sampled_from(Region).filter(bool), min_size=1).map(
    lambda labels: RegionEdit(labels=tuple(sorted(labels)), structure=TWO, appearance=THREE)
)
specs = st.builds(
    JobSpec,
    identity=st.just(ONE),
    regions=st.lists(regions, max_size=4).map(tuple),
    bundle=st.just(BUNDLE),
    params=params,
    noise=st.sampled_from(NoiseMode),
    seed=st.integers(0, 2**31),
)


@given(specs)
def test_spec_survives_json(spec: JobSpec) -> None:
    assert JobSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@given(params)
def test_params_survive_json(given_params: StageParams) -> None:
    assert StageParams.from_json(json.loads(json.dumps(given_params.to_json()))) == given_params


def test_presets_differ_where_the_paper_does() -> None:
    official, paper = PRESETS["official"], PRESETS["paper"]
    assert (official.reconstruct.w_plus_steps, official.reconstruct.fs_steps) == (1100, 250)
    assert (official.target.steps, official.blend.steps) == (80, 400)
    assert (official.align.identity_steps, official.align.reference_steps) == (140, 100)
    assert paper == replace(
        official,
        reconstruct=replace(official.reconstruct, fs_steps=400, f_weight=0.1),
        align=replace(official.align, identity_steps=100),
        blend=replace(official.blend, steps=600),
    )


def test_every_rate_and_weight_is_the_methods() -> None:
    official = PRESETS["official"]
    assert {
        f"{part.name}.{f.name}": getattr(getattr(official, part.name), f.name)
        for part in fields(official)
        for f in fields(getattr(official, part.name))
        if f.name.endswith(("rate", "weight"))
    } == {
        "reconstruct.w_plus_rate": 0.01,
        "reconstruct.fs_rate": 0.01,
        "reconstruct.l2_weight": 1.0,
        "reconstruct.lpips_weight": 1.0,
        "reconstruct.p_norm_weight": 0.001,
        "reconstruct.f_weight": 0.0,
        "target.rate": 0.01,
        "align.rate": 0.01,
        "align.style_weight": 40000.0,
        "blend.rate": 0.01,
        "blend.pixel_weight": 0.0,
        "blend.base_weight": 1.0,
        "blend.region_weight": 1.0,
        "blend.refine_rate": 0.01,
        "blend.refine_l2_weight": 1.0,
    }


def test_preset_of_a_bundle_overlays_the_official_one() -> None:
    found = preset_params("quick", {"quick": {"blend": {"steps": 7}}})
    assert found == replace(PRESETS["official"], blend=BlendParams(steps=7))


def test_unknown_preset_lists_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"'slow': use one of official, paper, quick"):
        preset_params("slow", {"quick": {}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"blend": {"stepz": 3}}, r"unknown parameter blend.stepz: use one of"),
        ({"blnd": {}}, r"parameter blnd: use one of"),
        ({"blend": 3}, "must be an object"),
        ({"blend": {"steps": 0}}, "give from 1 to"),
        ({"blend": {"refine_steps": 1_000_001}}, "give from 0 to"),
        ({"blend": {"refine_margin": 513}}, "at most 512 pixels"),
        ({"blend": {"steps": 2.5}}, "finite whole number"),
        ({"blend": {"steps": "3"}}, "a number is needed"),
        ({"blend": {"steps": True}}, "a number is needed"),
        ({"blend": {"rate": -0.1}}, "from 0 up"),
        ({"blend": {"rate": float("nan")}}, "finite number"),
        ({"blend": {"rate": float("inf")}}, "finite number"),
        ({"blend": {"rate": 3e38}}, r"a number up to 1e\+30"),
        ({"target": {"fill": "magic"}}, "use one of semantic, heuristic"),
        ({"blend": {"truncate_png": 1}}, "use true or false"),
        ({"blend": {"mix_smoothing": 513}}, "at most 512 pixels"),
    ],
)
def test_bad_parameter_is_named_with_the_remedy(data: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        StageParams.from_json(data)


def test_preset_of_a_bundle_cannot_stand_in_for_one_of_the_methods() -> None:
    with pytest.raises(InputError, match=r"preset called 'official', .* rename it"):
        preset_params("official", {"official": {"blend": {"steps": 7}}})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("reconstruct.w_plus_steps=300", 300),
        ("blend.rate=0.5", 0.5),
        ("blend.rate = 1e-3", 0.001),
        ("reconstruct.carry_skip=true", True),
        ("blend.truncate_png=False", False),
        ("target.mask_mode=fidelity", MaskMode.FIDELITY),
    ],
)
def test_single_values_are_set_by_hand(text: str, value: object) -> None:
    stage, name = text.partition("=")[0].strip().split(".")
    found = apply_settings(PRESETS["paper"], [text])
    assert getattr(getattr(found, stage), name) == value
    untouched = replace(PRESETS["paper"], **{stage: getattr(found, stage)})
    assert found == untouched != PRESETS["paper"]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["blend.stepz=3"], r"blend\.stepz: use one of .*mask_smoothing.*steps"),
        (["blnd.steps=3"], r"blnd: use one of align, blend, reconstruct, target"),
        (["steps=3"], r"'steps=3': write STAGE.NAME=VALUE"),
        (["blend.steps"], "write STAGE.NAME=VALUE"),
        (["blend.steps="], "write STAGE.NAME=VALUE"),
        ([".steps=3"], "write STAGE.NAME=VALUE"),
        (["blend.steps=3", "blend.steps=4"], "blend.steps is given twice"),
        (["blend.steps=many"], "a number is needed"),
        (["blend.steps=1.5"], "finite whole number"),
        (["blend.rate=NaN"], "finite number"),
        (["blend.rate=true"], "a number is needed"),
        (["blend.truncate_png=2"], "use true or false"),
        (["blend.steps=[3]"], "a number is needed"),
        (["blend.steps.x=3"], r"blend\.steps\.x: use one of"),
    ],
)
def test_setting_that_cannot_be_is_refused_with_the_remedy(texts: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        apply_settings(StageParams(), texts)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"version": None},
        {"regions": [{"labels": ["wig"], "structure": TWO, "appearance": TWO}]},
        {"regions": [{"labels": ["hair"], "structure": TWO}]},
        {"noise": "loud"},
        {"seed": "x"},
        {"identity": None, "regions": None},
    ],
)
def test_unreadable_spec_is_an_input_error(change: dict[str, Any]) -> None:
    data = JobSpec(identity=ONE, regions=(HAIR,), bundle=BUNDLE).to_json()
    with pytest.raises(InputError, match="job spec"):
        JobSpec.from_json({**data, **change})


@pytest.mark.parametrize(
    "labels",
    [(), (Region.BACKGROUND,), (Region.HAIR, Region.NOSE), (Region.HAIR, Region.HAIR)],
)
def test_region_refuses_labels_that_make_no_sense(labels: tuple[Region, ...]) -> None:
    with pytest.raises(InputError):
        RegionEdit(labels=labels, structure=TWO, appearance=TWO)


def test_portraits_are_distinct_and_in_order() -> None:
    spec = JobSpec(identity=ONE, regions=(HAIR, LIPS), bundle=BUNDLE)
    assert spec.portraits == (ONE, TWO, THREE)


def test_every_parameter_is_a_plain_number_or_choice() -> None:
    for part in fields(StageParams):
        value = getattr(StageParams(), part.name)
        assert is_dataclass(value)
        assert all(isinstance(getattr(value, f.name), int | float | str) for f in fields(value))


def test_zone_of_a_region_is_in_its_json_and_version_1_is_still_read() -> None:
    beard = RegionEdit(labels=(Region.SKIN,), structure=TWO, appearance=TWO, zone=Zone.LOWER_FACE)
    spec = JobSpec(identity=ONE, regions=(HAIR, beard), bundle=BUNDLE)
    data = json.loads(json.dumps(spec.to_json()))
    assert data["version"] == 2 and data["regions"][1]["zone"] == "lower-face"
    assert "zone" not in data["regions"][0]
    assert JobSpec.from_json(data) == spec
    old = JobSpec(identity=ONE, regions=(HAIR,), bundle=BUNDLE)
    assert JobSpec.from_json({**old.to_json(), "version": 1}) == old
    data["regions"][1]["zone"] = "forehead"
    with pytest.raises(InputError, match="job spec"):
        JobSpec.from_json(data)


def test_zone_with_labels_that_lie_elsewhere_is_refused() -> None:
    with pytest.raises(InputError, match="lower-face holds"):
        RegionEdit(labels=(Region.HAIR,), structure=TWO, appearance=TWO, zone=Zone.LOWER_FACE)
