"""The metrics by which a result is compared with a stored reference (vectors/README.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tests.conformance.vectors import Entry, Rule

Array = NDArray[Any]


class Verdict(StrEnum):
    """What became of one array."""

    OK = "ok"
    MISS = "MISS"
    INPUT = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One array's line of the table."""

    file: str
    name: str  # empty: the line is about the file
    verdict: Verdict
    error: str = ""  # what was measured
    tolerance: str = ""
    reason: str = ""  # of a miss that no number tells
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A result that must moreover be equal to the reference wherever a mask says so."""

    values: Tensor | Array
    exact_where: Array  # bool, of the same shape
    where: str  # what the mask means, in words


Value = Tensor | Array | float | Held


def judge(entry: Entry, reference: Array, mine: Value) -> Line:
    """Compares one result with the stored array by the manifest's rule."""
    held, values = (mine, mine.values) if isinstance(mine, Held) else (None, mine)
    found = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    tolerance = describe(entry.rule)
    if trouble := _unusable(entry, reference, found):
        return miss(entry, trouble, tolerance=tolerance)
    errors = _errors(entry.rule, found.reshape(reference.shape), reference)
    if held is not None:
        apart = int(((found.reshape(reference.shape) != reference) & held.exact_where).sum())
        errors.append((f"{apart} {held.where}", apart == 0))
        tolerance = f"{tolerance}, 0 {held.where}"
    return Line(
        file=entry.file,
        name=entry.name,
        verdict=Verdict.OK if all(fine for _, fine in errors) else Verdict.MISS,
        error=", ".join(text for text, _ in errors),
        tolerance=tolerance,
        meaning=entry.meaning,
    )


def miss(entry: Entry, reason: str, *, tolerance: str = "") -> Line:
    """The line of an array that could not be compared."""
    return Line(
        file=entry.file,
        name=entry.name,
        verdict=Verdict.MISS,
        error="not compared",
        tolerance=tolerance,
        reason=reason,
        meaning=entry.meaning,
    )


def describe(rule: Rule) -> str:
    """A rule in words: "max_rel 0.001, first step 0.0001"."""
    text = rule.metric if rule.metric in ("exact", "input") else f"{rule.metric} {rule.limit:g}"
    if rule.metric == "outliers":
        text += f" beyond {rule.atol:g}"
    if rule.metric == "bytes":
        text += f", largest {rule.atol:g}"
    if rule.first_limit is not None:
        text += f", first step {rule.first_limit:g}"
    return text


def _unusable(entry: Entry, reference: Array, found: Array) -> str:
    """Why two arrays cannot be compared at all; empty when they can."""
    if not all(np.issubdtype(a.dtype, np.number) or a.dtype == bool for a in (reference, found)):
        return f"the reference is {reference.dtype.name}, ours {found.dtype.name}: not all numbers"
    if entry.rule.metric not in METRICS:
        return f"the metric {entry.rule.metric!r} is none of {', '.join(METRICS)}"
    stored = (reference.shape, reference.dtype.name)
    if stored != (entry.shape, entry.dtype):
        return (
            f"stored as {reference.dtype.name} {list(reference.shape)}, "
            f"listed as {entry.dtype} {list(entry.shape)}"
        )
    if _trimmed(found.shape) != _trimmed(reference.shape):
        return f"ours has the shape {list(found.shape)}, the reference {list(reference.shape)}"
    if not reference.size:
        return "the reference is empty"
    for whose, array in (("the reference", reference), ("ours", found)):
        if not np.isfinite(array.astype(np.float64)).all():
            return f"{whose} holds a value that is not finite"
    return ""


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(side for side in shape if side != 1)


def _errors(rule: Rule, mine: Array, reference: Array) -> list[tuple[str, bool]]:
    """Each measured error as text, and whether it keeps its limit."""
    errors = METRICS[rule.metric](mine, reference, rule)
    if rule.first_limit is not None:
        first = _max_rel(np.atleast_1d(mine)[:1], np.atleast_1d(reference)[:1])
        errors.append((f"first step {first:.3g}", first <= rule.first_limit))
    return errors


def _distance(mine: Array, reference: Array) -> NDArray[np.float64]:
    distance: NDArray[np.float64] = np.abs(mine.astype(np.float64) - reference.astype(np.float64))
    return distance


def _relative(distance: float, size: float) -> float:
    if size == 0:
        return 0.0 if distance == 0 else np.inf
    return distance / size


def _max_rel(mine: Array, reference: Array) -> float:
    largest = float(np.abs(reference.astype(np.float64)).max())
    return _relative(float(_distance(mine, reference).max()), largest)


def _rms_rel(mine: Array, reference: Array) -> float:
    size = float(np.sqrt(np.square(reference.astype(np.float64)).mean()))
    return _relative(float(np.sqrt(np.square(_distance(mine, reference)).mean())), size)


def _within(error: float, rule: Rule) -> list[tuple[str, bool]]:
    return [(f"{error:.3g}", error <= rule.limit)]


def _exact(mine: Array, reference: Array, rule: Rule) -> list[tuple[str, bool]]:
    differ = float((mine != reference).mean())
    return [("equal", True)] if differ == 0 else [(f"{differ:.3g} differ", False)]


def _bytes(mine: Array, reference: Array, rule: Rule) -> list[tuple[str, bool]]:
    distance = _distance(mine, reference)
    largest = float(distance.max())
    share = float((distance > 0).mean())
    return [*_within(share, rule), (f"largest {largest:g}", largest <= rule.atol)]


METRICS: dict[str, Callable[[Array, Array, Rule], list[tuple[str, bool]]]] = {
    "max_rel": lambda mine, ref, rule: _within(_max_rel(mine, ref), rule),
    "rms_rel": lambda mine, ref, rule: _within(_rms_rel(mine, ref), rule),
    "mismatch": lambda mine, ref, rule: _within(float((mine != ref).mean()), rule),
    "outliers": lambda mine, ref, rule: _within(
        float((_distance(mine, ref) > rule.atol).mean()), rule
    ),
    "bytes": _bytes,
    "exact": _exact,
}
