"""A checked table into the queue: portraits by content, jobs, and what was refused."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from barber.catalogue import jobs, portraits
from barber.catalogue.db import transaction
from barber.catalogue.jobs import AlreadySubmitted, NewJob
from barber.catalogue.store import Store
from barber.errors import Conflict
from barber.settings import Settings
from barber.table import PlannedRow, RowError, Table, TableError, TableSettings, read_table
from barber.table_checks import Preflight, check_table, noteworthy


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What came of a table."""

    batch_id: int
    accepted: int  # jobs queued
    refused: tuple[RowError, ...]
    rows: tuple[PlannedRow, ...]  # those accepted, with all that pre-flight found


def submit_table(
    engine: Engine,
    store: Store,
    path: Path,
    defaults: TableSettings,
    settings: Settings,
    *,
    preflight: Preflight,
    accept_valid: bool = False,
    again: bool = False,
    submitted_by: str | None = None,
    deadline: datetime | None = None,
) -> Submission:
    """Queues a table's rows, all of them or (with `accept_valid`) those that are sound.

    Args:
        engine: The catalogue.
        store: Where the portraits go.
        path: The CSV file.
        defaults: The bundle's sizes and presets.
        settings: The system's: its bundle, and how often a stage may fail.
        preflight: How portraits and rows are checked before anything is queued.
        accept_valid: Queue the sound rows and record the others as refused.
        again: Queue a table even when it was queued before.
        submitted_by: Who asks.
        deadline: What has not ended by then fails.

    Raises:
        TableError: Some rows cannot be used; nothing was queued.
        InputError: The table as a whole cannot be used.
        Conflict: The same table was queued before; the message names its batch.
    """
    table = check_table(read_table(path, defaults), preflight)
    if table.errors and not (accept_valid and table.rows):
        raise TableError(_complaint(path, table, accept_valid), table.errors)
    with transaction(engine) as session:
        for key in dict.fromkeys(key for row in table.rows for key in row.spec.portraits):
            portraits.keep(session, store, table.pictures[key])
        try:
            batch_id = jobs.submit(
                session,
                name=path.stem,
                jobs=[
                    NewJob(
                        name=row.name,
                        spec=row.spec,
                        priority=row.priority,
                        findings=tuple(found.to_json() for found in noteworthy(row.findings)),
                    )
                    for row in table.rows
                ],
                bundle_name=settings.bundle,
                refused=[error.to_json() for error in table.errors],
                idempotency_key=secrets.token_hex(32) if again else table.digest,
                submitted_by=submitted_by,
                deadline=deadline,
                max_errors=settings.max_errors,
                max_losses=settings.max_losses,
            )
        except AlreadySubmitted as error:
            raise Conflict(
                f"{path} was queued before, as batch {error.batch_id}: see it with "
                f"`barber watch {error.batch_id}`, or queue it anew with --again"
            ) from error
    return Submission(
        batch_id=batch_id, accepted=len(table.rows), refused=table.errors, rows=table.rows
    )


def _complaint(path: Path, table: Table, accept_valid: bool) -> str:
    count = len(table.errors)
    rows = "1 row" if count == 1 else f"{count} rows"
    remedy = "correct them"
    if table.rows and not accept_valid:
        remedy += f", or queue the other {len(table.rows)} with --accept-valid"
    return (
        f"{path} has {rows} that cannot be used; nothing was queued: {remedy}\n{table.complaint()}"
    )
