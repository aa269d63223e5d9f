"""What a photograph shows of the composite comes back, and each region has an S of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.artifacts import Blend, Portrait
from barber.labels import Region
from barber.models.stylegan2 import Noise
from barber.spec import BlendParams, RegionEdit
from barber.stages.blend import blend
from barber.stages.descent import StepReport
from barber.stages.mix import Aligned, BlendInputs, shares_of_s
from tests.support.compositions import portraits, random_code, random_mask, tiny_bundle
from tests.unit.stages.test_blend import alignment

HAIR, LIP, SKIN = int(Region.HAIR), int(Region.UPPER_LIP), int(Region.SKIN)
QUICK = BlendParams(steps=2, rate=0.1, mix_smoothing=1, mask_smoothing=1, regional_s=True)
REFINED = replace(QUICK, refine_steps=3, refine_rate=0.05)
SIDE = tiny_bundle().geometry.label_size


def labelled(number: int, left: int, right: int) -> Portrait:
    """A portrait whose own label map has one label in each half."""
    halves = np.full((SIDE, SIDE), left, np.uint8)
    halves[:, SIDE // 2 :] = right
    return replace(portraits(number + 1)[number], label_map=halves)


def given(colour: int = 1) -> BlendInputs:
    """Hair is wanted on the right half; the source (1) has it there, the identity (0) nowhere."""
    people = [labelled(0, SKIN, SKIN), labelled(1, SKIN, HAIR), labelled(2, SKIN, HAIR)]
    keys = [person.sha256 for person in people]
    label_map = torch.tensor(people[1].label_map).long()[None]
    nothing = torch.zeros((1, 1, SIDE, SIDE), dtype=torch.bool)
    target = replace(random_mask(), label_map=label_map, removed=nothing, shown=nothing)
    aligned = Aligned(
        target=target,
        identity=alignment(0),
        references={key: alignment(n) for n, key in enumerate(keys)},
        sources=(keys[1],),
    )
    return BlendInputs(
        identity=keys[0],
        regions=(RegionEdit(labels=(Region.HAIR,), structure=keys[1], appearance=keys[colour]),),
        portraits=dict(zip(keys, people, strict=True)),
        reconstructions={key: random_code(n) for n, key in enumerate(keys)},
        structure=aligned,
        appearance=aligned,
    )


def run(inputs: BlendInputs, params: BlendParams, **more: Any) -> Blend:
    return blend(tiny_bundle(), inputs, params, noise=Noise.zero(), **more)


def half(right: bool) -> Tensor:
    where = torch.zeros((1, 1, SIDE, SIDE), dtype=torch.bool)
    where[..., SIDE // 2 :] = True
    return where if right else ~where


def test_refined_composite_is_nearer_to_the_photographs() -> None:
    inputs, reports = given(), list[StepReport]()
    plain = run(inputs, QUICK)
    refined = run(inputs, replace(REFINED, refine_steps=20), on_step=reports.append)
    photograph = inputs.portraits[inputs.identity].pixels.astype(float)
    left = np.s_[:, : SIDE // 2 - 2]

    def error(found: Blend) -> float:
        return float(np.square(found.image[left] - photograph[left]).mean())

    assert error(refined) < 0.9 * error(plain)
    assert torch.equal(refined.fs.s, plain.fs.s) and not torch.equal(refined.fs.f, plain.fs.f)
    assert [report.phase for report in reports] == ["appearance"] * 2 + ["refine"] * 20
    assert reports[-1].done == 1.0
    wanted = plain.losses["total"] + refined.losses["refine.l2"] + refined.losses["refine.lpips"]
    assert refined.losses["total"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"refine_steps": 4},
        {"refine_rate": 0.1},
        {"refine_l2_weight": 9.0},
        {"refine_margin": 5},
        {"refine_extends": True},
    ],
)
def test_every_parameter_changes_what_is_refined(change: dict[str, float]) -> None:
    plain, other = (run(given(), p) for p in (REFINED, replace(REFINED, **change)))
    assert not torch.equal(plain.fs.f, other.fs.f)


def test_a_job_without_regions_has_nothing_to_refine() -> None:
    inputs = replace(given(), regions=(), structure=None, appearance=None)
    one, other = run(inputs, QUICK), run(inputs, REFINED)
    assert one.to_bytes() == other.to_bytes()


def test_carried_skip_is_not_refined() -> None:
    inputs = given()

    def carried(f: Tensor) -> Tensor:
        return torch.cat([f, torch.full_like(f[:, :3], 0.125)], dim=1)

    codes = {
        key: replace(code, fs=replace(code.fs, f=carried(code.fs.f)))
        for key, code in inputs.reconstructions.items()
    }
    aligned = inputs.structure
    assert aligned is not None
    moved = {key: replace(a, f=carried(a.f)) for key, a in aligned.references.items()}
    identity = replace(aligned.identity, f=carried(aligned.identity.f))
    aligned = replace(aligned, identity=identity, references=moved)
    inputs = replace(inputs, reconstructions=codes, structure=aligned, appearance=aligned)
    found = run(inputs, REFINED).fs.f[:, -3:]
    assert torch.allclose(found, torch.full_like(found, 0.125), atol=1e-6)


def test_each_place_is_rendered_with_the_s_of_its_region() -> None:
    bundle, inputs = tiny_bundle(), given()
    shares = shares_of_s(bundle, inputs, inputs.structure, QUICK)
    assert shares is not None and torch.equal(shares[:, 1:] > 0, half(right=True))
    found = run(inputs, QUICK)
    assert found.shares is not None and torch.equal(found.shares, shares)
    own = random_code(0).fs.s
    assert torch.equal(found.fs.s[:1], own) and not torch.equal(found.fs.s[1:], own)
    assert Blend.from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()


def test_one_s_serves_everywhere_unless_asked_otherwise() -> None:
    found = run(given(), replace(QUICK, regional_s=False))
    assert found.shares is None and len(found.fs.s) == 1


def test_colours_of_several_regions_do_not_share_their_room() -> None:
    inputs = given()
    lip = RegionEdit(
        labels=(Region.UPPER_LIP,), structure=inputs.identity, appearance=portraits(3)[2].sha256
    )
    assert inputs.structure is not None
    target, labels = inputs.structure.target, inputs.structure.target.label_map.clone()
    labels[:, :16, :16] = LIP
    target = replace(target, label_map=labels, shown=target.shown.expand(-1, 2, -1, -1))
    sources = (*inputs.structure.sources, inputs.identity)
    aligned = replace(inputs.structure, target=target, sources=sources)
    regions = (*inputs.regions, lip)
    inputs = replace(inputs, regions=regions, structure=aligned, appearance=aligned)
    found = run(inputs, replace(QUICK, steps=40, rate=0.5))
    assert found.shares is not None and found.shares.shape[1] == 3
    assert torch.equal(found.shares.sum(dim=1), torch.ones(1, SIDE, SIDE))
    one, other = (found.weights[key] for key in (regions[0].appearance, lip.appearance))
    assert float((one + other).max()) > 1
