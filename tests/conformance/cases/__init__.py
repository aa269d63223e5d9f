"""Which case computes which array: the one registry behind `make conformance` and pytest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.conformance.bench import Bench
from tests.conformance.cases import (
    generator,
    losses,
    masks,
    parser,
    photograph,
    recipe_check,
    trajectory,
)
from tests.conformance.compare import Value

Found = Mapping[str, Value]
Compute = Callable[[Bench, str, Sequence[str]], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Case:
    """A computation that gives some arrays of some files.

    `compute` takes the bench, the file and the names wanted of it, and yields results as they come;
    what it yields beyond the names wanted is not looked at.
    """

    files: str  # regular expressions, of the whole name
    arrays: str
    compute: Compute

    def gives(self, file: str, name: str) -> bool:
        return bool(re.fullmatch(self.files, file) and re.fullmatch(self.arrays, name))


# The first that gives an array computes it; files are run in this order, the quick ones first.
CASES = (
    Case(r"recipe_check\.npz", r".+", recipe_check.first_values),
    Case(r"masks\.npz", r"(dilate|erode)_\d+", masks.morphology),
    Case(r"masks\.npz", r"mix_.+_smooth\d+", masks.mixes),
    Case(r"masks\.npz", r".+", masks.targets),
    Case(r"face_alignment\.npz", r".+_(slice|meanstd)", photograph.aligned),
    Case(r"losses\.npz", r"bicubic_f\d+", losses.bicubic),
    Case(r"losses\.npz", r"p_norm.*", losses.p_norm),
    Case(r"losses\.npz", r"l_F|ce.*", losses.on_tensors),
    Case(r"losses\.npz", r".+", losses.on_pictures),
    Case(r"segmenter\.npz", r".+", parser.results),
    Case(r"generator_\d+\.npz", r"mapping", generator.mapping),
    Case(r"generator_\d+\.npz", r".+", generator.results),
    Case(r"trajectory_\d+\.npz", r".+", trajectory.results),
)


def run_order(files: Iterable[str]) -> list[str]:
    """Files in the order of their cases, smaller sizes first; those without a case last."""

    def place(file: str) -> tuple[int, int, str]:
        first = next((k for k, c in enumerate(CASES) if re.fullmatch(c.files, file)), len(CASES))
        return first, int((re.findall(r"\d+", file) or ["0"])[-1]), file

    return sorted(files, key=place)


def cases_of(file: str, names: Sequence[str]) -> list[tuple[Case, list[str]]]:
    """The cases that give arrays of a file, each with its names; those no case gives stay out."""
    by_case: dict[Case, list[str]] = {}
    for name in names:
        case = next((case for case in CASES if case.gives(file, name)), None)
        if case is not None:
            by_case.setdefault(case, []).append(name)
    return list(by_case.items())


def computed(bench: Bench, file: str, names: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """Computes arrays of a file and gives each as it comes; those no case computes stay out."""
    for case, wanted in cases_of(file, names):
        yield from _until_all(case.compute(bench, file, wanted), wanted)


def _until_all(results: Iterable[Found], wanted: Sequence[str]) -> Iterator[tuple[str, Value]]:
    """The wanted results; once the last has come, nothing more is computed."""
    missing = set(wanted)
    for found in results:
        for name in found:
            if name in missing:
                missing.discard(name)
                yield name, found[name]
        if not missing:
            return
