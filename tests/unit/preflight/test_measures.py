from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from barber.pixels import Pixels, portrait_key
from barber.preflight.measures import (
    PARSED_AT_ONCE,
    LabelMap,
    MeasureCache,
    Measures,
    Subject,
    measure,
    measure_all,
)
from tests.support.drawn import drawn
from tests.support.tiny_bundle import GEOMETRY


class Parser:
    """Gives each portrait the label map it was drawn with, and counts what it is asked."""

    def __init__(self, count: int) -> None:
        self._maps = {portrait_key(drawn(n).pixels): drawn(n).label_map for n in range(count)}
        self.asked: list[int] = []

    def __call__(self, portraits: Sequence[Pixels]) -> list[LabelMap]:
        self.asked.append(len(portraits))
        return [self._maps[portrait_key(pixels)] for pixels in portraits]


def subject(number: int) -> Subject:
    pixels = drawn(number).pixels
    return Subject(key=portrait_key(pixels), name=f"{number}.png", pixels=lambda: pixels)


def test_measures_go_through_json() -> None:
    person = drawn(0)
    for label_map in (person.label_map, None):
        measures = measure(person.pixels, label_map, GEOMETRY)
        assert Measures.from_json(measures.to_json()) == measures


def test_each_portrait_is_parsed_once_in_batches() -> None:
    count = PARSED_AT_ONCE + 1
    parser, done = Parser(count), []
    subjects = [subject(n) for n in range(count)] * 2
    found = measure_all(
        subjects, GEOMETRY, parse=parser, on_progress=lambda *counts: done.append(counts)
    )
    assert parser.asked == [PARSED_AT_ONCE, 1]
    assert done == [(PARSED_AT_ONCE, count), (count, count)]
    assert set(found) == {s.key for s in subjects}


def test_own_label_map_is_used_and_the_parser_is_not_asked() -> None:
    parser = Parser(1)
    mine = np.zeros((32, 32), np.uint8)
    own = replace(subject(0), label_map=lambda: mine)
    (measures,) = measure_all([own], GEOMETRY, parse=parser).values()
    assert parser.asked == []
    assert measures.face is not None
    assert measures.face.shares == {"background": 1.0}


def test_without_a_parser_there_is_no_face(tmp_path: Path) -> None:
    cache = MeasureCache(tmp_path, "b" * 64)
    (measures,) = measure_all([subject(0)], GEOMETRY, parse=None, cache=cache).values()
    assert measures.face is None
    assert list(tmp_path.iterdir()) == []  # or the next submission would go without it too


def test_measures_are_kept_for_the_next_submission(tmp_path: Path) -> None:
    parser, cache = Parser(2), MeasureCache(tmp_path, "b" * 64)
    first = measure_all([subject(0), subject(1)], GEOMETRY, parse=parser, cache=cache)
    assert measure_all([subject(0), subject(1)], GEOMETRY, parse=None, cache=cache) == first
    assert parser.asked == [2]


def test_another_bundle_has_measures_of_its_own(tmp_path: Path) -> None:
    parser = Parser(1)
    for digest in ("b" * 64, "c" * 64):
        cache = MeasureCache(tmp_path, digest)
        measure_all([subject(0)], GEOMETRY, parse=parser, cache=cache)
    assert parser.asked == [1, 1]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"face": 3}', b"\xff"])
def test_damaged_measures_are_made_anew(tmp_path: Path, damage: bytes) -> None:
    parser, cache = Parser(1), MeasureCache(tmp_path, "b" * 64)
    first = measure_all([subject(0)], GEOMETRY, parse=parser, cache=cache)
    (kept,) = tmp_path.rglob("*.json")
    kept.write_bytes(damage)
    assert measure_all([subject(0)], GEOMETRY, parse=parser, cache=cache) == first
    assert parser.asked == [1, 1]


def test_cache_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = MeasureCache(tmp_path / "file", "b" * 64)
    assert measure_all([subject(0)], GEOMETRY, parse=Parser(1), cache=cache)
