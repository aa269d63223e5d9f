"""`make seed JOBS=1000000`: made-up jobs in a running catalogue, to look at the console with many.

They carry no pictures, and one in a hundred waits for the toy bundle. They cannot be taken back
but with the whole catalogue, so it asks first.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from barber.cli.catalogue import connect
from tests.benchmarks.seed import seed

WAITING = 0.01  # of the jobs


def main() -> int:
    """Seeds, and says how long it took."""
    parser = argparse.ArgumentParser(prog="make seed", description=__doc__)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="of the running `barber up`")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args()
    if not 0 < options.jobs <= 10_000_000:
        parser.error(f"--jobs {options.jobs}: give 1 to 10000000")
    with connect(os.environ, options.home) as connection:
        where = connection.settings.home
        if not options.yes and input(f"Write {options.jobs:,} jobs into {where}? [y/N] ") != "y":
            return 1
        began = time.monotonic()
        waiting = round(WAITING * options.jobs)
        seed(connection.engine, past=options.jobs - waiting, queued=waiting)
    print(f"{options.jobs:,} jobs in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
