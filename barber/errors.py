"""Every error the system raises on purpose.

    BarberError
    |-- InputError          the picture, table or spec is at fault: fail, never retry
    |-- CheckpointError     a weight file is at fault: the operator's business, the worker stops
    |-- StageError          a stage could not finish (non-finite loss): fail, keep evidence
    |   |-- StageTimeout    it took longer than its soft limit: once more
    |   `-- StageHung       it made no step for too long: its process ends, another tries
    |-- CatalogueError      the record refuses
    |   |-- NotFound        no such row
    |   |-- Conflict        the row is not in a state that allows this
    |   |-- Forbidden       this person may not do that
    |   `-- LoginRefused    this is not somebody we know
    |       `-- TooManyTries    and not for a while
    |-- StoreError          an artifact file is missing, damaged or cannot be written
    |   |-- StoreAwayError  the store cannot be read, or is another
    |   `-- SnapshotError   a stage cannot go on from what was kept of it: it starts over
    |-- ServerAway          the console elsewhere does not answer
    |-- SettingsError       the environment is at fault: value and remedy named
    `-- Cancelled           raised between two steps of a stage whose job was cancelled

The message names the value and the remedy, in one sentence a person can act on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SHORT_KEY_DIGITS = 12


class BarberError(Exception):
    """The root of every error raised on purpose."""


class InputError(BarberError):
    """A picture, table or spec cannot be used; trying again cannot help."""


class CheckpointError(BarberError):
    """A weight file is missing, damaged or of another architecture."""


class StageError(BarberError):
    """A stage of the method could not finish.

    Args:
        message: What happened, with the value; portraits stand in it by their short keys.
        stage: The stage kind, for example "align".
        portraits: Keys of the portraits that the message names.
    """

    def __init__(self, message: str, *, stage: str, portraits: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.stage = stage
        self.portraits = tuple(portraits)

    def naming(self, names: Mapping[str, str]) -> StageError:
        """The same error with the name of each portrait that has one beside its short key."""
        message = str(self)
        for key in self.portraits:
            if key in names:
                message = message.replace(short_key(key), f"{names[key]} ({short_key(key)})")
        return type(self)(message, stage=self.stage, portraits=self.portraits)


class StageTimeout(StageError):
    """A stage took longer than its soft time limit; told between two of its steps."""


class StageHung(StageError):
    """A stage made no step for too long while its process lived."""


def short_key(key: str) -> str:
    """The first digits of a portrait's key, enough to tell it from others."""
    return key[:SHORT_KEY_DIGITS]


class CatalogueError(BarberError):
    """The catalogue refuses what was asked."""


class NotFound(CatalogueError):
    """No row has that id."""


class Conflict(CatalogueError):
    """The row is not in a state that allows the change."""


class Forbidden(CatalogueError):
    """The person has not the role that this takes."""


class LoginRefused(CatalogueError):
    """The name, the password, the link or the token is not right."""


class TooManyTries(LoginRefused):
    """Logging in failed too often; `wait_s` seconds from now it may be tried again."""

    def __init__(self, message: str, *, wait_s: int) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class StoreError(BarberError):
    """An artifact file is missing, damaged, or cannot be written (disk full)."""


class StoreAwayError(StoreError):
    """The store cannot be read, or is not the one that the others use: its files may be sound."""


class SnapshotError(StoreError):
    """What was kept of a stage under way cannot be used; the stage starts from its beginning."""


class ServerAway(BarberError):
    """The console that a command talks to cannot be reached, or is broken."""


class SettingsError(BarberError):
    """A setting is missing or malformed."""


class Cancelled(BarberError):
    """Work was stopped between two steps because its job was cancelled or its lease was lost."""
