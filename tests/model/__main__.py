"""`make model`: the catalogue against its model for many steps.

Prints its seed; the same seed and steps are the same histories. Non-zero when they disagree.
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from barber.catalogue import migrate
from barber.catalogue.db import open_engine
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres
from tests.model.machine import CatalogueMachine
from tests.support.postgres import FAST

STEPS_EACH = 100
MOST_EXAMPLES = 20  # between two lines of the report


def main() -> None:
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--shrink", action="store_true", help="look for a shorter history")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data", settings=FAST) as server:
            migrate.upgrade(server.url)
            walk(Settings(database_url=server.url), options.steps, options.seed, options.shrink)


def walk(
    facts: Settings,
    steps: int,
    number: int,
    shrink: bool,
    kind: type[CatalogueMachine] = CatalogueMachine,
) -> None:
    """Runs histories until there were so many steps; raises at the first disagreement."""
    engine = open_engine(facts, application="model")
    machine = kind.on(engine, facts)
    began, round_ = time.monotonic(), 0
    while machine.steps < steps:
        phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
        run_state_machine_as_test(
            seed(number + round_)(machine),
            settings=settings(
                max_examples=min(MOST_EXAMPLES, 1 + (steps - machine.steps) // STEPS_EACH),
                stateful_step_count=STEPS_EACH,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
        round_ += 1
        took_s = time.monotonic() - began
        print(f"{machine.steps} steps, {dict(machine.seen)}, {took_s:.0f} s", flush=True)
    engine.dispose()


if __name__ == "__main__":
    main()
