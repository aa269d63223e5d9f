"""What the page of a job shows, put together from what the catalogue knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from barber.catalogue.curves import CurveRow
from barber.catalogue.jobs import JobView, StageView
from barber.catalogue.status import StageStatus
from barber.plan import PlannedStage, StageKind, plan
from barber.spec import JobSpec, PortraitKey
from dashboard.drawings import Drawing, draw
from dashboard.graph import lay_out
from dashboard.inputs import inputs, stage_words

SMALL_PX = 128  # pictures up to this side are shown with their pixels, not smoothed
SEGMENTATION = "segmentation.png"  # what the parser sees in a stage's picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A button at a stage."""

    verb: str  # the endpoint that takes the stage's id
    button: str
    words: str  # what it does, in full


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCard:
    """What the page shows of a stage beside the stage itself."""

    stage: StageView
    words: str  # what it works on
    picture: str | None  # sha256 of its artifact's picture
    labels: str | None  # sha256 of the label map that belongs to the picture
    drawing: Drawing | None  # of its losses
    seconds: float | None  # so far, when it runs
    worker: str | None  # who has it, or had it last
    device: str | None
    tries: int  # attempts so far
    action: Action | None  # what this visitor may have done with it
    trace: str | None  # of the last attempt that failed, for operators


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A picture with what can be laid over it; all are digests of files."""

    title: str
    words: str
    portrait: PortraitKey | None = None  # the picture, or
    file: str | None = None
    own: str | None = None  # what the parser sees in it
    mask: str | None = None  # the target mask that it was made for
    is_first_mask: bool = False  # the one to paint on


def facts_of(
    view: JobView, curves: Mapping[int, Sequence[CurveRow]], now: datetime, *, operates: bool
) -> dict[str, Any]:
    """Everything that the job's page shows, to somebody who may change it or may not."""
    planned = {(stage.kind, stage.slot): stage for stage in plan(view.spec)}
    cards = {
        stage.id: _card(
            view,
            stage,
            planned.get((StageKind(stage.kind), stage.slot)),
            draw(curves.get(stage.id, ())),
            now,
            operates=operates,
        )
        for stage in view.stages
    }
    failed = [stage for stage in view.stages if stage.status is StageStatus.FAILED]
    stopped = any(stage.status is StageStatus.CANCELLED for stage in view.stages)
    side = next((row.side_px for row in view.portraits.values()), 0)
    return {
        "job": view.row,
        "view": view,
        "inputs": inputs(view.spec),
        "graph": lay_out(view.stages),
        "cards": cards,
        "layers": layers(view, cards),
        "failed": failed,
        "latest": _latest(view),
        "small": side <= SMALL_PX,
        "can_retry": operates and view.row.status.final and (bool(failed) or stopped),
        "can_cancel": operates and not view.row.status.final and not view.row.cancel_requested,
        "operates": operates,
        "seconds": _job_seconds(view, now),
        "now": now,
    }


def _card(
    view: JobView,
    stage: StageView,
    planned: PlannedStage | None,
    drawing: Drawing | None,
    now: datetime,
    *,
    operates: bool,
) -> StageCard:
    last = stage.attempts[-1] if stage.attempts else None
    return StageCard(
        stage=stage,
        words=_words(view.spec, planned),
        picture=_picture(stage),
        labels=_labels(stage),
        drawing=drawing,
        seconds=_seconds(stage, now),
        worker=stage.worker or (last.worker if last else None),
        device=last.device if last else None,
        tries=len(stage.attempts),
        action=_action(view, stage) if operates else None,
        trace=_trace(stage) if operates else None,
    )


def _action(view: JobView, stage: StageView) -> Action | None:
    """What `rework` would not refuse."""
    if stage.status is StageStatus.FAILED and not view.row.cancel_requested:
        return Action(verb="jobs.retry", button="Retry", words="Retry this stage")
    if stage.status is StageStatus.SUCCEEDED and view.row.status.final:
        words = "Run this stage and all after it again"
        return Action(verb="changes.rerun", button="Run again", words=words)
    return None


def _trace(stage: StageView) -> str | None:
    return next((a.trace for a in reversed(stage.attempts) if a.trace), None)


def layers(view: JobView, cards: Mapping[int, StageCard]) -> tuple[Layer, ...]:
    """The pictures of a job with the label maps that belong to them, as far as they are there."""
    of_key = {card.stage.key: card for card in cards.values()}
    identity = view.spec.identity
    found: list[Layer] = []
    for card in cards.values():
        stage = card.stage
        if stage.kind == StageKind.TARGET and card.picture:
            found.append(
                Layer(
                    title="Target mask",
                    words=card.words,
                    portrait=identity,
                    mask=card.picture,
                    is_first_mask=stage.slot == 0,
                )
            )
        elif stage.kind == StageKind.RECONSTRUCT and card.labels:
            found.append(
                Layer(title="Portrait", words=card.words, portrait=stage.portrait, own=card.labels)
            )
        elif stage.kind in (StageKind.ALIGN, StageKind.BLEND) and card.picture:
            masks = [of_key[key] for key in stage.needs if key in of_key]
            mask = next((m.picture for m in masks if m.stage.kind == StageKind.TARGET), None)
            title = "Aligned" if stage.kind == StageKind.ALIGN else "Result"
            words = card.words if title == "Aligned" else ""
            found.append(
                Layer(title=title, words=words, file=card.picture, own=card.labels, mask=mask)
            )
    return tuple(found)


def _words(spec: JobSpec, stage: PlannedStage | None) -> str:
    # a job planned by another version of the method may have stages that today's plan has not
    return stage_words(spec, stage) if stage is not None else ""


def _picture(stage: StageView) -> str | None:
    pictures = (f for name, f in stage.files.items() if name != SEGMENTATION)
    return next((f.sha256 for f in pictures if f.media_type == "image/png"), None)


def _labels(stage: StageView) -> str | None:
    file = stage.files.get(SEGMENTATION)
    return file.sha256 if file is not None else None


def _seconds(stage: StageView, now: datetime) -> float | None:
    if stage.status is StageStatus.RUNNING and stage.attempts:
        return (now - stage.attempts[-1].started_at).total_seconds()
    return stage.seconds


def _job_seconds(view: JobView, now: datetime) -> float | None:
    if view.row.started_at is None:
        return None
    return ((view.row.finished_at or now) - view.row.started_at).total_seconds()


def _latest(view: JobView) -> StageView | None:
    """The running stage whose preview says most about the result: the one nearest the end."""
    order = [StageKind.TARGET, StageKind.RECONSTRUCT, StageKind.ALIGN, StageKind.BLEND]
    shown = [
        s for s in view.stages if s.status is StageStatus.RUNNING and s.preview_step is not None
    ]
    return max(shown, key=lambda s: order.index(StageKind(s.kind)), default=None)
