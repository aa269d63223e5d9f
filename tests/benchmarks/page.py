"""docs/benchmarks.md, section by section, and the figures that the simulation reads.

A section stands between two marks, so that one measurement is renewed without the others. Its
figures go to a JSON file beside the code, from which `docs/scaling.md` is computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import machine

FIGURES = Path(__file__).with_name("figures.json")
TITLE = """# Benchmarks

Each section is measured anew by `make bench NAME=..` and says on what. The machine is shared, so
look at ratios within a section and at CPU time; seconds by the clock are this machine's under its
load at that time. Recovery times after each fault are in docs/failure-matrix.md (`make matrix`).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One measurement."""

    name: str  # as in `make bench NAME=..`
    title: str
    text: str  # Markdown
    figures: Mapping[str, Any]  # JSON data, for the simulation

    def markdown(self) -> str:
        body = f"## {self.title}\n\n*{machine.words()}.*\n\n{self.text.strip()}\n"
        return f"{begin(self.name)}\n{body}{end(self.name)}\n"


def begin(name: str) -> str:
    return f"<!-- {name} -->"


def end(name: str) -> str:
    return f"<!-- /{name} -->"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [" | ".join(head), " | ".join(["---"] + ["---:"] * (len(head) - 1))]
    lines += [" | ".join(map(str, row)) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def put(text: str, section: Section) -> str:
    """The page with this section in its place, or at the end when it is new."""
    if begin(section.name) not in text:
        return f"{text.rstrip()}\n\n{section.markdown()}"
    before, rest = text.split(begin(section.name), 1)
    after = rest.split(end(section.name), 1)[1]
    return before + section.markdown() + after.removeprefix("\n")


def write(path: Path, section: Section) -> None:
    """Renews the section in the page, and its figures."""
    page = path.read_text() if path.exists() else TITLE
    path.write_text(put(page, section))
    FIGURES.write_text(json.dumps(figures() | {section.name: section.figures}, indent=1) + "\n")


def figures() -> dict[str, Any]:
    """The latest figures of each section."""
    known: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return known
