"""Everybody's drawer: the portraits that they sent, newest first, under their own files' names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue.intake_tables import SentPortrait
from barber.catalogue.tables import Portrait
from barber.spec import PortraitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A portrait in a drawer."""

    key: PortraitKey
    name: str
    sent_at: datetime
    width: int  # of the first file that showed it
    height: int


def put(session: Session, person_id: int | None, portraits: Mapping[PortraitKey, str]) -> None:
    """Puts portraits by key, each under a name, on top; nothing for nobody."""
    if person_id is None or not portraits:
        return
    statement = upsert(SentPortrait).values(
        [
            {"person_id": person_id, "portrait": key, "name": name}
            for key, name in sorted(portraits.items())
        ]
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[SentPortrait.person_id, SentPortrait.portrait],
            set_={"name": statement.excluded.name, "sent_at": func.now()},
        )
    )


def listed(session: Session, person_id: int, *, limit: int, skip: int = 0) -> list[Sent]:
    """What a person sent, newest first."""
    query = (
        select(
            SentPortrait.portrait,
            SentPortrait.name,
            SentPortrait.sent_at,
            Portrait.width,
            Portrait.height,
        )
        .join(Portrait, Portrait.sha256 == SentPortrait.portrait)
        .where(SentPortrait.person_id == person_id)
        .order_by(SentPortrait.sent_at.desc(), SentPortrait.name)
        .limit(limit)
        .offset(skip)
    )
    return [
        Sent(
            key=PortraitKey(row.portrait),
            name=row.name,
            sent_at=row.sent_at,
            width=row.width,
            height=row.height,
        )
        for row in session.execute(query)
    ]


def named(session: Session, person_id: int, name: str) -> PortraitKey | None:
    """The latest portrait that a person sent under a name."""
    query = (
        select(SentPortrait.portrait)
        .where(SentPortrait.person_id == person_id, SentPortrait.name == name)
        .order_by(SentPortrait.sent_at.desc())
        .limit(1)
    )
    found = session.scalar(query)
    return None if found is None else PortraitKey(found)


def names(session: Session, person_id: int, keys: Iterable[PortraitKey]) -> dict[PortraitKey, str]:
    """What a person calls portraits; the first file's name for those that are not theirs."""
    wanted = set(keys)
    query = (
        select(Portrait.sha256, func.coalesce(SentPortrait.name, Portrait.name))
        .outerjoin(
            SentPortrait,
            (SentPortrait.portrait == Portrait.sha256) & (SentPortrait.person_id == person_id),
        )
        .where(Portrait.sha256.in_(wanted))
    )
    return {PortraitKey(key): name for key, name in session.execute(query)}


def take_out(session: Session, person_id: int, keys: Iterable[PortraitKey]) -> int:
    """Takes portraits out of a drawer, and says how many; jobs that use them keep them."""
    mine = (SentPortrait.person_id == person_id, SentPortrait.portrait.in_(list(keys)))
    return len(
        session.execute(delete(SentPortrait).where(*mine).returning(SentPortrait.name)).all()
    )
