"""The end of a report: what the methods are and how everything was measured."""

from __future__ import annotations

from barber.evaluation.cases import LEAST_HAIR
from barber.evaluation.features import FRECHET_LEAST
from barber.evaluation.intervals import LEAST, LEVEL, RESAMPLES
from barber.evaluation.measure import RIM_SHARE
from barber.evaluation.methods import Method
from barber.evaluation.metrics import PSNR_CAP_DB
from barber.evaluation.outcome import Report
from barber.evaluation.page import Block, Heading, Points


def notes(report: Report) -> list[Block]:
    """The last two chapters."""
    methods = [f"{method.name}: {method.title}{_by(method)}." for method in report.chosen.methods]
    methods += [
        f"{name} asks for what {twin} does with this preset, so it has no row of its own."
        for name, twin in report.chosen.same.items()
    ]
    return [
        Heading("The methods"),
        Points(tuple(methods)),
        Heading("How it was measured"),
        Points((*_how(report), *report.titles.notes)),
    ]


def _by(method: Method) -> str:
    return f" ({', '.join(method.settings)})" if method.settings else ""


def _how(report: Report) -> tuple[str, ...]:
    return (
        "RMSE is on a scale of 0 to 1. SSIM is scikit-image's, with the authors' Gaussian window.",
        f"PSNR of one picture counts as at most {PSNR_CAP_DB:.0f} dB: equal pictures have an "
        "infinite one. Means are over pictures.",
        f"Intervals: {LEVEL:.0%} by {RESAMPLES} bootstrap resamples (scipy, percentile). Cases "
        "share portraits and are taken as independent, so the intervals are somewhat narrow. Below "
        f"{LEAST} cases there is none, and no verdict.",
        *(_drawn() if report.material.drawn is not None else _photographs()),
        _hair(report),
        *_frechet(report),
    )


def _drawn() -> tuple[str, ...]:
    return (
        "The truth is the renderer's picture of the identity with the reference's hair where it "
        "is in the reference's picture, and the colour reference's hair colour. Inside is where "
        "it differs from the identity's portrait; outside it is that portrait.",
        f"References have hair on at least {LEAST_HAIR:.0%} of their portrait. The strata compare "
        "the hair's area in the reference's portrait with that in the identity's.",
    )


def _photographs() -> tuple[str, ...]:
    return (
        f"Outside is farther than {RIM_SHARE:.3f} of the side from the identity's and the "
        "reference's hair, by the bundle's parser. The strata compare their areas.",
    )


def _hair(report: Report) -> str:
    known = report.material.drawn is not None
    against = "the truth's exact labels." if known else "what it sees in the reference."
    told = (
        "Hair IoU: the hair that the bundle's own parser sees in the composite, against " + against
    )
    if report.measured.ceiling is None:
        return told
    return (
        f"{told} The parser is not perfect: the true composites themselves come to "
        f"{report.measured.ceiling:.3f} (n = {len(report.material.cases)})."
    )


def _frechet(report: Report) -> tuple[str, ...]:
    title = report.titles.frechet
    reference = "the true composites" if report.material.drawn is not None else "the portraits"
    told = (
        f"{title} of composites is against {reference}, of reconstructions against the portraits. "
        "It has no interval: resampling a set biases it."
    )
    if all(found is not None for found in report.measured.frechet.values()):
        return (told,)
    return (
        told,
        f"{title} is not told below {FRECHET_LEAST} pictures in each set, where it is mostly "
        "noise: run more pairs and images.",
    )
