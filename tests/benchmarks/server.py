"""A Postgres server of a measurement's own, set up as `barber up` sets it up (with fsync)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from barber.catalogue import migrate
from barber.settings import Settings
from barber.standalone.postgres import EmbeddedPostgres


@contextmanager
def catalogue(
    data: Path | None = None, options: Mapping[str, str] | None = None
) -> Iterator[tuple[Settings, int]]:
    """Yields settings of a migrated catalogue, and the server's process id.

    Args:
        data: A directory to keep; a temporary one when None.
        options: Server settings on top of those of `barber up`.
    """
    with tempfile.TemporaryDirectory(prefix="barber-bench-") as folder:
        Path(folder).chmod(0o755)  # run by root, the server is another user
        where = data or Path(folder) / "data"
        with EmbeddedPostgres(where, settings=options) as server:
            migrate.upgrade(server.url)
            assert server.process is not None
            yield (
                Settings(database_url=server.url, home=Path(folder) / "home"),
                server.process.pid,
            )
