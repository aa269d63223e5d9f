from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.errors import StageError
from barber.labels import Area, Region
from barber.models.stylegan2 import Noise
from barber.painted import PaintedMask
from barber.spec import FillMode, MaskMode, TargetParams
from barber.stages.descent import StepReport
from barber.stages.pictures import photograph_labels
from barber.stages.target import compose_labels, fill_losses, semantic_fill, target
from tests.support.compositions import portraits, tiny_bundle

HAIR = Area(labels=(Region.HAIR,))
LIPS = Area(labels=(Region.UPPER_LIP,))
FACE = Area(labels=tuple(r for r in Region if r not in (Region.BACKGROUND, Region.HAIR)))
QUICK = TargetParams(steps=2, rate=0.1)
SIDE = 16


def filled(label: Region) -> Tensor:
    return torch.full((1, SIDE, SIDE), int(label))


def head(hair_rows: int) -> Tensor:
    """Background, with hair above a face."""
    labels = filled(Region.BACKGROUND)
    labels[:, 2 : 2 + hair_rows, 4:12] = Region.HAIR
    labels[:, 2 + hair_rows : 14, 4:12] = Region.SKIN
    return labels


def test_hole_that_removed_hair_leaves_is_what_the_generator_shows() -> None:
    first = compose_labels(head(6), [head(2)], [HAIR])
    found = semantic_fill(first, lambda phase, wanted: filled(Region.CLOTH))
    assert bool((found[first.holes[:, 0]] == Region.CLOTH).any())
    untouched = ~first.holes & ~first.hidden
    assert torch.equal(found[untouched[:, 0]], first.labels[untouched[:, 0]])


def test_second_pass_asks_for_background_under_what_was_hidden_and_keeps_its_rest() -> None:
    first = compose_labels(head(6), [head(2)], [HAIR])
    wanted: list[Tensor] = []
    answers = iter([filled(Region.CLOTH), filled(Region.BACKGROUND)])

    def fill(phase: str, labels: Tensor) -> Tensor:
        wanted.append(labels)
        return next(answers)

    found = semantic_fill(first, fill)
    assert bool(first.hidden.any())
    assert bool((wanted[1][first.hidden[:, 0]] == Region.BACKGROUND).all())
    # Where the second pass says background, the first one's answer stands.
    assert bool((found[first.hidden[:, 0]] == Region.CLOTH).all())


def test_nothing_hidden_needs_no_second_pass() -> None:
    phases: list[str] = []

    def fill(phase: str, wanted: Tensor) -> Tensor:
        phases.append(phase)
        return wanted

    first = compose_labels(head(4), [head(4)], [HAIR])
    assert torch.equal(semantic_fill(first, fill), head(4)) and phases == ["fill"]


def test_one_region_is_the_hair_formula_of_section_11() -> None:
    identity, reference = head(3), head(5)
    first = compose_labels(identity, [reference], [HAIR])
    h1, h2 = identity == 10, reference == 10
    a0 = torch.where(h1, 0, identity)
    hidden = (reference != 0) & (reference != 10) & (reference != 15) & (a0 == 0)
    assert torch.equal(first.hidden[:, 0], hidden)
    assert torch.equal(first.holes[:, 0], h1 & ~h2)
    assert torch.equal(first.background == 0, (identity == 0) & ~h2)
    elsewhere = ~hidden
    assert torch.equal(first.labels[elsewhere], torch.where(h2, 10, a0)[elsewhere])


def test_realistic_mode_leaves_removed_hair_to_the_generator() -> None:
    logits = torch.randn(1, 16, SIDE, SIDE)
    first = compose_labels(head(6), [head(2)], [HAIR])
    realistic, fidelity = (
        fill_losses(logits, first.labels, first, mode)
        for mode in (MaskMode.REALISTIC, MaskMode.FIDELITY)
    )
    assert set(realistic) == {"without_background", "background_only"}
    assert set(fidelity) == {"cross_entropy"}
    changed = logits.clone()
    # Logits where hair went away and nothing came: 0 in the target, not forced to background.
    free = (first.labels == 0) & (first.background == 1)
    assert bool(free.any())
    changed.permute(0, 2, 3, 1)[free] += torch.randn(int(free.sum()), 16)
    again, forced = (
        fill_losses(changed, first.labels, first, mode)
        for mode in (MaskMode.REALISTIC, MaskMode.FIDELITY)
    )
    assert again == realistic and forced != fidelity


def test_strict_mode_lets_holes_be_anything_but_what_was_there() -> None:
    first = compose_labels(head(6), [head(2)], [HAIR])
    holes = first.holes[:, 0]

    def losses(logits: Tensor) -> dict[str, Tensor]:
        return fill_losses(logits, first.labels, first, MaskMode.STRICT)

    logits = torch.zeros(1, 16, SIDE, SIDE)
    plain = losses(logits)
    assert plain["returned"].item() == pytest.approx(-np.log(15 / 16))
    skin, hair = logits.clone(), logits.clone()
    skin[:, Region.SKIN] += 4.0 * holes
    hair[:, Region.HAIR] += 4.0 * holes
    assert losses(skin)["returned"] < plain["returned"] < losses(hair)["returned"]
    assert losses(skin)["cross_entropy"] == plain["cross_entropy"]  # of the holes nothing is asked


def test_strict_mode_asks_once_and_hair_that_comes_back_gives_way_to_its_neighbours() -> None:
    first = compose_labels(head(6), [head(2)], [HAIR])
    phases: list[str] = []

    def fill(phase: str, wanted: Tensor) -> Tensor:
        phases.append(phase)
        return filled(Region.HAIR)

    found = semantic_fill(first, fill, MaskMode.STRICT)
    assert phases == ["fill"] and bool(first.hidden.any())
    in_holes = set(found[first.holes[:, 0]].tolist())
    assert in_holes <= {int(Region.BACKGROUND), int(Region.SKIN)} and in_holes
    assert torch.equal(found[~first.holes[:, 0]], first.labels[~first.holes[:, 0]])


def hatted(hair_rows: int) -> Tensor:
    """A head whose upper two rows of hair are under a hat, which is one pixel wider."""
    labels = head(hair_rows)
    labels[:, 1:4, 3:13] = Region.HAT
    return labels


def test_hat_of_the_identity_stays_in_front_of_what_is_pasted_if_wanted() -> None:
    kept, covered = (
        compose_labels(hatted(5), [head(6)], [HAIR], replace(QUICK, keep_hat=keep))
        for keep in (True, False)
    )
    hat = hatted(5) == Region.HAT
    assert bool((kept.labels[hat] == Region.HAT).all())
    assert not bool(kept.shown[0, 0][hat[0]].any())
    assert bool((covered.labels[:, 2:4, 4:12] == Region.HAIR).all())
    both = Area(labels=(Region.HAIR, Region.HAT))
    replaced = compose_labels(hatted(5), [head(6)], [both], replace(QUICK, keep_hat=True))
    assert not bool((replaced.labels == Region.HAT).any())


def test_hair_under_a_sources_hat_is_hair_that_the_source_does_not_show() -> None:
    hat = hatted(5) == Region.HAT
    plain, guessed = (
        compose_labels(head(5), [hatted(5)], [HAIR], replace(QUICK, hair_under_hat=under))
        for under in (False, True)
    )
    assert bool((guessed.labels[hat] == Region.HAIR).all())
    assert not bool((plain.labels[hat] == Region.HAIR).all())
    assert torch.equal(guessed.shown, plain.shown)  # its F is not its hair's there
    assert not bool(guessed.holes[0, 0][hat[0]].any())


def test_heuristic_fill_gives_facial_holes_the_label_around_them() -> None:
    identity, source = head(3), head(3)
    identity[:, 9:12, 6:10] = Region.UPPER_LIP
    source[:, 10:11, 7:9] = Region.UPPER_LIP
    first = compose_labels(identity, [source], [LIPS])
    assert int(first.facial_holes.sum()) == 10
    hair = compose_labels(head(6), [head(2)], [HAIR])
    assert bool(hair.holes.any()) and not bool(hair.facial_holes.any())


def test_mask_remembers_what_was_removed_and_what_each_source_shows() -> None:
    bundle, (identity, one, two) = tiny_bundle(), portraits(3)
    found = target(bundle, identity, [one, two], [FACE, HAIR], QUICK, noise=Noise.zero())
    own, first, second = (photograph_labels(bundle, p) for p in (identity, one, two))
    side = bundle.geometry.label_size
    assert found.label_map.shape == (1, side, side) and found.label_map.dtype == torch.int64
    assert torch.equal(found.removed[0, 0], own[0] != Region.BACKGROUND)
    assert torch.equal(found.shown[0, 0], (first[0] != 0) & (first[0] != Region.HAIR))
    assert torch.equal(found.shown[0, 1], second[0] == Region.HAIR)
    assert bool((found.label_map[:, found.shown[0, 1]] == Region.HAIR).all())


@pytest.mark.parametrize(
    "other", [{"mask_mode": MaskMode.FIDELITY}, {"fill": FillMode.HEURISTIC}, {"steps": 3}]
)
def test_params_change_the_losses_or_the_mask(other: dict[str, object]) -> None:
    bundle, (identity, one) = tiny_bundle(), portraits(2)
    runs = [
        target(bundle, identity, [one], [HAIR], params, noise=Noise.zero())
        for params in (QUICK, replace(QUICK, **other))
    ]
    assert runs[0].losses != runs[1].losses


def test_rate_moves_the_code() -> None:
    bundle, (identity, one) = tiny_bundle(), portraits(2)
    runs = [
        target(bundle, identity, [one], [HAIR], replace(QUICK, rate=rate), noise=Noise.zero())
        for rate in (0.1, 0.2)
    ]
    assert runs[0].losses != runs[1].losses


def test_heuristic_fill_takes_no_step() -> None:
    bundle, (identity, one) = tiny_bundle(), portraits(2)
    reports: list[StepReport] = []
    params = replace(QUICK, fill=FillMode.HEURISTIC)
    found = target(
        bundle, identity, [one], [FACE], params, noise=Noise.zero(), on_step=reports.append
    )
    assert reports == [] and found.losses == {}


def test_progress_ends_at_one() -> None:
    bundle, (identity, one) = tiny_bundle(), portraits(2)
    reports: list[StepReport] = []
    target(bundle, identity, [one], [HAIR], QUICK, noise=Noise.zero(), on_step=reports.append)
    assert reports[-1].done == 1.0 and reports[0].phase == "fill"


def test_equal_seeds_give_equal_masks() -> None:
    bundle, (identity, one) = tiny_bundle(), portraits(2)
    runs = [
        target(bundle, identity, [one], [HAIR], QUICK, noise=Noise.fresh(seed)).to_bytes()
        for seed in (5, 5, 6)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_painted_mask_is_worked_towards_as_it_is_and_shown_where_it_was_painted() -> None:
    bundle, (identity, source) = tiny_bundle(), portraits(2)
    side = bundle.geometry.label_size
    labels = np.full((side, side), int(Region.SKIN), dtype=np.uint8)
    labels[: side // 4] = Region.HAIR
    mask = PaintedMask.of(labels)
    reports: list[StepReport] = []
    area = Area(labels=tuple(r for r in Region if r is not Region.BACKGROUND))
    found = target(
        bundle,
        identity,
        [source],
        [area],
        QUICK,
        painted=mask,
        noise=Noise.zero(),
        on_step=reports.append,
    )
    composed = target(bundle, identity, [source], [area], QUICK, noise=Noise.zero())
    assert np.array_equal(found.label_map[0].numpy(), labels)
    assert not torch.equal(found.label_map, composed.label_map)
    assert bool(found.shown.all())  # everything painted is of the area
    assert torch.equal(found.removed, composed.removed)
    assert reports == []  # nothing is left to fill


def test_a_painted_mask_of_another_size_ends_the_stage() -> None:
    identity, source = portraits(2)
    labels = np.full((8, 8), int(Region.HAIR), dtype=np.uint8)
    area = Area(labels=tuple(r for r in Region if r is not Region.BACKGROUND))
    with pytest.raises(StageError, match="8x8"):
        target(
            tiny_bundle(),
            identity,
            [source],
            [area],
            QUICK,
            painted=PaintedMask.of(labels),
            noise=Noise.zero(),
        )
