"""What an operator can do to a job, as one value: done the same way wherever it is asked for.

The command line, the API and bulk actions in the background all go through `Deed.do`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from barber.catalogue import deletion, operate, rework
from barber.catalogue.status import JobStatus
from barber.catalogue.tables import Job
from barber.errors import Conflict, InputError
from barber.plan import StageKind


class DeedVerb(StrEnum):
    """What can be done to a job."""

    RETRY = "retry"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    PRIORITY = "priority"
    DEADLINE = "deadline"
    DELETE = "delete"


WAITS: Final = (JobStatus.QUEUED, JobStatus.RUNNING)
FAILED: Final = (JobStatus.FAILED, JobStatus.CANCELLED)
ENDED: Final = (JobStatus.SUCCEEDED, *FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One thing to do to a job, with all that it needs."""

    verb: DeedVerb
    why: str = ""
    stage: int | None = None  # RETRY: this failed stage alone
    from_kind: StageKind | None = None  # RETRY: these stages and what follows, done or not
    params: Mapping[str, Any] | None = None  # RETRY: with other parameters
    priority: int | None = None  # PRIORITY
    deadline: datetime | None = None  # DEADLINE: None takes it away; RETRY: another one

    def __post_init__(self) -> None:
        again = (self.stage, self.from_kind, self.params)
        given = sum(each is not None for each in again)
        if given and self.verb is not DeedVerb.RETRY:
            raise InputError(f"a stage or parameters go with a retry, not with {self.verb}")
        if given > 1:
            raise InputError("a stage, stages to run from and parameters exclude each other")
        if self.deadline is not None and (self.from_kind or self.params):
            raise InputError("a deadline goes with a plain retry: set it before by itself")
        if self.deadline is not None and self.verb not in (DeedVerb.RETRY, DeedVerb.DEADLINE):
            raise InputError(f"a deadline goes with a retry, or alone, not with {self.verb}")
        if (self.verb is DeedVerb.PRIORITY) != (self.priority is not None):
            raise InputError("priority goes with the action priority, and with no other")

    @property
    def takes(self) -> tuple[JobStatus, ...]:
        """Of which status jobs are on which it does something."""
        match self.verb:
            case DeedVerb.RETRY:
                return (*FAILED, JobStatus.SUCCEEDED) if self.from_kind or self.params else FAILED
            case DeedVerb.DELETE:
                return ENDED
            case _:
                return WAITS

    @property
    def done(self) -> str:
        """What became of a job, in words, where that is the same for all of them."""
        match self.verb:
            case DeedVerb.PAUSE:
                return "is paused"
            case DeedVerb.RESUME:
                return "goes on"
            case DeedVerb.PRIORITY:
                return f"has priority {self.priority}"
            case DeedVerb.DEADLINE if self.deadline is not None:
                return f"ends by {self.deadline.isoformat(' ', 'minutes')}"
            case DeedVerb.DEADLINE:
                return "may take its time"
            case _:
                return ""

    def do(self, session: Session, job_id: int, *, by: str) -> str:
        """Does it to one job; returns what became of it, in words.

        Raises:
            NotFound: No such job.
            Conflict: The job is not in a state for it.
            InputError: The parameters, priority or deadline are none.
        """
        why = self.why
        match self.verb:
            case DeedVerb.RETRY:
                count = self._retry(session, job_id, by)
                return f"{count} stage{'' if count == 1 else 's'} set back"
            case DeedVerb.CANCEL:
                status = operate.cancel(session, job_id, by=by, why=why)
                return "cancelled" if status is JobStatus.CANCELLED else "stops at its next step"
            case DeedVerb.PAUSE:
                _check_waits(session, job_id, "a pause")  # it would hold back a later retry
                operate.pause(session, job_id, by=by, why=why)
                return self.done
            case DeedVerb.RESUME:
                operate.resume(session, job_id, by=by, why=why)
                return self.done
            case DeedVerb.PRIORITY:
                assert self.priority is not None  # by __post_init__
                _check_waits(session, job_id, "a priority")
                operate.set_priority(session, job_id, self.priority, by=by, why=why)
                return self.done
            case DeedVerb.DEADLINE:
                operate.set_deadline(session, job_id, self.deadline, by=by, why=why)
                return self.done
            case DeedVerb.DELETE:
                count = deletion.delete_job(session, job_id, by=by, why=why)
                return f"deleted with its {count} stages"

    def _retry(self, session: Session, job_id: int, by: str) -> int:
        why = self.why
        if self.from_kind is not None:
            return rework.run_from(session, job_id, self.from_kind, by=by, why=why)
        if self.params is not None:
            return rework.change_params(session, job_id, dict(self.params), by=by, why=why)
        return rework.retry(
            session, job_id, by=by, stage_id=self.stage, deadline=self.deadline, why=why
        )


def _check_waits(session: Session, job_id: int, what: str) -> None:
    status = session.scalar(select(Job.status).where(Job.id == job_id))
    if status is not None and JobStatus(status).final:
        raise Conflict(f"job {job_id} has ended already ({status}): {what} is for what waits")
