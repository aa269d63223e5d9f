"""The pages that benchmarks write: sections in their place, and docs/scaling.md from figures."""

from __future__ import annotations

import pytest

from tests.benchmarks import page, scaling, scaling_page
from tests.benchmarks.page import Section
from tests.benchmarks.plans import look
from tests.benchmarks.simulation import Outcome

SYSTEM = {
    "cpu_s": {"dispatcher": 0.02, "Postgres": 0.02, "worker": 0.03, "broker": 0.001},
    "offered_s": [1.0, 1.2],
}
KNOWN = {
    "polling": {"look_s": 0.016, "database_s": 0.001, "most_looks_per_s": 40.0},
    "system": {scaling.BROKER: SYSTEM},
    "claims": {"database_cpu_s": 0.008, "heartbeat_cpu_s": 0.001},
    "tick": {
        **dict.fromkeys(("reap", "resend", "sweep", "fill"), 0.01),
        "at_a_million": dict.fromkeys(("reap", "resend", "sweep", "fill"), 0.02),
        "bytes_of_job": 9_500,
    },
    "stages": {"stage_s": dict.fromkeys(scaling.KINDS, 2.0)},
    "validation": {"workers": [1], "real": [2.0], "foretold": [2.2], "overhead_s": [0.1, 0.2]},
}


def section(name: str, text: str) -> Section:
    return Section(name=name, title=name, text=text, figures={})


def test_section_is_renewed_in_its_place_and_a_new_one_comes_last() -> None:
    text = page.TITLE
    for name in ("one", "two"):
        text = page.put(text, section(name, f"{name} as it was"))
    text = page.put(text, section("one", "one anew"))
    assert text.index("one anew") < text.index("two as it was")
    assert "one as it was" not in text
    assert text == page.put(text, section("one", "one anew"))


def test_whole_reads_and_dropped_rows_are_seen_in_a_plan() -> None:
    scan = {
        "Node Type": "Seq Scan",
        "Relation Name": "job",
        "Actual Rows": 3.5,
        "Actual Loops": 2,
        "Rows Removed by Filter": 100,
    }
    plan = {"Node Type": "Limit", "Plans": [scan], "Shared Hit Blocks": 7, "Shared Read Blocks": 1}
    seen = look("list", "SELECT", {"Plan": plan, "Planning Time": 0.5, "Execution Time": 1.0})
    assert (seen.rows, seen.pages, seen.whole, seen.ms) == (207, 8, ("job",), 1.5)


def test_plan_node_that_never_ran_reads_nothing() -> None:
    scan = {"Node Type": "Seq Scan", "Relation Name": "job", "Actual Rows": 0, "Actual Loops": 0}
    seen = look("list", "SELECT", {"Plan": scan, "Planning Time": 0, "Execution Time": 0})
    assert (seen.rows, seen.whole) == (0, ())


def test_scaling_page_tells_every_work_and_setup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "WORKERS", (1, 2))
    grid = scaling.run_grid(KNOWN, stages=24)
    text = scaling_page.words(KNOWN, scaling.measured_costs(KNOWN), grid)
    assert all(name in text for name in scaling.works(KNOWN))
    assert text.count("and 8 dispatchers |") == len(scaling.works(KNOWN))
    assert "| 1 | 2.00 | 2.20 | +10 % |" in text
    assert "1,000 at most" in text and "25 fan-in workers" in " ".join(text.split())


def test_capacity_is_one_over_the_cost() -> None:
    costs = scaling.measured_costs(KNOWN)
    dispatcher = scaling.capacity_rows(costs)[0]
    # 20 ms of its own and 12 ms of the database that is not the claimers'.
    assert dispatcher == ("one dispatcher", "32.0", "31")


def test_knee_is_the_last_size_at_which_workers_compute() -> None:
    outcomes = [
        Outcome(jobs_per_hour=1, stages_per_s=1, workers=w, dispatcher=0, database=0, broker=0)
        for w in (0.95, 0.85, 0.5)
    ]
    assert (
        scaling.knee([*outcomes, *[outcomes[-1]] * (len(scaling.WORKERS) - 3)])
        == scaling.WORKERS[1]
    )
