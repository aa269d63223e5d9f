"""Means with confidence intervals, by the bootstrap of SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, bootstrap

RESAMPLES = 2000
LEVEL = 0.95
SEED = 0  # of the resampling: the same values have the same interval
LEAST = 10  # values below which such an interval is too narrow to be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean, and where it may lie."""

    mean: float
    low: float | None  # both None when there are too few values
    high: float | None
    n: int

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and self.low * self.high > 0


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of finite values with its percentile bootstrap interval of 95 %.

    Args:
        values: At least one; taken as independent.
    """
    found = np.asarray(values, dtype=np.float64)
    mean = float(found.mean())
    if len(found) < LEAST or np.ptp(found) == 0:
        exact = None if len(found) < LEAST else mean
        return Estimate(mean=mean, low=exact, high=exact, n=len(found))
    interval = bootstrap(
        (found,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(mean=mean, low=float(interval.low), high=float(interval.high), n=len(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How often one of two was chosen, and how sure that is."""

    share: float
    low: float  # Clopper-Pearson, exact
    high: float
    p_value: float  # two-sided, of both being chosen equally often


def share_of(chosen: int, total: int) -> Share | None:
    """The share with its exact binomial interval of 95 %; None without a trial.

    Args:
        chosen: How often it was chosen.
        total: Of how many choices, taken as independent.
    """
    if not total:
        return None
    test = binomtest(chosen, total, 0.5)
    interval = test.proportion_ci(confidence_level=LEVEL, method="exact")
    return Share(
        share=chosen / total,
        low=float(interval.low),
        high=float(interval.high),
        p_value=float(test.pvalue),
    )
