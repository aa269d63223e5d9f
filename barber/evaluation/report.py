"""The report of a run: what went worst first, then every number with what it is of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from barber.evaluation import published
from barber.evaluation.cases import Experiment, Stratum
from barber.evaluation.intervals import Estimate
from barber.evaluation.methods import FULL, Method, reconstructions
from barber.evaluation.notes import notes
from barber.evaluation.outcome import Report
from barber.evaluation.page import Block, Figure, Grid, Heading, Points, Text, html, markdown
from barber.evaluation.plots import dots
from barber.evaluation.summary import Metric, difference, mean, metrics, values, worst_first
from barber.results import write_whole

NOTHING = "–"
PLOTTED = ("psnr", "ssim", "hair_iou", "psnr_outside")
TOLD = ("psnr", "ssim", "hair_iou", "psnr_outside")  # in sentences
LIKENESS = ("rmse", "psnr", "ssim", "vgg", "lpips")  # of one picture to another
FIGURES = "figures"  # folder of pictures beside the page


def write_report(folder: Path, report: Report) -> list[Path]:
    """Writes the page in both forms, its drawings and the numbers; the pages come last.

    Args:
        folder: Made when missing; the sheets of cases lie in its `figures` already.
        report: What to tell.
    """
    plots = _plots(report)
    blocks = _blocks(report, tuple(plots))
    title = _title(report)
    files = {folder / FIGURES / f"{name}.svg": drawing.encode() for name, drawing in plots.items()}
    files[folder / "measurements.json"] = _numbers(report)
    files[folder / "report.md"] = markdown(blocks).encode()
    files[folder / "report.html"] = html(title, blocks).encode()
    write_whole(files)
    return [folder / "report.html", folder / "report.md"]


def _title(report: Report) -> str:
    return f"Evaluation of {report.facts.bundle}"


def _numbers(report: Report) -> bytes:
    facts = report.facts
    data = {
        "bundle": {"name": facts.bundle, "digest": facts.digest},
        "preset": facts.preset,
        "settings": list(facts.settings),
        "seed": facts.seed,
        "noise": facts.noise,
        "software": facts.software,
        "source": report.material.source,
        "methods": {name: p.to_json() for name, p in report.chosen.params.items()},
        "same": report.chosen.same,
        "failures": dict(report.finished.failures),
        "frechet": {
            "name": report.titles.frechet,
            **{f"{at}/{method}": found for (at, method), found in report.measured.frechet.items()},
        },
        "cases": {
            case.name: {
                "identity": report.material.names[case.identity],
                "hair": report.material.names[case.hair],
                "colour": report.material.names[case.colour],
            }
            for case in report.material.cases
        },
        "measured": [row.to_json(_own_names(report)) for row in report.measured.rows],
    }
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _plots(report: Report) -> dict[str, str]:
    found = {}
    for metric in report.metrics:
        shown = {
            method.name: {
                stratum: list(report.values(method.name, metric, stratum).values())
                for stratum in report.strata
            }
            for method in report.chosen.methods
        }
        if metric.name in PLOTTED and any(v for s in shown.values() for v in s.values()):
            stamp = report.facts.stamp(f"n = {report.cases()} cases")
            found[metric.name.replace("_", "-")] = dots(metric, shown, stamp=stamp)
    return found


def _blocks(report: Report, plots: Sequence[str]) -> list[Block]:
    return [
        Heading(_title(report), 1),
        Text(_opening(report)),
        *_failures(report),
        *_pictures(report, "worst", "The worst cases"),
        *_transfer(report),
        *_plot_blocks(report, plots),
        *_pictures(report, "middle", "The median cases"),
        *_pictures(report, "best", "The best cases"),
        *_reconstruction(report),
        *_published(),
        *notes(report),
    ]


def _opening(report: Report) -> str:
    finished, cases = report.finished, len(report.material.cases)
    people = len({key for case in report.material.cases for key in case.portraits})
    by_stratum = ", ".join(f"{report.cases(s)} in which {s}" for s in report.strata)
    shared = finished.reused.get("reconstruct", 0)
    return (
        f"{cases} cases ({by_stratum}) of {people} portraits: {report.material.source}. "
        f"All jobs went through the queue as batch {finished.batch_id}; "
        f"{finished.ran.get('reconstruct', 0)} reconstructions were made and {shared} times one "
        f"was shared. {report.facts.stamp(f'n = {cases}')}; noise {report.facts.noise}; "
        f"{report.facts.software}."
    )


def _failures(report: Report) -> list[Block]:
    failed = report.finished.failures
    if not failed:
        return []
    points = tuple(f"{name}: {reason}" for name, reason in failed.items())
    return [
        Heading(f"{len(failed)} jobs did not finish"),
        Text("They are in no mean below, which flatters the methods that they belong to."),
        Points(points),
    ]


def _pictures(report: Report, sheet: str, title: str) -> list[Block]:
    shown = report.sheets.get(sheet, 0)
    if not shown:
        return []
    _, by = worst_first(report.measured.rows)
    metric = next(m for m in report.metrics if m.name == by)
    stamp = report.facts.stamp(f"{shown} of n = {report.cases()} cases by {metric.title} of full")
    alt = f"{title} by {metric.title} of the full method, beside every other method"
    return [Heading(title), Figure(file=f"{FIGURES}/{sheet}.jpg", alt=alt, stamp=stamp)]


def _told(metric: Metric, found: Estimate | None) -> str:
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return metric.told(found.mean)
    return f"{metric.told(found.mean)} [{metric.told(found.low)}, {metric.told(found.high)}]"


def _transfer(report: Report) -> list[Block]:
    known = report.material.drawn is not None
    what = (
        "Composites against the true ones, which the renderer draws."
        if known
        else "There is no true composite of photographs, so no likeness to it. Hair IoU is against "
        "the reference's hair, PSNR outside against the identity where neither's hair is."
    )
    blocks: list[Block] = [Heading("Composites"), Text(what)]
    blocks.append(Points(_findings(report)))
    shown: list[Stratum | None] = [None, *report.strata] if len(report.strata) > 1 else [None]
    for stratum in shown:
        blocks.append(Heading("All cases" if stratum is None else str(stratum).capitalize(), 3))
        blocks.append(_means(report, stratum))
    blocks += [
        Heading("Each method against the full one", 3),
        Text(
            "Method minus full on the same cases, with its interval; then in how many cases the "
            "method is ahead. Where the interval leaves out zero it says which way."
        ),
        *(_differences(report, stratum) for stratum in shown),
    ]
    return blocks


def _means(report: Report, stratum: Stratum | None) -> Grid:
    rows = []
    for method in report.chosen.methods:
        cells = [_told(m, mean(report.values(method.name, m, stratum))) for m in report.metrics]
        if stratum is None:
            cells.append(_frechet(report, Experiment.TRANSFER, method.name))
        rows.append((method.name, *cells))
    head = ["method", *(metric.heading for metric in report.metrics)]
    if stratum is None:
        head.append(f"{report.titles.frechet} ↓")
    n = f"n = {report.cases(stratum)} cases{f' ({stratum})' if stratum else ''}"
    return Grid(head=tuple(head), rows=tuple(rows), stamp=report.facts.stamp(n))


def _own_names(report: Report) -> dict[str, str]:
    """What the distances are called among the numbers: LPIPS only where it is LPIPS."""
    titles = {"vgg": report.titles.vgg, "lpips": report.titles.lpips}
    return {name: title.lower().replace(" ", "_") for name, title in titles.items()}


def _frechet(report: Report, experiment: Experiment, method: str) -> str:
    found = report.measured.frechet.get((experiment, method))
    return NOTHING if found is None else f"{found:.4g}"


def _others(report: Report) -> list[Method]:
    return [method for method in report.chosen.methods if method.name != FULL]


def _differences(report: Report, stratum: Stratum | None) -> Grid:
    rows = []
    for method in _others(report):
        cells = []
        for metric in report.metrics:
            full = report.values(FULL, metric, stratum)
            found = difference(report.values(method.name, metric, stratum), full, metric)
            if found is None:
                cells.append(NOTHING)
                continue
            word = found.verdict(metric)
            told = f"{_told(metric, found.estimate)} ({found.wins} of {found.estimate.n})"
            cells.append(f"{told} {word}".rstrip())
        rows.append((method.name, *cells))
    n = f"n = {report.cases(stratum)} cases ({stratum or 'all'})"
    head = ("method − full", *(metric.heading for metric in report.metrics))
    return Grid(head=head, rows=tuple(rows), stamp=report.facts.stamp(n))


def _findings(report: Report) -> tuple[str, ...]:
    """What the numbers say against the method first, then for it."""
    against, in_favour = [], []
    for stratum in report.strata:
        for method in _others(report):
            ahead, behind = _sure(report, method, stratum)
            where = f"where {stratum} (n = {report.cases(stratum)})"
            if ahead:
                against.append(f"{method.name} is ahead of full {where}: {', '.join(ahead)}.")
            if behind:
                in_favour.append(f"full is ahead of {method.name} {where}: {', '.join(behind)}.")
    return (*against, *in_favour) or (
        "No difference in PSNR, SSIM, hair IoU or PSNR outside is sure in a stratum at this n.",
    )


def _sure(report: Report, method: Method, stratum: Stratum) -> tuple[list[str], list[str]]:
    """By how much a method is ahead of the full one, and behind it, where that is sure."""
    ahead: list[str] = []
    behind: list[str] = []
    for metric in report.metrics:
        full = report.values(FULL, metric, stratum)
        found = difference(report.values(method.name, metric, stratum), full, metric)
        word = "" if found is None else found.verdict(metric)
        if found is None or metric.name not in TOLD or not word:
            continue
        by = metric.told(abs(found.estimate.mean)) + (f" {metric.unit}" * bool(metric.unit))
        (ahead if word == "better" else behind).append(f"{metric.title} by {by}")
    return ahead, behind


def _plot_blocks(report: Report, plots: Sequence[str]) -> list[Block]:
    stamp = report.facts.stamp(f"n = {report.cases()} cases")
    by_file = {metric.name.replace("_", "-"): metric.title for metric in report.metrics}
    return [
        Figure(file=f"{FIGURES}/{name}.svg", alt=f"{by_file[name]} of every method", stamp=stamp)
        for name in plots
    ]


def _reconstruction(report: Report) -> list[Block]:
    shown = [m for m in metrics(report.titles.vgg, report.titles.lpips) if m.name in LIKENESS]
    rows = []
    for method in reconstructions(report.chosen):
        found = [
            values(report.measured.rows, Experiment.RECONSTRUCTION, method, m.name) for m in shown
        ]
        cells = [_told(m, mean(v)) for m, v in zip(shown, found, strict=True)]
        rows.append((method, *cells, _frechet(report, Experiment.RECONSTRUCTION, method)))
    count = len({r.case for r in report.measured.rows if r.experiment is Experiment.RECONSTRUCTION})
    head = ("code of", *(m.heading for m in shown), f"{report.titles.frechet} ↓")
    stamp = report.facts.stamp(f"n = {count} portraits")
    return [
        Heading("Reconstruction"),
        Text("Each portrait against its own code, rendered; methods with equal codes share a row."),
        Grid(head=head, rows=tuple(rows), stamp=stamp),
    ]


def _published() -> list[Block]:
    return [
        Heading("Published, on other data"),
        Text(published.CAVEAT),
        Grid(
            head=("published method", *published.COLUMNS),
            rows=published.ROWS,
            stamp=f"published, not measured here, on other data: {published.SOURCE}",
        ),
        Text(published.STUDY),
    ]
