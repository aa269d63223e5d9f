from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from barber.artifacts import (
    ARTIFACTS,
    Alignment,
    Artifact,
    Blend,
    FSCode,
    Reconstruction,
    TargetMask,
    colour_labels,
)
from barber.errors import StoreError
from barber.labels import COLOURS, Region
from barber.plan import StageKind
from barber.spec import PortraitKey

SIDE = 8


def fs() -> FSCode:
    return FSCode(f=torch.randn(1, 3, 4, 4), s=torch.randn(1, 6, 5))


def picture() -> Any:
    return np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def examples() -> list[Artifact]:
    torch.manual_seed(0)
    losses = {"total": 0.1 + 0.2, "lpips": 1e-12}
    labels = torch.randint(0, 16, (1, SIDE, SIDE))
    weights = torch.rand(6, 5)
    return [
        Reconstruction(w_plus=torch.randn(1, 6, 5), fs=fs(), preview=picture(), losses=losses),
        TargetMask(
            label_map=labels,
            removed=labels[:, None] == Region.HAIR,
            shown=torch.rand(1, 2, SIDE, SIDE) > 0.5,
            losses=losses,
        ),
        Alignment(f=torch.randn(1, 3, 4, 4), preview=picture(), losses=losses),
        Blend(
            image=picture(),
            fs=fs(),
            weights={PortraitKey("z"): 1 - weights, PortraitKey("a"): weights},
            losses=losses,
            dropped=("1:hair",),
        ),
    ]


@pytest.mark.parametrize("artifact", examples(), ids=lambda a: a.kind)
def test_bytes_and_back_gives_equal_bytes(artifact: Artifact) -> None:
    data = artifact.to_bytes()
    again = ARTIFACTS[artifact.kind].from_bytes(data)
    assert again.to_bytes() == data == artifact.to_bytes()
    assert again.losses == artifact.losses


def test_label_map_comes_back_with_its_kind_of_number() -> None:
    mask = examples()[1]
    assert isinstance(mask, TargetMask)
    again = TargetMask.from_bytes(mask.to_bytes())
    assert again.label_map.dtype == torch.int64 and again.shown.dtype == torch.bool
    assert torch.equal(again.label_map, mask.label_map)
    assert torch.equal(again.region(Region.HAIR), mask.removed)


def test_blend_keeps_the_order_of_its_weights_and_what_was_dropped() -> None:
    blend = examples()[3]
    assert isinstance(blend, Blend)
    again = Blend.from_bytes(blend.to_bytes())
    assert list(again.weights) == ["z", "a"] and again.dropped == ("1:hair",)
    assert torch.equal(again.weights[PortraitKey("a")], blend.weights[PortraitKey("a")])


def test_non_contiguous_tensor_is_stored_as_its_values() -> None:
    f = torch.randn(1, 3, 4, 4)
    plain, odd = (
        Alignment(f=x, preview=picture())
        for x in (f, f.contiguous(memory_format=torch.channels_last))
    )
    assert plain.to_bytes() == odd.to_bytes()


@pytest.mark.parametrize("data", [b"", b"not safetensors at all", b"\xff" * 64])
def test_damaged_bytes_are_a_store_error(data: bytes) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Blend.from_bytes(data)


def test_truncated_bytes_are_a_store_error() -> None:
    data = examples()[0].to_bytes()
    with pytest.raises(StoreError):
        Reconstruction.from_bytes(data[:-1])


def test_every_kind_has_its_artifact_and_a_picture() -> None:
    assert set(ARTIFACTS) == set(StageKind)
    for artifact in examples():
        for pixels in artifact.pictures().values():
            assert pixels.dtype == np.uint8 and pixels.shape == (SIDE, SIDE, 3)


def test_label_colours_are_the_official_ones() -> None:
    labels = np.arange(16).reshape(4, 4)
    assert [tuple(c) for c in colour_labels(labels).reshape(-1, 3)] == [COLOURS[r] for r in Region]
