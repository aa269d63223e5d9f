"""Which names the workers of this machine bear, from their first moment on.

The catalogue knows a worker only once it has loaded its networks. Until then a lock on a file of
the home says whose a name is; it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

from barber.catalogue.workers import WorkerRow
from barber.errors import InputError, SettingsError


class Names:
    """The names that this process has taken; a context manager that gives them back.

    Args:
        folder: The same for all who might take one; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: list[IO[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lock in self._locks:
            lock.close()
        self._locks = []

    def take(self, names: Iterable[str]) -> bool:
        """Takes all of the names, or none when somebody has one of them.

        Raises:
            SettingsError: The folder cannot be written.
        """
        taken: list[IO[str]] = []
        for name in names:
            lock = self._open(name)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                for one in (lock, *taken):
                    one.close()
                return False
            taken.append(lock)
        self._locks += taken
        return True

    def _open(self, name: str) -> IO[str]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return (self._folder / f"{quote(name, safe='')}.lock").open("a")
        except OSError as error:
            raise SettingsError(
                f"{self._folder} cannot be written ({error.strerror}): "
                "give another home with --home or BARBER_HOME"
            ) from error


def name_workers(name: str, devices: Sequence[str]) -> list[tuple[str, str]]:
    """Each device with its worker's name: alone the given one, else with the device behind it."""
    if len(devices) == 1:
        return [(name, devices[0])]
    met: Counter[str] = Counter()
    found = []
    for device in devices:
        met[device] += 1
        again = f"-{met[device]}" if met[device] > 1 else ""
        found.append((f"{name}-{device.replace(':', '')}{again}", device))
    return found


def choose_name(
    asked: str | None,
    devices: Sequence[str],
    present: Iterable[WorkerRow],
    *,
    host: str,
    names: Names,
) -> str:
    """Takes a name for workers that no living worker of this machine bears.

    Two workers of one name would be one row of the catalogue: the bundle of the first would
    count as held by nobody.

    Args:
        asked: The operator's choice, or None for the machine's name with its device behind it.
        devices: A worker for each.
        present: The workers that the catalogue knows.
        host: This machine's name.
        names: Takes the workers' names.

    Raises:
        InputError: The operator's choice is taken.
        SettingsError: The home cannot be written.
    """
    alive = {row.name: row for row in present if row.alive}

    def take(name: str) -> bool:
        return names.take(member for member, _ in name_workers(name, devices))

    if asked is not None:
        for name, _ in name_workers(asked, devices):
            row = alive.get(name)
            if row and row.host == host and _runs(row.pid):
                raise InputError(_taken(name, f" (process {row.pid})"))
        if not take(asked):
            raise InputError(_taken(asked))
        return asked
    first = f"{host}-{devices[0].replace(':', '')}" if len(devices) == 1 else host
    candidates = chain([first], (f"{first}-{number}" for number in count(2)))
    return next(
        name
        for name in candidates
        if not alive.keys() & {member for member, _ in name_workers(name, devices)} and take(name)
    )


def _taken(name: str, process: str = "") -> str:
    return f"a worker {name!r} is up on this machine already{process}: give another --name"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True
