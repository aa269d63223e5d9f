"""Pictures of cases: what went in, what is true, what every method made of it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from barber.evaluation.cases import Experiment
from barber.evaluation.measure import Measured, Shown, Studio
from barber.evaluation.methods import FULL
from barber.evaluation.summary import values, worst_first
from barber.pixels import Pixels
from barber.standalone.sheet import SheetRow, draw_sheet

TILE = 112  # side of a picture on a sheet
QUALITY = 82  # of the JPEG
WORST, MIDDLE, BEST = "worst", "middle", "best"
SHOWN = {WORST: 4, MIDDLE: 2, BEST: 2}  # cases on each sheet


def chosen_cases(ordered: Sequence[str]) -> dict[str, list[str]]:
    """Which cases stand on which sheet; with few cases the worst are shown before others.

    Args:
        ordered: All cases, worst first.
    """
    worst = list(ordered[: SHOWN[WORST]])
    rest = list(ordered[SHOWN[WORST] :])
    best = rest[max(0, len(rest) - SHOWN[BEST]) :]
    between = rest[: len(rest) - len(best)]
    half = max(0, len(ordered) // 2 - SHOWN[WORST] - SHOWN[MIDDLE] // 2)
    middle = between[half : half + SHOWN[MIDDLE]] or between[: SHOWN[MIDDLE]]
    return {WORST: worst, MIDDLE: middle, BEST: best[::-1]}


def draw_sheets(
    studio: Studio, rows: Sequence[Measured], stamp: str
) -> dict[str, tuple[bytes, int]]:
    """The sheets as JPEG, each with how many cases are on it; those without any are left out.

    Args:
        studio: The run.
        rows: Its measurements.
        stamp: What the figures depend on; stands on every sheet.
    """
    ordered, metric = worst_first(rows)
    cases = {case.name: case for case in studio.material.cases}
    drawn = {}
    for sheet, names in chosen_cases(ordered).items():
        if names:
            shown = [studio.show(cases[name]) for name in names]
            lines = [_row(studio, each, rows, metric) for each in shown]
            picture = draw_sheet(f"{sheet} by {metric} of full: {stamp}", lines, tile=TILE)
            drawn[sheet] = (_jpeg(picture), len(names))
    return drawn


def _row(studio: Studio, shown: Shown, rows: Sequence[Measured], metric: str) -> SheetRow:
    case = shown.case
    keys = {"identity": case.identity, "hair": case.hair, "colour": case.colour}
    inputs = [
        (f"{what}: {studio.material.names[keys[what]]}"[:22], picture)
        for what, picture in shown.inputs.items()
    ]
    found = {
        name: values(rows, Experiment.TRANSFER, name, metric).get(case.name)
        for name in shown.results
    }
    results = [] if shown.truth is None else [("truth", shown.truth)]
    results += [
        (f"{name} {_short(found[name])}".strip(), picture)
        for name, picture in shown.results.items()
    ]
    mine = (r for r in rows if r.experiment is Experiment.TRANSFER and r.case == case.name)
    own = next((r for r in mine if r.method == FULL), None)
    return SheetRow(
        title=f"{case.name}{'' if own is None or own.stratum is None else f', {own.stratum}'}",
        inputs=inputs,
        results=results,
        figures=[] if own is None else _figures(own.values),
    )


def _short(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value > 1 else f"{value:.2f}"


def _figures(found: Mapping[str, float]) -> list[str]:
    """The full method's numbers, a line each."""
    words = {"psnr": "PSNR", "psnr_inside": "inside", "psnr_outside": "outside"}
    lines = [f"{word} {found[name]:.1f} dB" for name, word in words.items() if name in found]
    words = {"ssim": "SSIM", "hair_iou": "hair IoU"}
    return lines + [f"{word} {found[name]:.2f}" for name, word in words.items() if name in found]


def _jpeg(picture: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.asarray(picture)).save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
