"""The directory that one `barber up` owns: its lock, its paths, and where others find it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from barber.errors import SettingsError
from barber.unfinished import clear_unfinished

DEFAULT_HOME = Path(".barber")
LEAST_FREE_BYTES = 256 * 2**20  # a new database has 40 MB, its log 64 MB, and work needs room


def home_dir(environ: Mapping[str, str], given: Path | None = None) -> Path:
    """The home that a command means: the one given, else BARBER_HOME, else the default."""
    return Path(given or environ.get("BARBER_HOME") or DEFAULT_HOME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a running system tells the other commands."""

    pid: int  # of the supervisor
    database_url: str = field(repr=False)
    console: str  # address of the console
    bundle: str


class Home:
    """A home directory, owned by this process from `__enter__` to `__exit__`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    def __enter__(self) -> Self:
        """Takes the directory.

        Raises:
            SettingsError: It cannot be written, is in use, or its disk is full.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise SettingsError(
                f"the home {self.path} cannot be written ({error.strerror}): "
                "give another with --home"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise SettingsError(self._taken()) from None
        free = shutil.disk_usage(self.path).free
        if free < LEAST_FREE_BYTES:
            lock.close()
            raise SettingsError(
                f"the disk of {self.path} is full ({free / 2**20:.0f} MB free, "
                f"{LEAST_FREE_BYTES / 2**20:.0f} MB needed): make room or give another --home"
            )
        self._lock = lock
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._lock is not None
        (self.path / "up.json").unlink(missing_ok=True)
        self._lock.close()
        self._lock = None

    def clear(self) -> None:
        """Deletes everything in a home that nobody runs on; other directories are left alone.

        Raises:
            SettingsError: It is in use, or not a home.
        """
        if not self.path.exists():
            return
        if any(self.path.iterdir()) and not (self.path / "lock").is_file():
            raise SettingsError(f"{self.path} is no home of ours: give another directory")
        with self:
            shutil.rmtree(self.path)

    def clear_unfinished(self) -> None:
        """Deletes what killed processes left half-written; for when none of ours runs here."""
        clear_unfinished(self.path)

    def announce(self, running: Running) -> None:
        """Tells the other commands where the system is; readable by its owner only."""
        write_private(self.path / "up.json", json.dumps(asdict(running)))

    def find_running(self) -> Running:
        """The system that runs on this home.

        Raises:
            SettingsError: None does.
        """
        running = self._announced()
        if running is None or not self._is_taken():
            raise SettingsError(
                f"nothing runs on {self.path}: start it with `barber up --home {self.path}`, "
                "or set BARBER_DATABASE_URL"
            )
        return running

    def _announced(self) -> Running | None:
        try:
            return Running(**json.loads((self.path / "up.json").read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise SettingsError(f"{self.path / 'up.json'} cannot be read: {error}") from error

    def _is_taken(self) -> bool:
        try:
            with (self.path / "lock").open("a+") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def _taken(self) -> str:
        running = self._announced()
        where = f" (process {running.pid}, console {running.console})" if running else ""
        return (
            f"a system already runs on {self.path}{where}: use it, stop it with Ctrl-C, "
            "or give another --home"
        )


def write_private(path: Path, text: str) -> None:
    """Writes `text` at once or not at all, readable by its owner only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
