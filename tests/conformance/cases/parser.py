"""The face parser on a photograph-like picture at 1024."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from barber.geometry import Geometry
from barber.losses.segmentation import cross_entropy
from barber.models.segmenter import Segmenter
from barber.resample import photograph_to_parser
from tests.conformance.bench import Bench, mean_std
from tests.conformance.compare import Held, Value
from tests.conformance.recipe import enlarge, float32

PICTURE, SIZE = "a", 1024
PARSER_OF = 256  # the bundle whose parser is asked: it is the same at every size
STEP = 16
CLEAR = "clear"  # stored: where the best two logits are apart, so that labels must agree


def results(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Input, logits, labels, and the gradient of a cross entropy."""
    parser, geometry = bench.bundle(PARSER_OF).segmenter, Geometry.official(SIZE)
    unit = float32(bench.recipe.picture(PICTURE, SIZE) / 255.0).permute(2, 0, 1)[None]
    x = photograph_to_parser(unit.to(bench.device), geometry).requires_grad_()
    yield {"input_slice": x[0, :, ::STEP, ::STEP]}

    logits = parser(x)
    cells = enlarge(bench.label_cells()[0].cpu().numpy(), geometry.label_size)
    loss = cross_entropy(logits, torch.from_numpy(cells)[None].to(bench.device))
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    clear = bench.recipe.array(file, CLEAR).astype(bool)
    labels = Segmenter.label_map(logits)[0]
    yield {
        "logits_slice": logits[0, :, ::STEP, ::STEP],
        "logits_meanstd": mean_std(logits),
        "labels": Held(values=labels, exact_where=clear, where="where clear"),
        "cross_entropy": loss,
        "grad_input_slice": gradient[0, :, ::STEP, ::STEP],
        "grad_input_meanstd": mean_std(gradient),
    }
