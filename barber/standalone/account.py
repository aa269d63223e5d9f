"""Which user the embedded Postgres runs as: it refuses to run as root, so root steps down."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from barber.errors import SettingsError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccount:
    """How a server process is started: as ourselves, or, from root, as an unprivileged user.

    Below a directory that only root may enter, such as /root, that user reaches neither the
    programs nor the data. It then keeps the one capability of entering directories; permissions
    of directories that are not ours are never changed.
    """

    uid: int | None = None  # None: as ourselves
    gid: int | None = None
    prefix: tuple[str, ...] = ()  # program that steps down and keeps the capability

    @classmethod
    def for_directories(cls, *directories: Path) -> Self:
        """The account that can reach all of `directories`.

        Raises:
            SettingsError: We are root, and the unprivileged user cannot be made to reach them.
        """
        if os.geteuid() != 0:
            return cls()
        user = pwd.getpwnam(UNPRIVILEGED)
        closed = [path for path in directories if not _open_to_all(path)]
        if not closed:
            return cls(uid=user.pw_uid, gid=user.pw_gid)
        setpriv = shutil.which("setpriv")
        if setpriv is not None:
            prefix = (
                *(setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
                *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
                *("--pdeathsig=INT", "--"),  # stepping down clears what the parent had set
            )
            if _can_enter(prefix, closed):
                return cls(uid=user.pw_uid, gid=user.pw_gid, prefix=prefix)
        raise SettingsError(
            f"Postgres does not run as root, and the user {UNPRIVILEGED!r} cannot enter "
            f"{closed[0]}: run as an ordinary user, or use a directory that everybody may enter"
        )

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """`arguments` with what makes them run under this account in front."""
        return [*self.prefix, *map(str, arguments)]

    def popen_options(self) -> dict[str, Any]:
        """The options of `subprocess.Popen` that make a command run under this account."""
        if self.uid is None or self.prefix:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Makes `path`, which we created, the account's own."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


def _open_to_all(directory: Path) -> bool:
    """Whether everybody may enter `directory` and all above it."""
    path = directory.resolve()
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def _can_enter(prefix: Sequence[str], directories: Sequence[Path]) -> bool:
    """Whether a command behind `prefix` reaches the directories (the kernel may forbid it)."""
    for directory in directories:
        listing = [*prefix, "ls", str(directory)]
        if subprocess.run(listing, capture_output=True, cwd="/").returncode != 0:
            return False
    return True
