"""Accepting and rejecting results, one or many in one deed, each deed with a way back."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import and_, delete, func, insert, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import audit, gallery
from barber.catalogue.audit import Verb
from barber.catalogue.gallery import Wanted
from barber.catalogue.owners import owned
from barber.catalogue.review_tables import Decision, ResultVerdict, VerdictChange
from barber.catalogue.tables import Job
from barber.errors import Conflict, NotFound

MOST_TOLD: Final = 100  # jobs that an entry of the audit log names
VERBS = {Decision.ACCEPTED: Verb.ACCEPT, Decision.REJECTED: Verb.REJECT, None: Verb.CLEAR_VERDICT}


def decide(
    session: Session, wanted: Wanted, decision: Decision | None, *, by: str, why: str = ""
) -> tuple[int, int]:
    """Gives every result of a gallery the same verdict, or takes verdicts away.

    Args:
        session: The session.
        wanted: Which results.
        decision: None takes verdicts away.
        by: Who asks.
        why: For people.

    Returns:
        The number of the deed, for `undo`, and how many verdicts it changed.

    Raises:
        Conflict: There is no such result, or all have this verdict.
    """
    deed = audit.next_id(session)
    count = len(session.execute(_changes(wanted, decision, deed)).all())
    if not count:
        raise Conflict(f"no such result is left that is not {decision or 'undecided'} already")
    audit.record(
        session,
        VERBS[decision],
        by,
        why=why,
        batch_id=wanted.batch_id,
        job_id=wanted.job_ids[0] if len(wanted.job_ids) == 1 else None,
        data={"results": count, "of": wanted.shown, "jobs": list(wanted.job_ids[:MOST_TOLD])},
        entry_id=deed,
    )
    mine = VerdictChange.audit_id == deed
    if decision is None:
        gone = select(VerdictChange.job_id).where(mine)
        _quietly(session, delete(ResultVerdict).where(ResultVerdict.job_id.in_(gone)))
    else:
        set_to = select(
            VerdictChange.job_id,
            VerdictChange.result_key,
            literal(str(decision)),
            literal(str(by)),
            VerdictChange.audit_id,
        ).where(mine)
        _put(session, set_to)
    return deed, count


def undo(session: Session, deed: int, *, owner: int | None, by: str) -> int:
    """Takes a deed back wherever nobody has decided anew since.

    Returns:
        How many verdicts are as they were.

    Raises:
        NotFound: No such deed.
        Conflict: Nothing is left of it to take back.
    """
    mine = [VerdictChange.audit_id == deed]
    if owner is not None:
        mine.append(VerdictChange.job_id.in_(select(Job.id).where(owned(owner))))
    if session.scalar(select(VerdictChange.job_id).where(*mine).limit(1)) is None:
        raise NotFound(f"no verdicts were given in deed {deed}")
    holds = ResultVerdict.audit_id
    untouched = (
        select(VerdictChange.job_id)
        .outerjoin(ResultVerdict, ResultVerdict.job_id == VerdictChange.job_id)
        .where(*mine, ~VerdictChange.undone)
        .where(or_(holds == deed, and_(VerdictChange.decision.is_(None), holds.is_(None))))
    )
    job_ids = list(session.scalars(untouched))
    if not job_ids:
        raise Conflict("nothing is left to undo: it is undone, or somebody decided since")
    taken = (VerdictChange.audit_id == deed, VerdictChange.job_id.in_(job_ids))
    _quietly(session, delete(ResultVerdict).where(ResultVerdict.job_id.in_(job_ids)))
    own = audit.next_id(session)
    told = {"undone": deed, "results": len(job_ids)}
    audit.record(session, Verb.UNDO, by, data=told, entry_id=own)
    before = select(
        VerdictChange.job_id,
        VerdictChange.result_key,
        VerdictChange.before,
        VerdictChange.before_who,
        literal(own),
    ).where(*taken, VerdictChange.before.is_not(None))
    _put(session, before)
    _quietly(session, update(VerdictChange).where(*taken).values(undone=True))
    return len(job_ids)


def _changes(wanted: Wanted, decision: Decision | None, deed: int) -> Any:
    """Writes down every job whose verdict changes, with what held before."""
    to = null() if decision is None else literal(str(decision))
    query = gallery.joined(
        select(
            literal(deed),
            Job.id,
            Job.result_key,
            to,
            gallery.Holds.decision,
            gallery.Holds.who,
            gallery.Holds.at,
        )
    ).where(*gallery.where(wanted), gallery.Holds.decision.is_distinct_from(to))
    names = ["audit_id", "job_id", "result_key", "decision", "before", "before_who", "before_at"]
    return insert(VerdictChange).from_select(names, query).returning(VerdictChange.job_id)


def _put(session: Session, rows: Any) -> None:
    statement = upsert(ResultVerdict).from_select(
        ["job_id", "result_key", "decision", "who", "audit_id"], rows
    )
    names = ("result_key", "decision", "who", "audit_id")
    fresh = {name: statement.excluded[name] for name in names} | {"at": func.now()}
    _quietly(session, statement.on_conflict_do_update(index_elements=["job_id"], set_=fresh))


def _quietly(session: Session, statement: Any) -> None:
    session.execute(statement.execution_options(synchronize_session=False))
