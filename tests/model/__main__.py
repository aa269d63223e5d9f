"""`make model`: the catalogue against its model for many steps.

Prints its seed; the same seed and steps are the same histories. Non-zero when they disagree. The
walks side by side have the seeds that follow. `--write docs/queue.md` keeps the result there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from sqlalchemy import text

from barber.catalogue import migrate
from barber.standalone.postgres import EmbeddedPostgres
from tests.benchmarks.page import Section, put, table
from tests.model.walking import Walked, alone
from tests.support.postgres import FAST, TEMPLATE, administration, at_database

TITLE = "What the model has walked"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make model", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="in all walks together")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which to stop")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--walks", type=int, default=1, help="side by side")
    parser.add_argument("--shrink", action="store_true", help="look for a shorter history")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="renew the section in PAGE")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data", settings=FAST) as server:
            with administration(server.url) as admin, admin.connect() as connection:
                connection.execute(text(f'CREATE DATABASE "{TEMPLATE}"'))
            migrate.upgrade(at_database(server.url, TEMPLATE))
            found = side_by_side(server.url, options)
    section = Section(name="model", title=TITLE, text=told(found), figures={})
    print(section.markdown())
    if options.write:
        options.write.write_text(put(options.write.read_text(), section))


def side_by_side(server_url: str, options: argparse.Namespace) -> list[Walked]:
    """Each walk in a process and on a database of its own; raises when one disagrees."""
    each = -(-options.steps // options.walks)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.walks, mp_context=spawn) as pool:
        walks = [
            pool.submit(alone, server_url, each, options.seed + n, options.shrink, options.minutes)
            for n in range(options.walks)
        ]
        return [walk.result() for walk in walks]


def told(walks: Sequence[Walked]) -> str:
    """The result as Markdown."""
    steps = sum(walked.steps for walked in walks)
    seen: Counter[str] = sum((walked.seen for walked in walks), Counter())
    fired: Counter[str] = sum((walked.fired for walked in walks), Counter())
    lines = [
        f"{steps:,} steps, after each of which catalogue and model were equal, and at the end of",
        "each history every job had ended. A step is one comparison of every row.",
        "",
        table(
            ["walk (`make model SEED=..`)", "steps", "seconds"],
            [[f"seed {w.seed}", f"{w.steps:,}", f"{w.seconds:.0f}"] for w in walks],
        ),
        "",
        "Jobs that were in a status at some time: "
        + ", ".join(f"{status} {count:,}" for status, count in seen.most_common())
        + ".",
        "",
        table(
            ["transition or moment", "times"],
            [[name.replace("_", " "), f"{count:,}"] for name, count in fired.most_common()],
        ),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
