from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from barber.catalogue import snapshots
from barber.catalogue.snapshots import Kept
from barber.errors import InputError, SnapshotError, StageError
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


class Keeper:
    """Finds what it is told to."""

    def __init__(self, kept: Kept | None, reason: str = "") -> None:
        self.found = kept, reason

    def find(self) -> tuple[Kept | None, str]:
        return self.found


KEPT = Kept(taken=60, note="fs 10/300", data=b"state")


@pytest.mark.parametrize(
    ("keeper", "told", "ran"),
    [
        (Keeper(None), [], [None]),
        (Keeper(KEPT), [60], [b"state"]),
        (Keeper(None, "a snapshot is damaged"), ["a snapshot is damaged"], [None]),
        (
            Keeper(replace(KEPT, data=b"unfit")),
            [60, "it is of other variables"],
            [b"unfit", None],
        ),
    ],
    ids=["first attempt", "goes on", "damaged", "does not fit"],
)
def test_stage_runs_from_its_snapshot_and_else_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch,
    keeper: Any,
    told: list[object],
    ran: list[bytes | None],
) -> None:
    bench, heard, runs = Bench.__new__(Bench), list[object](), list[bytes | None]()

    def run(claim: object, heart: object, snapshot: bytes | None) -> str:
        runs.append(snapshot)
        if snapshot == b"unfit":
            raise SnapshotError("it is of other variables")
        return "an artifact"

    monkeypatch.setattr(bench, "_write", lambda change: change(None))
    monkeypatch.setattr(bench, "_run", run)
    monkeypatch.setattr(snapshots, "continued", lambda _, claim, kept: heard.append(kept.taken))
    monkeypatch.setattr(snapshots, "started_over", lambda _, claim, reason: heard.append(reason))
    anything: Any = None
    assert bench._compute(anything, anything, keeper) == "an artifact"
    assert (heard, runs) == (told, ran)
