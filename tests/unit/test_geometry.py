"""The sizes that follow from a bundle's geometry, against method sections 5.1, 5.5 and 15."""

from dataclasses import replace

import pytest

from barber.errors import CheckpointError
from barber.geometry import Geometry


@pytest.mark.parametrize(("size", "rows"), [(256, 14), (512, 16), (1024, 18)])
def test_official_geometry(size: int, rows: int) -> None:
    geometry = Geometry.official(size)
    assert geometry.rows == rows
    assert (geometry.split_row, geometry.align_rows, geometry.f_layer) == (7, 6, 3)
    assert (geometry.f_size, geometry.f_channels) == (32, 512)
    assert (geometry.label_size, geometry.loss_size) == (512, 256)
    assert Geometry.from_json(geometry.to_json()) == geometry


def test_official_channels_halve_above_64() -> None:
    geometry = Geometry.official(1024)
    assert [geometry.channels_at(s) for s in (4, 32, 64, 128, 256, 512, 1024)] == [
        512, 512, 512, 256, 128, 64, 32,
    ]  # fmt: skip
    assert Geometry.official(1024, channel_multiplier=1).channels_at(64) == 256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"style_dim": 0}, "whole numbers from 1 up"),
        ({"image_size": 300}, "powers of two"),
        ({"f_size": 256}, "F is 256 wide"),
        ({"f_size": 4}, "F is 4 wide"),
        ({"loss_size": 512}, "loss size 512 exceeds"),
        ({"channels": ((4, 8), (8, 8))}, "channels must be given"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        replace(Geometry.official(256), **changes)


def test_unreadable_manifest_is_a_checkpoint_error() -> None:
    with pytest.raises(CheckpointError, match="geometry cannot be read"):
        Geometry.from_json({"channels": [[4, 8]]})
