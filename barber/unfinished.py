"""What killed processes leave half-written below a home: found and deleted here alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Writers rename their files out of these when they are whole.
STORE_PARTS = "store/unfinished/*"
MESSAGE_PARTS = "broker/**/*.part"


def clear_unfinished(home: Path, older_s: float = 0.0) -> int:
    """Deletes half-written files; the catalogue repeats the work that they were part of.

    Args:
        home: `Settings.home`.
        older_s: Only files that nobody has touched for so long; 0 when nobody writes.

    Returns:
        How many files.
    """
    count = 0
    for part in _parts(home):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime >= older_s:
                part.unlink()
                count += 1
    return count


def _parts(home: Path) -> Iterator[Path]:
    yield from home.glob(STORE_PARTS)
    yield from home.glob(MESSAGE_PARTS)
