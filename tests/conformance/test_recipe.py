"""The recipe itself: if this fails, no other comparison means anything."""

from __future__ import annotations

import hashlib

import pytest
import torch

from tests.conformance.compare import assert_agrees, compared
from tests.conformance.recipe import VECTORS, Recipe, reference_bundle


@pytest.mark.parametrize("file", sorted(Recipe(VECTORS).manifest["files"]))
def test_the_vector_files_are_the_ones_in_the_manifest(recipe: Recipe, file: str) -> None:
    data = (recipe.folder / file).read_bytes()

    assert hashlib.sha256(data).hexdigest() == recipe.manifest["files"][file]["sha256"]


@pytest.mark.parametrize("name", compared(Recipe(VECTORS), "recipe_check.npz"))
def test_the_recipe_makes_the_stored_first_values(recipe: Recipe, name: str) -> None:
    net, key = name.split("/", 1)
    bundle = reference_bundle(256)
    if net in ("picture", "ellipse"):
        grid = recipe.picture(key) if net == "picture" else recipe.ellipse(key)[0, 0].numpy()
        assert_agrees(recipe, "recipe_check.npz", name, grid)
        return
    entries: dict[str, torch.Tensor] = {
        "gen": {**bundle.generator.state_dict(), "latent_avg": bundle.w_avg},
        "seg": bundle.segmenter.state_dict(),
        "vgg": bundle.vgg.state_dict(),
        "lpips": bundle.perceptual.heads.state_dict(),
        "pca": {
            "X_mean": bundle.pca.mean,
            "X_comp": bundle.pca.components,
            "X_stdev": bundle.pca.stdev,
        },
    }[net]
    assert_agrees(recipe, "recipe_check.npz", name, entries[key].flatten()[:8])
