"""Histories of the machine one after the other, until there were enough steps."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from barber.settings import Settings
from tests.model.moments import CatalogueMachine
from tests.support.postgres import fresh_database

RULES_EACH = 40  # of a history: many short ones see more than few long ones
MOST_EXAMPLES = 25  # between two lines of the report
SEEDS_EACH = 1_000_000  # between the first seeds of two walks: rounds count upwards


@dataclass(frozen=True)
class Walked:
    """What came of a walk on which nothing disagreed."""

    seed: int
    steps: int
    seconds: float
    seen: Counter[str]  # jobs that were in a status at some time
    fired: Counter[str]  # how often each transition was tried


def alone(server_url: str, steps: int, number: int, shrink: bool, minutes: float) -> Walked:
    """One walk on a database of its own."""
    with fresh_database(server_url) as url:
        return walk(Settings(database_url=url), steps, number, shrink, minutes=minutes)


def walk(
    facts: Settings,
    steps: int,
    number: int,
    shrink: bool,
    kind: type[CatalogueMachine] = CatalogueMachine,
    minutes: float = float("inf"),
) -> Walked:
    """Walks histories until there were so many steps; raises at the first disagreement."""
    machine = kind.on(facts)
    began, round_ = time.monotonic(), 0
    while machine.steps < steps and time.monotonic() - began < minutes * 60:
        phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
        run_state_machine_as_test(
            seed(number * SEEDS_EACH + round_)(machine),
            settings=settings(
                max_examples=min(MOST_EXAMPLES, 1 + (steps - machine.steps) // RULES_EACH),
                stateful_step_count=RULES_EACH,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
        round_ += 1
        took_s = time.monotonic() - began
        print(f"seed {number}: {machine.steps} steps, {took_s:.0f} s", flush=True)
    machine.engine.dispose()
    took_s = time.monotonic() - began
    return Walked(number, machine.steps, took_s, Counter(machine.seen), Counter(machine.fired))
