"""Measurements as means, paired differences and an order of the cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from barber.evaluation.cases import Experiment, Stratum
from barber.evaluation.intervals import Estimate, estimate
from barber.evaluation.measure import Measured
from barber.evaluation.methods import FULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One column of a table."""

    name: str  # in `Measured.values`
    title: str
    higher_is_better: bool
    digits: int
    unit: str = ""

    def told(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    @property
    def heading(self) -> str:
        arrow = "↑" if self.higher_is_better else "↓"
        return f"{self.title}{f', {self.unit}' if self.unit else ''} {arrow}"


def metrics(vgg: str, lpips: str) -> tuple[Metric, ...]:
    """Every metric; what those of networks are called depends on the networks."""
    return (
        Metric(name="rmse", title="RMSE", higher_is_better=False, digits=4),
        Metric(name="psnr", title="PSNR", higher_is_better=True, digits=2, unit="dB"),
        Metric(name="ssim", title="SSIM", higher_is_better=True, digits=3),
        Metric(name="vgg", title=vgg, higher_is_better=False, digits=3),
        Metric(name="lpips", title=lpips, higher_is_better=False, digits=3),
        Metric(name="hair_iou", title="hair IoU", higher_is_better=True, digits=3),
        Metric(name="psnr_inside", title="PSNR inside", higher_is_better=True, digits=2, unit="dB"),
        Metric(
            name="psnr_outside", title="PSNR outside", higher_is_better=True, digits=2, unit="dB"
        ),
    )


def values(
    rows: Iterable[Measured],
    experiment: Experiment,
    method: str,
    metric: str,
    stratum: Stratum | None = None,
) -> dict[str, float]:
    """One metric of one method, by case; of one stratum where it is named."""
    return {
        row.case: row.values[metric]
        for row in rows
        if row.experiment is experiment
        and row.method == method
        and metric in row.values
        and (stratum is None or row.stratum is stratum)
    }


def mean(found: dict[str, float]) -> Estimate | None:
    """Their mean; None of nothing."""
    return estimate(list(found.values())) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A method against the full one on the same cases."""

    estimate: Estimate  # of method minus full
    wins: int  # cases in which the method is better than full

    def verdict(self, metric: Metric) -> str:
        """Which of the two is ahead, in a word; empty where the interval holds zero."""
        if not self.estimate.is_sure:
            return ""
        return "better" if (self.estimate.mean > 0) is metric.higher_is_better else "worse"


def difference(ours: dict[str, float], full: dict[str, float], metric: Metric) -> Difference | None:
    """Paired over the cases that both finished; None when there are none."""
    both = [case for case in ours if case in full]
    if not both:
        return None
    apart = [ours[case] - full[case] for case in both]
    sign = 1 if metric.higher_is_better else -1
    wins = sum(sign * delta > 0 for delta in apart)
    return Difference(estimate=estimate(apart), wins=wins)


def worst_first(rows: Sequence[Measured]) -> tuple[list[str], str]:
    """The cases that the full method finished, worst first, and the metric that says so.

    PSNR to the true composite where there is one, else how well the hair lies where it should.
    """
    for name in ("psnr", "hair_iou"):
        found = values(rows, Experiment.TRANSFER, FULL, name)
        if found:
            return sorted(found, key=lambda case: (found[case], case)), name
    return [], "psnr"
