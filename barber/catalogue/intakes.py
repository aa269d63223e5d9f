"""Imports between two steps: rows are checked and kept, and a person says whether to queue them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, column, delete, func, insert, select, text, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from barber.catalogue.intake_tables import Intake, IntakeRow, IntakeStatus
from barber.errors import Conflict, NotFound
from barber.preflight.findings import Verdict
from barber.table_rows import PlannedRow, RowError

KEPT = timedelta(days=7)  # then an import is forgotten; its batch, if it has one, stays
SILENT = timedelta(seconds=10)  # a reader without a sign for so long may have died
MOVING = (IntakeStatus.CHECKING, IntakeStatus.QUEUEING)
LOCKS = 0x6F1  # the first number of the advisory locks of readers


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeFacts:
    """An import."""

    id: int
    person_id: int
    name: str
    asked: dict[str, Any]
    status: IntakeStatus
    sound: int
    refused: int
    warned: int
    digest: str | None
    problem: str | None
    order: dict[str, Any] | None
    batch_id: int | None
    created_at: datetime
    seen_at: datetime

    @property
    def moving(self) -> bool:
        """Whether something is done with it right now, or should be."""
        return self.status in MOVING

    @property
    def filled(self) -> Filled | None:
        """How far it has become a batch; None before that is begun."""
        told = (self.order or {}).get("filled")
        return Filled(**told) if told else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """How far an import has become a batch."""

    batch_id: int
    place: int  # of the last row that is a job
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRow:
    """One row of an import."""

    place: int
    line: int
    name: str
    spec: dict[str, Any] | None
    priority: int
    reason: str | None
    findings: list[dict[str, Any]]


def begin(session: Session, person_id: int, name: str, asked: Mapping[str, Any]) -> int:
    """A new import, to be checked; the person's old ones are forgotten."""
    old = (
        Intake.person_id == person_id,
        Intake.created_at < func.now() - KEPT,
        Intake.status != IntakeStatus.QUEUEING,  # its batch waits for the rest
    )
    session.execute(delete(Intake).where(*old).execution_options(synchronize_session=False))
    values = {"person_id": person_id, "name": name, "asked": dict(asked)}
    return session.scalars(insert(Intake).values(**values).returning(Intake.id)).one()


def find(session: Session, intake_id: int, person_id: int | None = None) -> IntakeFacts:
    """An import; of that person when one is given. Raises NotFound."""
    query = select(*Intake.__table__.c).where(Intake.id == intake_id)
    if person_id is not None:
        query = query.where(Intake.person_id == person_id)
    row = session.execute(query).first()
    if row is None:
        raise NotFound(f"no import {intake_id}")
    return IntakeFacts(**{**row._mapping, "status": IntakeStatus(row.status)})


def latest(session: Session, person_id: int, limit: int = 5) -> list[IntakeFacts]:
    """A person's imports that are not queued, newest first."""
    mine = (Intake.person_id == person_id, Intake.status != IntakeStatus.QUEUED)
    query = select(*Intake.__table__.c).where(*mine).order_by(Intake.id.desc()).limit(limit)
    return [
        IntakeFacts(**{**row._mapping, "status": IntakeStatus(row.status)})
        for row in session.execute(query)
    ]


def rows(
    session: Session,
    intake_id: int,
    *,
    refused: bool | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[CheckedRow]:
    """Rows in the order of the file, from behind a place; only the refused or the sound ones."""
    columns = [column for column in IntakeRow.__table__.c if column.name != "intake_id"]
    query = select(*columns).where(IntakeRow.intake_id == intake_id, IntakeRow.place > after)
    if refused is not None:
        query = query.where(IntakeRow.spec.is_(None) if refused else IntakeRow.spec.is_not(None))
    query = query.order_by(IntakeRow.place).limit(limit)
    return [CheckedRow(**row._mapping) for row in session.execute(query)]


def unchecked(session: Session, intake_id: int) -> dict[str, int]:
    """In how many sound rows each check was left out, the most first."""
    finding = func.jsonb_array_elements(IntakeRow.findings).table_valued(column("value", JSONB))
    check = finding.c.value["check"].astext
    query = (
        select(check, func.count(func.distinct(IntakeRow.place)))
        .select_from(IntakeRow)
        .join(finding, true())
        .where(
            IntakeRow.intake_id == intake_id,
            IntakeRow.spec.is_not(None),
            finding.c.value["verdict"].astext == Verdict.NOT_CHECKED,
        )
        .group_by(check)
        .order_by(func.count(func.distinct(IntakeRow.place)).desc(), check)
    )
    return {str(name): int(rows) for name, rows in session.execute(query)}


@contextmanager
def reading(engine: Engine, intake_id: int) -> Iterator[bool]:
    """Makes this process the import's only reader; False when another is at it.

    The lock is a connection's: it is free again as soon as its process has died.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        numbers = {"kind": LOCKS, "id": intake_id % (1 << 31)}
        taken = connection.scalar(text("SELECT pg_try_advisory_lock(:kind, :id)"), numbers)
        try:
            yield bool(taken)
        finally:
            if taken:
                connection.execute(text("SELECT pg_advisory_unlock(:kind, :id)"), numbers)


def is_silent(session: Session, intake_id: int) -> bool:
    """Whether nobody has been at it for a while."""
    query = select(Intake.seen_at < func.now() - SILENT).where(Intake.id == intake_id)
    return bool(session.scalar(query))


def start_over(session: Session, intake_id: int) -> None:
    """Forgets what an earlier reader has found."""
    session.execute(
        delete(IntakeRow)
        .where(IntakeRow.intake_id == intake_id)
        .execution_options(synchronize_session=False)
    )
    _set(session, intake_id, sound=0, refused=0, warned=0)


def add_rows(
    session: Session,
    intake_id: int,
    first_place: int,
    found: Sequence[PlannedRow | RowError],
) -> None:
    """Keeps checked rows, in the order of the file, from a place on."""
    values = [_values(row) for row in found]
    if values:
        numbered = [
            {"intake_id": intake_id, "place": first_place + number, **value}
            for number, value in enumerate(values)
        ]
        session.execute(insert(IntakeRow).execution_options(render_nulls=True), numbered)
    sound = sum(isinstance(row, PlannedRow) for row in found)
    warned = sum(
        isinstance(row, PlannedRow) and any(f.verdict is Verdict.WARN for f in row.findings)
        for row in found
    )
    _set(
        session,
        intake_id,
        sound=Intake.sound + sound,
        refused=Intake.refused + len(found) - sound,
        warned=Intake.warned + warned,
    )


def set_file(session: Session, intake_id: int, name: str) -> None:
    """Its table has arrived under that name; only now it can be read."""
    asked = find(session, intake_id).asked
    _set(session, intake_id, asked={**asked, "file": name})


def end_check(session: Session, intake_id: int, digest: str) -> None:
    """All rows are checked."""
    _set(session, intake_id, status=IntakeStatus.CHECKED, digest=digest)


def break_off(session: Session, intake_id: int, problem: str) -> None:
    """It cannot be used as a whole, and why."""
    _set(session, intake_id, status=IntakeStatus.BROKEN, problem=problem)


def order(session: Session, intake_id: int, how: Mapping[str, Any]) -> None:
    """The person says so: its sound rows are to become a batch.

    Raises:
        Conflict: It is not checked yet, cannot be queued, or has rows that were refused and `how`
            does not accept that.
    """
    found = find(session, intake_id)
    if found.status in (IntakeStatus.QUEUED, IntakeStatus.QUEUEING):
        return  # said twice
    if found.status is not IntakeStatus.CHECKED:
        raise Conflict(f"import {intake_id} is {found.status}: nothing of it can be queued")
    if not found.sound:
        raise Conflict("no row can be queued: correct the table and import it again")
    if found.refused and not how.get("accept_valid"):
        raise Conflict(
            f"{found.refused:,} rows cannot be used: correct them and import again, or queue the "
            f"other {found.sound:,} alone"
        )
    waiting = (Intake.id == intake_id, Intake.status == IntakeStatus.CHECKED)
    statement = update(Intake).where(*waiting)
    session.execute(
        statement.values(status=IntakeStatus.QUEUEING, order=dict(how), seen_at=func.now())
    )


def fill(session: Session, intake_id: int, before: Filled | None, now: Filled) -> Filled:
    """Notes how far it has become a batch; in the transaction that writes the jobs, and first.

    Raises:
        Conflict: It is not where the caller left it: another is at it.
    """
    session.execute(select(Intake.id).where(Intake.id == intake_id).with_for_update())
    found = find(session, intake_id)
    if found.status is not IntakeStatus.QUEUEING or found.filled != before:
        raise Conflict(f"import {intake_id} is being queued by another console")
    _set(session, intake_id, order={**(found.order or {}), "filled": asdict(now)})
    return now


def unfinished(session: Session) -> list[int]:
    """All imports that somebody should be at: after a crash nobody is."""
    query = select(Intake.id).where(Intake.status.in_(MOVING)).order_by(Intake.id)
    return list(session.scalars(query))


def end_queueing(session: Session, intake_id: int, batch_id: int) -> None:
    """It is a batch now."""
    _set(session, intake_id, status=IntakeStatus.QUEUED, batch_id=batch_id)


def take_back(session: Session, intake_id: int, earlier: int) -> None:
    """It was queued before as the batch `earlier`: a person is asked once more."""
    _set(session, intake_id, status=IntakeStatus.CHECKED, order={"queued_before": earlier})


class Digest:
    """What `Table.digest` is, row by row."""

    def __init__(self) -> None:
        self._said, self._begun = hashlib.sha256(b"["), False

    def add(self, row: PlannedRow) -> None:
        facts = [row.name, row.priority, row.spec.to_json()]
        comma = "," if self._begun else ""
        self._begun = True
        self._said.update(
            (comma + json.dumps(facts, sort_keys=True, separators=(",", ":"))).encode()
        )

    def hex(self) -> str:
        whole = self._said.copy()
        whole.update(b"]")
        return whole.hexdigest()


def _set(session: Session, intake_id: int, **values: Any) -> None:
    session.execute(
        update(Intake)
        .where(Intake.id == intake_id)
        .values(**values, seen_at=func.now())
        .execution_options(synchronize_session=False)
    )


def _values(row: PlannedRow | RowError) -> dict[str, Any]:
    planned = isinstance(row, PlannedRow)
    return {
        "line": row.line,
        "name": row.name,
        "spec": row.spec.to_json() if isinstance(row, PlannedRow) else None,
        "priority": row.priority if isinstance(row, PlannedRow) else 0,
        "reason": None if planned else row.reason,  # type: ignore[union-attr]
        "findings": [finding.to_json() for finding in row.findings],
    }
