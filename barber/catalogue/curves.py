"""How the losses of stages fell, attempt by attempt: for the page of a job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue.claims import Claim
from barber.catalogue.tables import Stage, StageCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCurve:
    """One optimisation of a stage."""

    phase: str  # "w_plus"
    steps: int  # that it takes in all
    names: tuple[str, ...]  # of the losses, "total" first
    # Per step that was kept: its number, how far the stage was (0..1), the losses in that order.
    points: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRow:
    """All phases of one attempt so far."""

    stage_id: int
    token: int
    phases: tuple[PhaseCurve, ...]


def record(session: Session, claim: Claim, phases: Sequence[dict[str, Any]]) -> bool:
    """Keeps an attempt's curve; False when another attempt has begun since.

    Unlike all else that a claim's holder tells, this also comes when the stage has just ended.
    """
    mine = select(Stage.id, Stage.token, literal(list(phases), JSONB)).where(
        Stage.id == claim.stage_id, Stage.token == claim.token
    )
    statement = upsert(StageCurve).from_select(["stage_id", "token", "phases"], mine)
    statement = statement.on_conflict_do_update(
        index_elements=["stage_id", "token"],
        set_={"phases": statement.excluded.phases, "at": func.now()},
    )
    return session.execute(statement.returning(StageCurve.stage_id)).first() is not None


def of_job(session: Session, job_id: int) -> dict[int, tuple[CurveRow, ...]]:
    """The curves of a job's stages by stage, oldest attempt first."""
    query = (
        select(StageCurve.stage_id, StageCurve.token, StageCurve.phases)
        .join(Stage, Stage.id == StageCurve.stage_id)
        .where(Stage.job_id == job_id)
        .order_by(StageCurve.stage_id, StageCurve.token)
    )
    found: dict[int, tuple[CurveRow, ...]] = {}
    for stage_id, token, phases in session.execute(query):
        row = CurveRow(
            stage_id=stage_id, token=token, phases=tuple(_phase(facts) for facts in phases)
        )
        found[stage_id] = (*found.get(stage_id, ()), row)
    return found


def _phase(facts: dict[str, Any]) -> PhaseCurve:
    return PhaseCurve(
        phase=facts["phase"],
        steps=facts["steps"],
        names=tuple(facts["names"]),
        points=tuple(tuple(point) for point in facts["points"]),
    )
