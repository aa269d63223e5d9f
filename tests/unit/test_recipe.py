from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from barber.errors import InputError
from barber.labels import Region
from barber.plan import METHOD_VERSION, StageKind, plan
from barber.recipe import RECIPE_VERSION, PortraitOrigin, Recipe, differences, read_origins, steps
from barber.spec import BlendParams, JobSpec, PortraitKey, RegionEdit

HERE = {"device": "cpu", "torch": "2.15", "method": str(METHOD_VERSION)}
IDENTITY, HAIR = PortraitKey("1" * 64), PortraitKey("2" * 64)


def spec(seed: int = 3) -> JobSpec:
    hair = RegionEdit(labels=(Region.HAIR,), structure=HAIR, appearance=HAIR)
    return JobSpec(identity=IDENTITY, regions=(hair,), bundle="b" * 64, seed=seed)


def made(**elsewhere: str) -> Recipe:
    """A recipe whose first stage ran elsewhere, when anything about that is given."""
    stages = plan(spec())
    outcomes: dict[Any, Any] = {
        stage.key: ({"total": 0.1 + number}, HERE) for number, stage in enumerate(stages)
    }
    outcomes[stages[0].key] = ({"fill.total": 1.0}, {**HERE, **elsewhere})
    return Recipe.assemble(
        spec(),
        bundle="small",
        bundle_files={"generator.safetensors": "c" * 64},
        label_maps={HAIR: "d" * 64, PortraitKey("9" * 64): "e" * 64},
        outcomes=outcomes,
    )


def test_recipe_comes_back_from_its_json_as_it_was() -> None:
    for recipe in (made(), made(torch="2.14")):
        data = json.loads(json.dumps(recipe.to_json()))
        assert Recipe.from_json(data, name="r.png") == recipe
        assert Recipe.from_json(data, name="r.png").to_json() == data


def test_recipe_tells_losses_and_steps_of_every_stage() -> None:
    data = made().to_json()
    assert [(s["kind"], s["slot"]) for s in data["stages"]] == [
        (s.kind, s.slot) for s in plan(spec())
    ]
    assert all(stage["losses"] and stage["steps"] for stage in data["stages"])
    assert data["stages"][0]["steps"] == {"fill": 80}
    assert data["stages"][1]["steps"] == {"w_plus": 1100, "fs": 250}


def test_stage_from_elsewhere_says_so_and_the_others_do_not() -> None:
    stages = made(torch="2.14").to_json()["stages"]
    assert stages[0]["environment"]["torch"] == "2.14"
    assert not any("environment" in stage for stage in stages[1:])


def test_label_maps_are_those_of_the_spec_only() -> None:
    assert made().to_json()["portraits"] == [
        {"key": IDENTITY, "label_map": None},
        {"key": HAIR, "label_map": "d" * 64},
    ]


def test_a_stage_that_sought_nothing_has_no_steps() -> None:
    blend = plan(spec())[-1]
    assert blend.kind is StageKind.BLEND
    assert steps(blend, spec().params, []) == {}
    assert steps(blend, spec().params, ["total"]) == {"appearance": 400}
    params = replace(spec().params, blend=BlendParams(refine_steps=9))
    refined = ["refine.l2", "refine.lpips", "total"]
    assert steps(blend, params, refined) == {"refine": 9}
    assert steps(blend, params, ["base", *refined]) == {"appearance": 400, "refine": 9}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": RECIPE_VERSION + 1}, "use a newer Barbershop"),
        ({"format": None}, "tells too little"),
        ({"format": "1"}, "tells too little"),
        ({"spec": None}, "is damaged"),
        ({"spec": {"version": 99}}, "job spec version 99"),
        ({"bundle": {"name": "small", "digest": "0" * 64, "files": {}}}, "not the one of its spec"),
        ({"bundle": "small"}, "is damaged"),
        ({"stages": []}, "its stages are not those"),
        ({"stages": [{"kind": "blend"}]}, "is missing"),
        ({"portraits": []}, "its portraits are not those"),
        ({"environment": {**HERE, "torch": 2}}, "should hold texts"),
        ({"environment": None}, "is damaged"),
        ({"environment": {**HERE, "method": "0"}}, "version 0 of the method"),
    ],
)
def test_bad_recipe_is_refused_in_a_sentence(change: dict[str, Any], words: str) -> None:
    data = {**made().to_json(), **change}
    with pytest.raises(InputError, match=r"r\.png") as caught:
        Recipe.from_json(data, name="r.png")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spec_of_another_seed_does_not_fit_the_stages() -> None:
    data = made().to_json()
    with pytest.raises(InputError, match="not those that this program plans"):
        Recipe.from_json({**data, "spec": spec(seed=4).to_json()}, name="r.png")


def test_differences_name_what_changed() -> None:
    now = {"device": "cuda", "torch": "2.15", "cuda": "13"}
    assert differences(HERE, now) == [
        "device cpu, now cuda",
        f"method {METHOD_VERSION}, now unknown",
        "cuda unknown, now 13",
    ]
    assert differences(HERE, dict(HERE)) == []


def test_origins_of_a_foreign_file_are_none() -> None:
    origin = {"key": HAIR, "name": "b.jpg", "sha256": None, "crop": {"size": 64}}
    assert read_origins({"origins": [origin]}) == {
        HAIR: PortraitOrigin(key=HAIR, name="b.jpg", crop={"size": 64})
    }
    for foreign in (None, [], {"origins": 3}, {"origins": [{"key": 1}]}, {"seed": 4}):
        assert read_origins(foreign) == {}
