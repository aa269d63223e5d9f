"""That the disk of the store is full, as a dispatcher finds it: for people, who look elsewhere than
in its log when nothing moves.
"""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue.tables import Control

FULL_DISK = "full disk"  # the row of `control` whose presence tells it


def tell(session: Session, least_mb: float | None) -> None:
    """Notes that less than so many MB are free, so that nothing is handed out; None: no longer."""
    session.execute(delete(Control).where(Control.name == FULL_DISK))
    if least_mb is not None:
        row = upsert(Control).values(name=FULL_DISK, value={"least_mb": least_mb})
        session.execute(row.on_conflict_do_nothing())


def full_disk(session: Session) -> str | None:
    """What keeps everything waiting, in a sentence; None while there is room."""
    query = select(Control.value["least_mb"].astext).where(Control.name == FULL_DISK)
    least_mb = session.scalar(query)
    if least_mb is None:
        return None
    return (
        f"the disk of the results has less than {float(least_mb):g} MB free, so no stage is handed "
        "out: make room (`barber gc --dry-run` tells what nobody needs), and all goes on by itself"
    )
