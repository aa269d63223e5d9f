from __future__ import annotations

from typing import Any

import pytest

from barber.errors import InputError, StageError
from workers.bench import Bench

KEY = "a" * 64


class Row:
    name = "anna.png"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose catalogue knows one portrait."""
    bench = Bench.__new__(Bench)
    monkeypatch.setattr(bench, "_write", lambda change: {KEY: Row()})
    return bench


def test_failed_stage_names_the_portraits_file(bench: Bench) -> None:
    error: Any = StageError(f"no hair in portrait {KEY[:12]}", stage="target", portraits=[KEY])
    assert str(bench._named(error)) == f"no hair in portrait anna.png ({KEY[:12]})"


def test_error_about_no_portrait_is_left_as_it_is(bench: Bench) -> None:
    for error in (StageError("lost", stage="align"), InputError("bad")):
        assert bench._named(error) is error
