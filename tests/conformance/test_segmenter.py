"""The face parser on a photograph-like picture at 1024."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.geometry import Geometry
from barber.losses.segmentation import cross_entropy
from barber.models.segmenter import Segmenter
from barber.resample import photograph_to_parser
from tests.conformance.compare import assert_agrees, compared, mean_std
from tests.conformance.recipe import VECTORS, Recipe, enlarge, float32, reference_bundle

FILE = "segmenter.npz"


@cache
def results() -> dict[str, Tensor]:
    recipe, parser = Recipe(VECTORS), reference_bundle(256).segmenter
    unit = float32(recipe.picture("a", 1024) / 255.0).permute(2, 0, 1)[None]
    x = photograph_to_parser(unit, Geometry.official(1024)).requires_grad_()
    logits = parser(x)
    cells = np.floor(16 * recipe.u("test/labels64", (64, 64))).astype(np.int64)
    loss = cross_entropy(logits, torch.from_numpy(enlarge(cells, 512))[None])
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    return {
        "input_slice": x[0, :, ::16, ::16],
        "logits_slice": logits[0, :, ::16, ::16],
        "logits_meanstd": mean_std(logits),
        "labels": Segmenter.label_map(logits)[0],
        "cross_entropy": loss,
        "grad_input_slice": gradient[0, :, ::16, ::16],
        "grad_input_meanstd": mean_std(gradient),
    }


@pytest.mark.parametrize("name", compared(Recipe(VECTORS), FILE))
def test_the_parser_agrees_with_the_reference(recipe: Recipe, name: str) -> None:
    assert_agrees(recipe, FILE, name, results()[name])


def test_labels_agree_exactly_where_the_best_two_logits_are_apart(recipe: Recipe) -> None:
    clear = recipe.array(FILE, "clear").astype(bool)

    assert clear.mean() > 0.5
    assert (results()["labels"].numpy() == recipe.array(FILE, "labels"))[clear].all()
