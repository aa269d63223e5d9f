import re
from dataclasses import fields
from pathlib import Path

import pytest

from barber.preflight.findings import Check, Verdict
from barber.preflight.thresholds import DEFAULT, Limit

DOC = Path(__file__).parents[3] / "docs" / "preflight.md"
NAMES = {  # of the limits, as the table of the docs has them
    "yaw": "`pose` (yaw)",
    "pitch": "`pose` (pitch)",
    "roll": "`pose` (roll)",
    "hair": "`region` (hair)",
    "region": "`region` (others)",
}


def rows() -> dict[str, list[str]]:
    lines = [line for line in DOC.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("name", [field.name for field in fields(DEFAULT)])
def test_the_docs_tell_each_threshold(name: str) -> None:
    limit: Limit = getattr(DEFAULT, name)
    _, warn, refuse = rows()[NAMES.get(name, f"`{name.replace('_', '-')}`")]
    for bound, told in ((limit.warn, warn), (limit.refuse, refuse)):
        if bound is None:
            assert not told
        else:
            number = re.search(r"(above|below) ([\d.]+)", told)
            assert number is not None
            assert (number[1], float(number[2])) == ("above" if limit.above else "below", bound)


def test_the_docs_tell_each_check() -> None:
    told = {re.sub(r"`([^`]*)`.*", r"\1", name) for name in rows()}
    assert told == {str(check) for check in Check}


@pytest.mark.parametrize("name", [field.name for field in fields(DEFAULT)])
def test_each_limit_has_a_unit_and_a_reason_and_refuses_beyond_the_warning(name: str) -> None:
    limit: Limit = getattr(DEFAULT, name)
    assert limit.unit
    assert limit.reason
    if limit.warn is not None and limit.refuse is not None:
        assert (limit.refuse > limit.warn) is limit.above


@pytest.mark.parametrize(
    ("number", "verdict", "bound"),
    [
        (0.3, Verdict.PASS, 0.3),
        (0.29, Verdict.WARN, 0.3),
        (0.1, Verdict.WARN, 0.3),
        (0.09, Verdict.REFUSE, 0.1),
    ],
)
def test_a_number_is_judged_by_the_gravest_bound_that_it_misses(
    number: float, verdict: Verdict, bound: float
) -> None:
    limit = Limit(warn=0.3, refuse=0.1, unit="x", reason="y")
    assert limit.judge(number) == (verdict, bound)
