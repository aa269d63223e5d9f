from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from barber.pixels import portrait_key
from barber.stages.pictures import photograph_labels
from tests.support.compositions import portraits, tiny_bundle


def test_portrait_with_its_own_label_map_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle()
    portrait = portraits(1)[0]
    side = bundle.geometry.label_size
    own = np.arange(side * side, dtype=np.uint8).reshape(side, side) % 16
    parsed = photograph_labels(bundle, portrait)
    assert parsed.shape == (1, side, side)

    def refuse(*_: object) -> None:
        raise AssertionError("the parser was asked")

    monkeypatch.setattr(bundle.segmenter, "forward", refuse)
    found = photograph_labels(bundle, replace(portrait, label_map=own))
    assert found.dtype == torch.int64
    assert found[0].tolist() == own.tolist()
    with pytest.raises(AssertionError, match="the parser was asked"):
        photograph_labels(bundle, portrait)


def test_key_without_a_map_is_that_of_the_pixels_and_with_one_another() -> None:
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    maps = [np.full((4, 4), value, dtype=np.uint8) for value in (1, 2)]
    keys = {portrait_key(pixels), *(portrait_key(pixels, own) for own in maps)}
    assert len(keys) == 3
    assert portrait_key(pixels, None) == portrait_key(pixels)
