from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from barber.artifacts import Portrait, TargetMask
from barber.evaluation.judging import judge
from barber.evaluation.metrics import PSNR_CAP_DB
from barber.labels import Region
from barber.quality import FEATURES, Flag, Quality
from barber.spec import PortraitKey
from barber.stages.pictures import photograph_labels
from tests.support.compositions import job, portraits, tiny_bundle

HAIR = (Region.HAIR,)
SPEC = job((HAIR, 1, 1))


def like(portrait: Portrait, pixels: np.ndarray) -> Portrait:
    return replace(portrait, pixels=pixels, sha256=PortraitKey(""))


def mask(label_map: torch.Tensor, *, shown: torch.Tensor | None = None) -> TargetMask:
    nothing = torch.zeros_like(label_map[:, None], dtype=torch.bool)
    inside = label_map[:, None] == Region.HAIR if shown is None else shown
    return TargetMask(label_map=label_map, removed=nothing, shown=inside)


def upper_half() -> torch.Tensor:
    """Hair in the upper half of the label map, skin below."""
    side = tiny_bundle().geometry.label_size
    labels = torch.full((1, side, side), int(Region.SKIN))
    labels[:, : side // 2] = int(Region.HAIR)
    return labels


def test_what_was_to_change_counts_for_nothing() -> None:
    identity = portraits(1)[0]
    changed = identity.pixels.copy()
    changed[: len(changed) // 2] = 255 - changed[: len(changed) // 2]
    found = judge(tiny_bundle(), SPEC, like(identity, changed), identity, mask(upper_half()))
    assert found.psnr_db == PSNR_CAP_DB
    assert found.distance == 0
    assert found.ssim is not None and found.ssim > 0.9  # its windows look over the edge


def test_what_was_to_be_kept_counts_in_every_number() -> None:
    identity = portraits(1)[0]
    changed = identity.pixels.copy()
    changed[len(changed) // 2 :] = 255 - changed[len(changed) // 2 :]
    found = judge(tiny_bundle(), SPEC, like(identity, changed), identity, mask(upper_half()))
    assert found.psnr_db is not None and found.psnr_db < 15
    assert found.ssim is not None and found.ssim < 0.5
    assert found.distance is not None and found.distance > 0
    assert Flag.IDENTITY in found.flags


def test_agreement_is_between_the_parser_and_the_target_mask() -> None:
    bundle, identity = tiny_bundle(), portraits(1)[0]
    seen = photograph_labels(bundle, identity).cpu()
    counts = torch.bincount(seen.flatten(), minlength=len(Region))
    counts[Region.BACKGROUND] = 0
    label = Region(int(counts.argmax()))
    spec = job(((label,), 1, 1))
    same = judge(bundle, spec, identity, identity, mask(seen))
    assert same.ious == {spec.regions[0].area.words: 1.0}
    nowhere = torch.where(seen == label, int(Region.BACKGROUND), seen)
    none = judge(bundle, spec, identity, identity, mask(nowhere))
    assert none.iou == 0
    assert Flag.SHAPE in none.flags


def test_a_job_without_regions_keeps_the_whole_picture_and_has_no_agreement() -> None:
    identity = portraits(1)[0]
    found = judge(tiny_bundle(), job(), identity, identity, None)
    assert (found.psnr_db, found.iou, found.flags) == (PSNR_CAP_DB, None, ())
    assert found.distance_name == FEATURES  # the tiny bundle has no public weights


def test_a_mask_that_covers_all_leaves_nothing_to_compare() -> None:
    identity = portraits(1)[0]
    whole = torch.full_like(upper_half(), int(Region.HAIR))
    found = judge(tiny_bundle(), SPEC, identity, identity, mask(whole))
    assert (found.psnr_db, found.ssim, found.distance) == (None, None, None)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_colour_is_flat(grey: int) -> None:
    identity = portraits(1)[0]
    flat = np.full_like(identity.pixels, grey)
    found = judge(tiny_bundle(), SPEC, like(identity, flat), identity, mask(upper_half()))
    assert Flag.FLAT in found.flags


def test_every_flag_says_what_is_wrong() -> None:
    bad = Quality(
        psnr_db=5.0, ssim=0.0, distance=1.0, distance_name=FEATURES, ious={"hair": 0.1}, spread=0.0
    )
    assert set(bad.flags) == set(Flag)
    assert all(flag.words for flag in bad.flags)
