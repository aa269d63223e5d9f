"""`make mutants`: plants one fault at a time in the catalogue, counts the steps until it is found.

A fault is a change of text, made in memory while its module is imported: no file is touched. Each
walk has a process and a database of its own. Non-zero when a fault is not found. `--write
docs/queue.md` keeps the table there.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import subprocess
import sys
import tempfile
import time
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
from tests.benchmarks.page import Section, put, table
from tests.model.faults import FAULTS, Fault
from tests.support.postgres import FAST, TEMPLATE, administration, at_database, fresh_database

SEEDS = (1, 2)
TITLE = "What the model would notice"
UNSEEN = "-"
DISAGREES = "found after "  # steps and seconds: how a walk tells of its fault


class _Planter(MetaPathFinder):
    """Imports a module with a fault in it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.modules = {f"barber.catalogue.{module}" for module in fault.modules}
        assert not self.modules & set(sys.modules), "imported before its fault could be planted"

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None and spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin)
        spec.loader.fault = self.fault
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    fault: Fault

    def get_code(self, fullname: str) -> CodeType:
        path = Path(self.path)
        changed = self.fault.planted(path.stem, path.read_text("utf-8"))
        return compile(changed, self.path, "exec", dont_inherit=True)


def walk_with(fault: Fault, url: str, steps: int, seed: int) -> None:
    """Plants a fault in this process, walks, and prints when it was found, if it was."""
    sys.meta_path.insert(0, _Planter(fault))
    # Only now may the catalogue be imported.
    from tests.model.moments import CatalogueMachine
    from tests.model.walking import walk

    starts: list[tuple[int, float]] = []

    class Counting(CatalogueMachine):
        def __init__(self) -> None:
            starts.append((self.steps, time.process_time()))
            super().__init__()

    try:
        walk(Settings(database_url=url), steps, seed, shrink=False, kind=Counting)
    except BaseException as error:
        # The history that found it has been run once more, for the report.
        steps_taken, seconds = starts[-1]
        print(
            f"{DISAGREES}{steps_taken} in {seconds - starts[0][1]:.0f} s ({type(error).__name__})"
        )
        raise


def measure(server_url: str, steps: int, job: tuple[Fault, int]) -> str:
    """One walk in a process of its own; steps and seconds, or `UNSEEN`."""
    fault, seed = job
    with fresh_database(server_url) as url:
        child = [sys.executable, "-m", "tests.model.mutants", "--only", fault.name]
        child += ["--walk", url, "--seeds", str(seed), "--steps", str(steps)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return UNSEEN
    told = [line for line in done.stdout.splitlines() if line.startswith(DISAGREES)]
    if not told:
        raise SystemExit(f"{fault.name} did not even begin:\n{done.stderr}")
    return told[-1].removeprefix(DISAGREES).split(" (")[0]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_500)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", choices=[fault.name for fault in FAULTS])
    parser.add_argument("--at-once", type=int, default=2, help="walks at the same time")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="renew the section in PAGE")
    parser.add_argument("--walk", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    faults = [f for f in FAULTS if options.only is None or f.name in options.only]
    if options.walk:
        walk_with(faults[0], options.walk, options.steps, options.seeds[0])
        return
    rows = compare(faults, options.seeds, options.steps, options.at_once)
    section = Section(name="mutants", title=TITLE, text=told(options, rows), figures={})
    print(section.markdown())
    if options.write:
        options.write.write_text(put(options.write.read_text(), section))
    unseen = [fault.name for fault, *found in rows if set(found) == {UNSEEN}]
    sys.exit(f"not found: {', '.join(unseen)}" if unseen else 0)


def told(options: argparse.Namespace, rows: Sequence[tuple[Fault, *tuple[str, ...]]]) -> str:
    """The result as Markdown."""
    lines = [
        f"{len(rows)} faults, each planted by itself, with the steps until model and catalogue",
        f"differed and the CPU time of the walk; {UNSEEN} where they were equal for",
        f"{options.steps:,} steps. A step is one comparison of every row.",
        "",
        table(
            ["fault", *(f"seed {seed}" for seed in options.seeds)],
            [[fault.says, *found] for fault, *found in rows],
        ),
    ]
    return "\n".join(lines)


def compare(
    faults: Sequence[Fault], seeds: Sequence[int], steps: int, at_once: int
) -> list[tuple[Fault, *tuple[str, ...]]]:
    """What came of each walk, a row for each fault; printed as it comes."""
    rows: list[tuple[Fault, *tuple[str, ...]]] = []
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
                    rows.append((fault, *(next(found) for _ in seeds)))
                    print(fault.name, *rows[-1][1:], sep=": ", flush=True)
    return rows


if __name__ == "__main__":
    main()
