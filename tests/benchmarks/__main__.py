"""`python -m tests.benchmarks NAME --write docs/benchmarks.md`: measures one thing, or `all`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from tests.benchmarks import (
    claims,
    importing,
    live,
    pages,
    polling,
    stage_times,
    submitting,
    system,
    tick,
    validation,
)
from tests.benchmarks.page import Section, write


def main() -> int:
    """Measures, prints the sections, and writes them when asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*benchmarks(None), "all"])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="renew the sections in PAGE")
    parser.add_argument(
        "--kept", type=Path, metavar="DIR", help="where the seeded catalogues of `tick` stay"
    )
    options = parser.parse_args()
    chosen = benchmarks(options.kept)
    for name in chosen if options.name == "all" else [options.name]:
        section = chosen[name]()
        print(section.markdown(), flush=True)
        if options.write:
            write(options.write, section)
    return 0


def benchmarks(kept: Path | None) -> Mapping[str, Callable[[], Section]]:
    """Every benchmark by name."""
    return {
        "system": system.measure,
        "claims": claims.measure,
        "submit": submitting.measure,
        "import": importing.measure,
        "polling": polling.measure,
        "stages": stage_times.measure,
        "validation": validation.measure,
        "tick": partial(tick.measure, kept),
        "live": live.measure,
        "pages": partial(pages.measure, kept),
    }


if __name__ == "__main__":
    sys.exit(main())
