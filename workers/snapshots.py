"""One claim's snapshots: taken between two steps at a bounded rate, found again by the next claim.

Nothing here can fail a stage: one that cannot leave a snapshot goes on without, and one that finds
none, or a damaged one, or another machine's, starts at its beginning and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from barber.catalogue import snapshots
from barber.catalogue.db import transaction
from barber.catalogue.snapshots import Kept, SnapshotFiles
from barber.catalogue.stages import Claim
from barber.errors import StoreError
from barber.plan import ArtifactKey

if TYPE_CHECKING:  # the pool's parent imports this module, and torch only its child
    from barber.stages.descent import StepReport

log = logging.getLogger(__name__)

# A step may have no snapshot (a phase's last), so one is due a step before the fiftieth.
MOST_STEPS = 49


class Keeper:
    """Writes and finds the snapshots of one claim.

    Args:
        files: Where they lie.
        claim: The claim.
        facts: All that the stage's bytes follow from besides the artifact's key.
        every_s: Least time between two snapshots, unless so many steps force one.
    """

    def __init__(
        self, files: SnapshotFiles, claim: Claim, facts: Mapping[str, str], *, every_s: float
    ) -> None:
        self._files, self._claim, self._facts = files, claim, facts
        self._every_s = every_s
        self._steps, self._at = 0, time.monotonic()
        self._is_first, self._has_failed = True, False

    def find(self) -> tuple[Kept | None, str]:
        """The snapshot to go on from; without one, why a repeated attempt starts over."""
        kept, refused = self._files.find(self._claim.planned.key, self._facts)
        if kept is not None:
            return kept, ""
        if refused:
            return None, "; ".join(refused)
        return None, "there is no snapshot of it" if self._claim.token > 1 else ""

    def after_step(self, report: StepReport) -> None:
        """Takes a snapshot when one is due."""
        self._steps += 1
        if self._steps >= MOST_STEPS or time.monotonic() - self._at >= self._every_s:
            self.take(report)

    def take(self, report: StepReport) -> bool:
        """Takes a snapshot now; False where the step has none or it cannot be written."""
        if report.snapshot is None:
            return False
        snapshot = report.snapshot()
        note = f"{report.phase} {report.step}/{report.steps}"
        kept = Kept(taken=snapshot.taken, note=note, data=snapshot.to_bytes())
        self._steps, self._at = 0, time.monotonic()
        try:
            path = self._files.write(self._claim, self._facts, kept)
            if self._is_first:  # what earlier attempts left is behind this one
                self._files.remove([self._claim.planned.key], but=path)
            self._is_first = False
        except (StoreError, OSError) as error:
            if not self._has_failed:
                log.warning("the stage goes on without snapshots: %s", error, extra=self._ids)
            self._has_failed = True
            return False
        return True

    @property
    def _ids(self) -> dict[str, int]:
        return {"job_id": self._claim.job_id, "stage_id": self._claim.stage_id}


def tidy(engine: Engine, files: SnapshotFiles, claim: Claim, *, drop: bool = False) -> None:
    """Removes the snapshots of a claim's artifact: at once, or when no stage needs them any more.

    What cannot be removed now is the dispatcher's to sweep.
    """
    key = claim.planned.key
    try:
        if drop or (key in files.artifacts() and not _is_wanted(engine, key)):
            files.remove([key])
    except (OSError, DBAPIError) as error:
        ids = {"job_id": claim.job_id, "stage_id": claim.stage_id}
        log.warning("snapshots stay until they are swept: %s", error, extra=ids)


def _is_wanted(engine: Engine, key: ArtifactKey) -> bool:
    with transaction(engine) as session:
        return bool(snapshots.wanted(session, [key]))
