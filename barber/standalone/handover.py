"""What stopped workers held goes back to the queue at once, its budgets untouched."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Engine

from barber.catalogue import activity, jobs, stages
from barber.catalogue.db import transaction
from barber.plan import plan

REASON = "its worker was stopped"


def hand_back_stages(engine: Engine, workers: Collection[str]) -> int:
    """Hands back every running stage of workers that certainly run no more; returns how many.

    Without this the stages would wait for their leases to end, and count as lost.

    Args:
        engine: The catalogue.
        workers: Their names.
    """
    with transaction(engine) as session:
        held = [stage for stage in activity.running(session) if stage.worker in workers]
    return sum(_hand_back(engine, stage.job_id, stage.stage_id) for stage in held)


def _hand_back(engine: Engine, job_id: int, stage_id: int) -> bool:
    with transaction(engine) as session:
        view = jobs.job(session, job_id)
        stage = next(stage for stage in view.stages if stage.id == stage_id)
        planned = {(p.kind, p.slot): p for p in plan(view.spec)}[stage.kind, stage.slot]
        claim = stages.Claim(
            stage_id=stage_id,
            job_id=job_id,
            token=stage.token,
            spec=view.spec,
            planned=planned,
            bundle_name=view.bundle_name,
        )
        return stages.hand_back(session, claim, REASON)
