"""Several regions: what they mean together, on label maps and in the mix (method 16.3)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from barber.artifacts import Portrait
from barber.errors import StageError
from barber.labels import Area, Region, Zone, parse_region
from barber.models.stylegan2 import Noise
from barber.spec import TargetParams
from barber.stages import masks
from barber.stages import target as target_stage
from barber.stages.target import Composition, compose_labels, semantic_fill, target
from tests.support.compositions import portraits, tiny_bundle

SIDE = 12
HAIR, FACE, LIPS = (parse_region(word) for word in ("hair", "face", "lips"))
EYES, BEARD = parse_region("eyes"), parse_region("beard")
AREAS = [HAIR, FACE, LIPS, EYES, parse_region("hat"), parse_region("hair+lips")]
DISJOINT = [HAIR, LIPS, EYES, parse_region("nose"), parse_region("brows")]
seeds = st.integers(0, 2**31)


def random_labels(seed: int) -> Tensor:
    """A label map with much of what people have, in blocks of two."""
    source = torch.Generator().manual_seed(seed)
    likely = torch.tensor([0, 0, 1, 1, 10, 10, 2, 4, 5, 7, 8, 11, 15])
    cells = likely[torch.randint(0, len(likely), (SIDE // 2, SIDE // 2), generator=source)]
    return cells.repeat_interleave(2, 0).repeat_interleave(2, 1)[None]


def outcome(first: Composition) -> tuple[Tensor, ...]:
    """What the target mask is made of, whatever the number of regions."""
    return first.labels, first.background, first.removed, first.hidden, first.holes


def same(one: Composition, other: Composition) -> bool:
    return all(torch.equal(a, b) for a, b in zip(outcome(one), outcome(other), strict=True))


@settings(deadline=None, max_examples=15)
@given(st.permutations(range(5)), seeds)
def test_order_of_references_whose_regions_do_not_overlap_is_all_one(
    order: list[int], seed: int
) -> None:
    identity = random_labels(seed)
    sources = [random_labels(seed + n + 1) for n in range(5)]
    taken = torch.zeros_like(identity, dtype=torch.bool)
    for n, area in enumerate(DISJOINT):  # no pixel is given by two
        sources[n] = sources[n].masked_fill(taken, int(Region.BACKGROUND))
        taken |= masks.covered(sources[n], area)[:, 0]
    one = compose_labels(identity, sources, DISJOINT)
    other = compose_labels(identity, [sources[n] for n in order], [DISJOINT[n] for n in order])
    assert same(one, other)


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_where_regions_overlap_the_later_one_is_seen(seed: int) -> None:
    identity, one, two = (random_labels(seed + n) for n in range(3))
    both = masks.covered(one, HAIR) & masks.covered(two, FACE)
    assume(bool(both.any()))
    late_face = compose_labels(identity, [one, two], [HAIR, FACE]).labels
    late_hair = compose_labels(identity, [two, one], [FACE, HAIR]).labels
    assert torch.equal(late_face[both[:, 0]], two[both[:, 0]])
    assert bool((late_hair[both[:, 0]] == Region.HAIR).all())
    assert not torch.equal(late_face, late_hair)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from(AREAS), min_size=1, max_size=4), seeds)
def test_regions_of_one_source_are_their_union(areas: list[Area], seed: int) -> None:
    identity, source = random_labels(seed), random_labels(seed + 1)
    union = Area(labels=tuple(sorted({label for area in areas for label in area.labels})))
    several = compose_labels(identity, [source] * len(areas), areas)
    assert same(several, compose_labels(identity, [source], [union]))


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from([*AREAS, BEARD]), min_size=1, max_size=4), seeds)
def test_ones_own_regions_change_no_label_and_leave_nothing_to_fill(
    areas: list[Area], seed: int
) -> None:
    identity = random_labels(seed)
    first = compose_labels(identity, [identity] * len(areas), areas)
    assert torch.equal(first.labels, identity)
    assert not bool(first.holes.any()) and not bool(first.hidden.any())


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(AREAS), st.integers(1, 3)), max_size=5), seeds)
def test_facial_holes_are_filled_by_the_first_pass_alone(
    regions: list[tuple[Area, int]], seed: int
) -> None:
    assume(regions)
    sources = [random_labels(seed + n) for _, n in regions]
    first = compose_labels(random_labels(seed), sources, [area for area, _ in regions])
    answers = iter([torch.full((1, SIDE, SIDE), 14), torch.full((1, SIDE, SIDE), 6)])
    found = semantic_fill(first, lambda phase, wanted: next(answers))
    assert bool((found[first.facial_holes[:, 0]] == 14).all())
    assert not bool((first.hidden & first.facial_holes).any())
    # The prefill draws hair and background only, and never on what a region has pasted.
    assert not bool((first.hidden & first.shown.any(dim=1, keepdim=True)).any())


# The zone of the lower face


def face(*, nose: slice = slice(4, 8), chin: int = 14) -> Tensor:
    """A face in a label map of 16: skin with a nose, lips below it, neck at the bottom."""
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 2:chin, 3:13] = int(Region.SKIN)
    labels[:, chin:, 6:10] = int(Region.NECK)
    labels[:, nose, 6:10] = int(Region.NOSE)
    labels[:, 10:11, 6:10] = int(Region.UPPER_LIP)
    return labels


def test_beard_is_skin_below_the_nose_and_above_the_neck() -> None:
    found = masks.covered(face(), BEARD)[0, 0]
    assert not bool(found[:8].any()) and not bool(found[14:].any())
    assert bool(found[8:14, 3:13].sum() == 6 * 10 - 4)  # all but the lip
    joined = masks.covered(face(), Area(labels=(Region.SKIN, Region.UPPER_LIP), zone=BEARD.zone))
    assert int(joined.sum()) == 6 * 10


def test_specks_of_nose_do_not_move_the_edge_and_no_nose_is_no_zone() -> None:
    speckled = face()
    speckled[:, 12, 12] = int(Region.NOSE)
    expected = masks.zone(face(), Zone.LOWER_FACE)
    assert torch.equal(masks.zone(speckled, Zone.LOWER_FACE), expected)
    bare = face().masked_fill(face() == Region.NOSE, int(Region.SKIN))
    assert not bool(masks.covered(bare, BEARD).any())
    assert masks.has_zone(face(), BEARD) and not masks.has_zone(bare, BEARD)
    assert masks.has_zone(bare, LIPS)


def test_zone_is_found_for_each_sample_by_itself() -> None:
    both = torch.cat([face(), face(nose=slice(3, 6)), torch.zeros_like(face())])
    alone = torch.cat([masks.zone(each[None], Zone.LOWER_FACE) for each in both])
    assert torch.equal(masks.zone(both, Zone.LOWER_FACE), alone)
    assert alone.flatten(1).sum(dim=1).tolist() == [8 * 16, 10 * 16, 0]


def test_beard_moves_the_jaw_and_leaves_the_upper_face() -> None:
    identity, source = face(), face(nose=slice(4, 9), chin=16)
    first = compose_labels(identity, [source], [BEARD])
    assert torch.equal(first.labels[:, :8], identity[:, :8])
    assert bool((first.labels[0, 14:, 3:13] == Region.SKIN).all())  # the longer jaw
    # Skin between the two noses' edges goes and nothing comes: the first pass fills it.
    assert bool(first.holes[0, 0, 8, 3:13].any()) and bool(first.facial_holes.any())
    assert torch.equal(first.removed, masks.covered(identity, BEARD))


@pytest.mark.parametrize("nobody", [0, 1])
def test_beard_without_a_nose_names_region_and_portrait(
    monkeypatch: pytest.MonkeyPatch, nobody: int
) -> None:
    people = portraits(2)
    side = tiny_bundle().geometry.label_size
    maps = [torch.full((1, side, side), int(Region.SKIN)) for _ in people]
    maps[1 - nobody][:, 8:16, 8:16] = int(Region.NOSE)

    def shown(_bundle: object, portrait: Portrait, **_: object) -> Tensor:
        return maps[[p.sha256 for p in people].index(portrait.sha256)]

    monkeypatch.setattr(target_stage, "photograph_labels", shown)
    with pytest.raises(StageError, match=f"beard.*{people[nobody].sha256[:12]} shows no nose"):
        target(
            tiny_bundle(),
            people[0],
            [people[1]],
            [BEARD],
            replace(TargetParams(), steps=1),
            noise=Noise.zero(),
        )
