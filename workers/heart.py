"""The heartbeat of one running stage: lease, progress, curve and previews out, cancellation in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from barber.catalogue import curves, stages
from barber.catalogue.db import transaction
from barber.errors import Cancelled, StageHung
from barber.pixels import thumbnail
from barber.settings import Settings
from workers.curve import Curve
from workers.limits import Watch

if TYPE_CHECKING:  # the pool's parent imports this module, and torch only its child
    from barber.stages.descent import StepReport
    from workers.snapshots import Keeper

log = logging.getLogger(__name__)

PREVIEW_SIDE_PX = 256
REASONS = {
    stages.Pulse.CANCEL: "its job was cancelled",
    stages.Pulse.LATE: "its job's deadline passed",
    stages.Pulse.LOST: "its lease was lost",
}
LEAST_PATIENCE_S = 10.0  # with a stage that was told to stop, however short the leases
PREVIEW_EVERY = 4  # a preview costs a rendered picture: one per so many progress writes; curves too


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The last report of the stage's own thread."""

    done: float  # fraction of the stage, 0..1
    note: str  # "align 12/140"
    losses: Mapping[str, float]
    number: int  # counts reports, to tell a new one from one already written


class Heart:
    """A thread that keeps a claim alive; `on_step` is called by the stage, in its own thread.

    Nothing the database does here can fail the stage: a heart that cannot write is a heart that
    misses beats, and a lease that runs out is settled by the dispatcher.
    """

    def __init__(
        self,
        engine: Engine,
        claim: stages.Claim,
        settings: Settings,
        *,
        watch: Watch,
        on_hang: Callable[[StageHung | Cancelled], None],
        keeper: Keeper | None = None,
        is_leaving: Callable[[], bool] = lambda: False,
        on_middle: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine, self._claim, self._settings = engine, claim, settings
        self._watch, self._on_hang = watch, on_hang
        self._keeper = keeper
        self._is_leaving, self._on_middle = is_leaving, on_middle
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heart", daemon=True)
        self._progress: Progress | None = None
        self._preview: tuple[int, bytes] | None = None
        self._preview_at = time.monotonic()
        self._curve = Curve()
        self._curve_count, self._curve_at = 0, time.monotonic()  # of the last one written
        self.pulse = stages.Pulse.GO

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._write_last_curve()

    def on_step(self, report: StepReport) -> None:
        """Takes the stage's report, and a snapshot of the stage where one is due.

        Raises:
            Cancelled: The job was cancelled or is too late, another worker has the stage, or this
                one leaves.
            StageTimeout: The stage is over its soft limit.
        """
        if self.pulse is not stages.Pulse.GO:
            raise Cancelled(REASONS[self.pulse])
        if self._is_leaving():
            self._leave(report)
        elif self._keeper is not None:
            self._keeper.after_step(report)
        self._watch.step()
        number = self._progress.number + 1 if self._progress else 1
        self._progress = Progress(
            done=report.done,
            note=f"{report.phase} {report.step}/{report.steps}",
            losses=dict(report.losses),
            number=number,
        )
        self._curve.add(report)
        self._take_preview(report, number)
        if report.done >= 0.5:
            self._on_middle()

    def _leave(self, report: StepReport) -> None:
        """Ends the stage where it can be gone on from: after a phase's last step, a step later."""
        if self._keeper is not None:
            if report.snapshot is None:
                return
            self._keeper.take(report)
        raise Cancelled("its worker shuts down")

    def _take_preview(self, report: StepReport, number: int) -> None:
        if report.preview is None or time.monotonic() - self._preview_at < self._picture_every_s:
            return
        self._preview = (number, thumbnail(report.preview(), PREVIEW_SIDE_PX))
        self._preview_at = time.monotonic()

    def _live(self) -> None:
        lease_s = self._settings.lease_s
        pause_s = max(0.05, min(lease_s / 3, self._settings.progress_s))
        written, beat_at = 0, time.monotonic()
        while not self._stop.wait(pause_s):
            hang = self._watch.hang()
            if hang is not None:
                self._on_hang(hang)
                return
            progress = self._progress
            fresh = progress is not None and progress.number != written
            if not fresh and time.monotonic() - beat_at < lease_s / 3 - pause_s / 2:
                continue
            if not self._beat(progress):
                continue
            written, beat_at = progress.number if progress else 0, time.monotonic()
            if self.pulse is not stages.Pulse.GO:
                self._await_the_end()
                return

    def _await_the_end(self) -> None:
        """Gives a stage that is of no use any more two leases to notice, then ends it by force."""
        patience_s = max(2 * self._settings.lease_s, LEAST_PATIENCE_S)
        if not self._stop.wait(patience_s):
            late = f"{REASONS[self.pulse]}, and it made no step for {patience_s:g} s"
            self._on_hang(Cancelled(late))

    def _beat(self, progress: Progress | None) -> bool:
        """Writes one heartbeat; False when the database could not be reached."""
        preview, self._preview = self._preview, None
        try:
            with transaction(self._engine) as session:
                self.pulse = stages.heartbeat(
                    session,
                    self._claim,
                    lease_s=self._settings.lease_s,
                    progress=progress.done if progress else None,
                    note=progress.note if progress else None,
                    losses=progress.losses if progress else None,
                )
                if preview is not None and self.pulse is stages.Pulse.GO:
                    stages.record_preview(session, self._claim, step=preview[0], png=preview[1])
                if time.monotonic() - self._curve_at >= self._picture_every_s:
                    self._write_curve(session)
        except DBAPIError as error:
            log.warning("a heartbeat was missed: %s", error.orig, extra=self._facts)
            return False
        return True

    def _write_curve(self, session: Session) -> None:
        count = self._curve.count
        if count > self._curve_count and curves.record(session, self._claim, self._curve.phases()):
            self._curve_count, self._curve_at = count, time.monotonic()

    def _write_last_curve(self) -> None:
        """What was not drawn yet when the stage ended; nothing is lost without it but a line."""
        if self._curve.count == self._curve_count:
            return
        try:
            with transaction(self._engine) as session:
                self._write_curve(session)
        except DBAPIError as error:
            log.warning("the end of a curve was lost: %s", error.orig, extra=self._facts)

    @property
    def _picture_every_s(self) -> float:
        return PREVIEW_EVERY * self._settings.progress_s

    @property
    def _facts(self) -> dict[str, int]:
        return {"job_id": self._claim.job_id, "stage_id": self._claim.stage_id}
