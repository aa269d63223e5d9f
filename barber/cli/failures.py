"""From an exception to one sentence and an exit code."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from barber.errors import BarberError
from barber.table import TableError

REFUSED, MISUSED, INTERRUPTED = 1, 2, 130
HELP = "usage_help"  # a command without its verb: the message is the whole help


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a person, or a program that asked for JSON, is told."""

    code: str  # "input_error", "not_found", ..: the error's class in words
    message: str
    exit_code: int
    rows: tuple[dict[str, Any], ...] = ()  # of a table: line, name, reason of each bad row

    def show(self, *, as_json: bool) -> None:
        """Writes it to standard error."""
        if not as_json:
            prefix = "" if self.code == HELP else "barber: "
            click.echo(f"{prefix}{self.message}", err=True)
            return
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.rows:
            error["rows"] = list(self.rows)
        click.echo(json.dumps({"error": error}), err=True)


def explain(error: BaseException) -> Failure | None:
    """The failure to show for `error`; None for a fault of ours, which keeps its trace."""
    match error:
        case click.exceptions.NoArgsIsHelpError():
            return Failure(code=HELP, message=error.format_message(), exit_code=MISUSED)
        case click.UsageError():
            return _misuse(error)
        case click.ClickException():
            return _refusal(error, error.format_message())
        case click.Abort() | KeyboardInterrupt():
            return Failure(code="interrupted", message="interrupted", exit_code=INTERRUPTED)
        case TableError():
            rows = tuple(row.to_json() for row in error.errors)
            return Failure(code="table_error", message=str(error), exit_code=REFUSED, rows=rows)
        case BarberError():
            return _refusal(error, str(error))
        case DBAPIError():
            return _refusal(error, _database_sentence(error))
        case OSError():
            return _refusal(error, _system_sentence(error))
        case _:
            return None


def _refusal(error: BaseException, message: str) -> Failure:
    code = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()
    return Failure(code=code, message=message, exit_code=REFUSED)


def _misuse(error: click.UsageError) -> Failure:
    path = error.ctx.command_path if error.ctx else "barber"
    message = error.format_message().rstrip(".")
    message = f"{message} (see `{path} --help`)"
    return Failure(code="usage", message=message, exit_code=MISUSED)


def _database_sentence(error: DBAPIError) -> str:
    said = str(error.orig).strip().splitlines()
    reason = said[0] if said else type(error).__name__
    if isinstance(error, ProgrammingError) and "does not exist" in reason:
        return (
            f"the database is not this version's catalogue ({reason}): "
            "run `barber up`, or `alembic upgrade head`"
        )
    if isinstance(error, OperationalError):
        return f"the catalogue cannot be reached ({reason}): check that `barber up` runs"
    return f"the catalogue refused: {reason}"


def _system_sentence(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"
