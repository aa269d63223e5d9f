"""`make mutants`: plants one fault at a time in the catalogue, counts the steps until it is found.

A fault is a change of text, made in memory while its module is imported: no file is touched. Each
walk has a process and a database of its own. Non-zero when a fault is not found.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

from sqlalchemy import text

from barber.catalogue import migrate
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres
from tests.model.faults import FAULTS, Fault
from tests.support.postgres import FAST, TEMPLATE, administration, at_database, fresh_database

SEEDS = (1, 2)
DISAGREES = "found after "  # and the number of steps: how a walk tells of its fault


class _Planter(MetaPathFinder):
    """Imports a module with a fault in it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.module = f"barber.catalogue.{fault.module}"
        assert self.module not in sys.modules, "imported before its fault could be planted"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin)
        spec.loader.fault = self.fault
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    fault: Fault

    def get_code(self, fullname: str) -> CodeType:
        changed = self.fault.planted(Path(self.path).read_text("utf-8"))
        return compile(changed, self.path, "exec", dont_inherit=True)


def walk_with(fault: Fault, url: str, steps: int, seed: int) -> None:
    """Plants a fault in this process, walks, and prints when it was found, if it was."""
    sys.meta_path.insert(0, _Planter(fault))
    # Only now may the catalogue be imported.
    from tests.model.__main__ import walk
    from tests.model.machine import CatalogueMachine

    starts: list[int] = []

    class Counting(CatalogueMachine):
        def __init__(self) -> None:
            starts.append(self.steps)
            super().__init__()

    try:
        walk(Settings(database_url=url), steps, seed, shrink=False, kind=Counting)
    except BaseException as error:
        # The history that found it has been run once more, for the report.
        print(f"{DISAGREES}{starts[-1]} ({type(error).__name__})")
        raise


def measure(server_url: str, steps: int, job: tuple[Fault, int]) -> str:
    """One walk in a process of its own; the number of steps, or "-" when nothing was noticed."""
    fault, seed = job
    with fresh_database(server_url) as url:
        child = [sys.executable, "-m", "tests.model.mutants", "--only", fault.name]
        child += ["--walk", url, "--seeds", str(seed), "--steps", str(steps)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return "-"
    told = [line for line in done.stdout.splitlines() if line.startswith(DISAGREES)]
    if not told:
        raise SystemExit(f"{fault.name} did not even begin:\n{done.stderr}")
    return told[-1].removeprefix(DISAGREES).split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--at-once", type=int, default=2, help="walks at the same time")
    parser.add_argument("--walk", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    faults = [f for f in FAULTS if options.only is None or f.name in options.only]
    if options.walk:
        walk_with(faults[0], options.walk, options.steps, options.seeds[0])
    else:
        sys.exit(0 if compare(faults, options.seeds, options.steps, options.at_once) else 1)


def compare(faults: Sequence[Fault], seeds: Sequence[int], steps: int, at_once: int) -> bool:
    """Prints a row of a table for each fault; returns whether every one was found."""
    print(f"| fault | {' | '.join(f'seed {seed}' for seed in seeds)} |")
    print("| --- |" + " --- |" * len(seeds), flush=True)
    all_found = True
    with tempfile.TemporaryDirectory(prefix="barber-pg-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        with EmbeddedPostgres(Path(folder) / "data", settings=FAST) as server:
            with administration(server.url) as admin, admin.connect() as connection:
                connection.execute(text(f'CREATE DATABASE "{TEMPLATE}"'))
            migrate.upgrade(at_database(server.url, TEMPLATE))
            with ThreadPoolExecutor(at_once) as pool:
                walks = [(fault, seed) for fault in faults for seed in seeds]
                found = pool.map(partial(measure, server.url, steps), walks)
                for fault in faults:
                    after = [next(found) for _ in seeds]
                    print(f"| {fault.says} | {' | '.join(after)} |", flush=True)
                    all_found &= any(steps != "-" for steps in after)
    return all_found


if __name__ == "__main__":
    main()
