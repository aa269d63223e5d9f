"""The options of pre-flight, its progress bar, and how its findings are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from barber.preflight.findings import FINAL_CHECKS, Check, Finding, Verdict, read_allowed
from barber.table import PlannedRow
from barber.table_checks import OnProgress, noteworthy, summary

Verb = Callable[..., Any]
LINES_NAMED = 3  # of the rows that share a warning
ALLOWED_WORDS = ", ".join(check for check in Check if check not in FINAL_CHECKS)


def preflight_options(verb: Verb) -> Verb:
    """`--allow CHECK` as `allow` (a set of checks) and `--no-parse` as `parse`."""
    allow = click.option(
        "--allow",
        multiple=True,
        metavar="CHECK",
        callback=lambda _context, _option, words: read_allowed(words),
        help=f"Take what this check refuses, with a warning: {ALLOWED_WORDS}; repeatable.",
    )
    parse = click.option(
        "--parse/--no-parse",
        default=True,
        help="Without the face parser: quicker, and faces, pose and regions are not checked.",
    )
    return allow(parse(verb))


@contextmanager
def measuring(*, quiet: bool = False) -> Iterator[OnProgress]:
    """A progress bar on standard error while portraits are measured; none where nobody watches."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("checking portraits"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def warning_lines(rows: Iterable[PlannedRow], *, most: int | None = None) -> list[str]:
    """The warnings of a table, each once with the lines it stands for, then the counts.

    Args:
        rows: Accepted rows.
        most: So many warnings are written out; all when None.
    """
    rows = list(rows)
    where: dict[str, list[int]] = {}
    for row in rows:
        for finding in worth_telling(row.findings):
            where.setdefault(finding_line(finding), []).append(row.line)
    told = list(where.items())[:most]
    lines = [f"{text} ({_lines(numbers)})" for text, numbers in told]
    if len(told) < len(where):
        lines.append(f"and {len(where) - len(told)} more: see them all with `barber check`")
    counts = summary(rows)
    return [*lines, counts] if counts else lines


def worth_telling(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What did not pass; what --no-parse leaves out is no news to whoever asked for that."""
    return tuple(
        finding
        for finding in noteworthy(findings)
        if finding.portrait or finding.verdict is not Verdict.NOT_CHECKED
    )


def finding_line(finding: Finding) -> str:
    """One finding for a terminal: verdict, check, sentence."""
    if finding.verdict is Verdict.NOT_CHECKED:
        return finding.sentence
    word = "warning" if finding.verdict is Verdict.WARN else str(finding.verdict)
    allowed = " (allowed)" if finding.allowed else ""
    return f"{word} {finding.check}{allowed}: {finding.sentence}"


def number_line(finding: Finding) -> str:
    """One finding with its number and threshold."""
    if finding.number is None:
        measured = ""
    elif finding.threshold is None:
        measured = f" {finding.number:.4g} {finding.unit}"
    else:
        measured = f" {finding.number:.4g}, limit {finding.threshold:.4g} {finding.unit}"
    who = f" {finding.portrait}" if finding.portrait else ""
    region = f" [{finding.region}]" if finding.region else ""
    return f"{finding.verdict:<12}{finding.check}{region}{who}{measured}"


def _lines(numbers: list[int]) -> str:
    named = ", ".join(str(number) for number in numbers[:LINES_NAMED])
    rest = len(numbers) - LINES_NAMED
    word = "line" if len(numbers) == 1 else "lines"
    return f"{word} {named} and {rest:,} more" if rest > 0 else f"{word} {named}"
