"""The recipe itself: if this fails, no other comparison means anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from tests.conformance.bench import Bench
from tests.conformance.compare import Value

FIRST = 8  # values are stored of each tensor
SIZE = 256  # of the generator whose tensors are looked at


def first_values(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """The start of the filled tensors, and pictures on their grid."""
    for name in names:
        net, _, key = name.partition("/")
        if net == "picture":
            yield {name: bench.recipe.picture(key)}
        elif net == "ellipse":
            yield {name: bench.recipe.ellipse(key)[0, 0]}
        elif (tensor := _tensors(bench, net).get(key)) is not None:
            yield {name: tensor.flatten()[:FIRST]}


def _tensors(bench: Bench, net: str) -> Mapping[str, Tensor]:
    bundle = bench.bundle(SIZE)
    match net:
        case "gen":
            return {**bundle.generator.state_dict(), "latent_avg": bundle.w_avg}
        case "seg":
            return bundle.segmenter.state_dict()
        case "vgg":
            return bundle.vgg.state_dict()
        case "lpips":
            return bundle.perceptual.heads.state_dict()
        case "pca":
            pca = bundle.pca
            return {"X_mean": pca.mean, "X_comp": pca.components, "X_stdev": pca.stdev}
    return {}
