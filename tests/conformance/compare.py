"""The metrics by which a result is compared with a stored reference (vectors/README.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tests.conformance.recipe import Recipe


def compared(recipe: Recipe, file: str) -> list[str]:
    """Names of a file's arrays that are results, not inputs."""
    arrays = recipe.manifest["files"][file]["arrays"]
    return [name for name, entry in arrays.items() if entry["compare"]["metric"] != "input"]


def measure(metric: str, mine: NDArray[Any], reference: NDArray[Any], atol: float = 0.0) -> float:
    """The deviation by a metric; nan counts as infinitely far."""
    if metric in ("mismatch", "exact"):
        return float((mine != reference).mean())
    a, b = mine.astype(np.float64), reference.astype(np.float64)
    d = np.nan_to_num(np.abs(a - b), nan=np.inf)
    if metric == "max_rel":
        return float(d.max() / np.abs(b).max())
    if metric == "rms_rel":
        return float(np.sqrt((d**2).mean()) / np.sqrt((b**2).mean()))
    if metric == "outliers":
        return float((d > atol).mean())
    if metric == "bytes":
        return float((d > 0).mean()) if d.max() <= atol else np.inf
    raise ValueError(metric)


def assert_agrees(
    recipe: Recipe, file: str, name: str, mine: Tensor | NDArray[Any] | float
) -> None:
    """Fails, with the measured deviation, when a result misses the manifest's limit."""
    entry = recipe.manifest["files"][file]["arrays"][name]
    rule, reference = entry["compare"], recipe.array(file, name)
    values = mine.detach().numpy() if isinstance(mine, Tensor) else np.asarray(mine)
    values = values.reshape(reference.shape)
    deviation = measure(rule["metric"], values, reference, rule.get("atol", 0.0))
    limit = rule.get("limit", 0.0)
    assert deviation <= limit, (
        f"{file}:{name} ({entry['meaning']}): {rule['metric']} is {deviation:.3g}, limit {limit:g}"
    )
    if "first_limit" in rule:
        first = measure("max_rel", values[:1], reference[:1])
        assert first <= rule["first_limit"], (
            f"{file}:{name}: first step deviates by {first:.3g}, limit {rule['first_limit']:g}"
        )


def mean_std(x: Tensor) -> Tensor:
    """Mean and unbiased standard deviation of all entries."""
    wide = x.detach().double()
    return wide.new_tensor([float(wide.mean()), float(wide.std())])
