"""The portrait cut out of a photograph around given landmarks (method 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from barber.photographs.crop import align_face
from tests.conformance.bench import Bench
from tests.conformance.compare import Value

STEP = 8


def aligned(bench: Bench, file: str, names: Sequence[str]) -> Iterator[dict[str, Value]]:
    """Every photograph that the names tell, cut and described."""
    for case in dict.fromkeys(name.rpartition("_")[0] for name in names):
        bench.tell(f"cutting the face out of {case}")
        photo = _photograph(bench, file, case)
        found = align_face(photo, bench.recipe.array(file, f"{case}_landmarks")).pixels
        yield {
            f"{case}_slice": found[::STEP, ::STEP],
            f"{case}_meanstd": np.array([found.mean(), found.std(ddof=1)]),
        }


def _photograph(bench: Bench, file: str, case: str) -> NDArray[np.uint8]:
    """A picture of the recipe stretched over the photograph, uint8 [H, W, 3]."""
    width, height = (int(side) for side in bench.recipe.array(file, f"{case}_size"))
    grid = bench.recipe.picture(f"face_{case}")
    rows, columns = (np.arange(n) * len(grid) // n for n in (height, width))
    photo: NDArray[np.uint8] = grid[rows[:, None], columns]
    return photo
