"""Every error the system raises on purpose.

    BarberError
    |-- InputError          the picture, table or spec is at fault: fail, never retry
    |-- CheckpointError     a weight file is at fault: the operator's business, the worker stops
    |-- StageError          a stage could not finish (non-finite loss): fail, keep evidence
    |-- CatalogueError      the record refuses
    |   |-- NotFound        no such row
    |   `-- Conflict        the row is not in a state that allows this
    |-- StoreError          an artifact file is missing, damaged or cannot be written
    |-- SettingsError       the environment is at fault: value and remedy named
    `-- Cancelled           raised between two steps of a stage whose job was cancelled

The message names the value and the remedy, in one sentence a person can act on.
"""

from __future__ import annotations


class BarberError(Exception):
    """The root of every error raised on purpose."""


class InputError(BarberError):
    """A picture, table or spec cannot be used; trying again cannot help."""


class CheckpointError(BarberError):
    """A weight file is missing, damaged or of another architecture."""


class StageError(BarberError):
    """A stage of the method could not finish.

    Args:
        message: What happened, with the value.
        stage: The stage kind, for example "align".
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class CatalogueError(BarberError):
    """The catalogue refuses what was asked."""


class NotFound(CatalogueError):
    """No row has that id."""


class Conflict(CatalogueError):
    """The row is not in a state that allows the change."""


class StoreError(BarberError):
    """An artifact file is missing, damaged, or cannot be written (disk full)."""


class SettingsError(BarberError):
    """A setting is missing or malformed."""


class Cancelled(BarberError):
    """Work was stopped between two steps because its job was cancelled or its lease was lost."""
