"""Every array of the vector set, one test each: the cases of `make conformance`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conformance.bench import Bench
from tests.conformance.cases import computed, run_order
from tests.conformance.compare import Value, Verdict, judge
from tests.conformance.conftest import VECTORS
from tests.conformance.vectors import Entry, SetError, VectorSet

# Minutes each, but for a photograph of 23 megapixels whose margin is blurred and the first
# reconstruction of the small trajectory, which `make slow` runs.
SLOW = r"generator_(512|1024)\.npz:.*|trajectory_\d+\.npz:.*|face_alignment\.npz:shrink_.*"


def entries() -> list[Entry]:
    try:
        vectors = VectorSet(VECTORS)
        return [vectors.entry(f, n) for f in run_order(vectors.files) for n in vectors.names(f)]
    except SetError as error:
        raise pytest.UsageError(str(error)) from error


def params() -> Iterator[object]:
    for entry in entries():
        if not entry.is_input:
            name = f"{entry.file}:{entry.name}"
            slow = [pytest.mark.slow] if re.fullmatch(SLOW, name) else []
            yield pytest.param(entry, id=name, marks=slow)


class Results:
    """What a file's cases computed so far; asked for more, they go on."""

    def __init__(self, bench: Bench, file: str) -> None:
        names = [e.name for e in entries() if e.file == file and not e.is_input]
        self.coming = computed(bench, file, names)
        self.found: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        while name not in self.found:
            arrived = next(self.coming, None)
            assert arrived is not None, f"no case computes {name}"
            self.found[arrived[0]] = arrived[1]
        return self.found[name]


@pytest.fixture(scope="session")
def bench() -> Bench:
    return Bench(VECTORS)


@cache
def results(bench: Bench, file: str) -> Results:
    return Results(bench, file)


@pytest.mark.parametrize("entry", list(params()))
def test_our_array_agrees_with_the_reference(bench: Bench, entry: Entry) -> None:
    stored = bench.vectors.array(entry.file, entry.name)
    line = judge(entry, stored, results(bench, entry.file).value(entry.name))

    assert line.verdict is Verdict.OK, f"{line.reason or line.error}, tolerance {line.tolerance}"


@pytest.mark.parametrize("file", sorted(VectorSet(VECTORS).files))
def test_the_vector_files_are_the_ones_in_the_manifest(file: str) -> None:
    facts = VectorSet(VECTORS).files[file]
    data = (VECTORS / file).read_bytes()

    assert len(data) == facts["bytes"]
    assert hashlib.sha256(data).hexdigest() == facts["sha256"]


def test_labels_that_must_agree_are_most_of_them(bench: Bench) -> None:
    assert bench.recipe.array("segmenter.npz", "clear").mean() > 0.5
