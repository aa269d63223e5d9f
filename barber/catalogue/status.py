"""The words for what state a row is in, and which may follow which. Plain data, no SQL.

The migrations write the same words into CHECK constraints and the same steps into the table
`transition`, whose trigger refuses any other step, whoever asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobStatus(StrEnum):
    """Of a job. A final one has `finished_at`."""

    QUEUED = "queued"  # nothing of it was ever handed out
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a stage failed for good, and nothing else of it could run
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class StageStatus(StrEnum):
    """Of a stage. A final one has `finished_at`; only a running one has a lease."""

    PENDING = "pending"  # in the catalogue alone: waits for its needs, its turn or its backoff
    DISPATCHED = "dispatched"  # a message about it is on its way
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # for good: only an operator's retry brings it back
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.CANCELLED)


class ArtifactStatus(StrEnum):
    """Of an artifact. A building one names the stage that builds it, a ready one has files."""

    MISSING = "missing"
    BUILDING = "building"
    READY = "ready"


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    ERROR = "error"  # the stage raised
    LOST = "lost"  # its lease ran out
    FENCED = "fenced"  # it came back after its lease was lost; what it brought was dropped
    CANCELLED = "cancelled"
    RETURNED = "returned"  # its worker shut down and handed the stage back


class WorkerStatus(StrEnum):
    """What a worker last said of itself."""

    READY = "ready"
    BUSY = "busy"
    DRAINING = "draining"  # it was told to stop: takes nothing new, finishes or hands back
    STOPPED = "stopped"
    LOST = "lost"  # it fell silent; what it held comes back when its leases end

    @property
    def present(self) -> bool:
        return self not in (WorkerStatus.STOPPED, WorkerStatus.LOST)


class EventKind(StrEnum):
    """What happened; the rows of `event` tell a job's story in order."""

    SUBMITTED = "submitted"
    STARTED = "started"
    DISPATCHED = "dispatched"
    RESENT = "resent"  # its message was lost: back to pending
    RECALLED = "recalled"  # a need was lost or failed: back to pending
    CLAIMED = "claimed"
    CONTINUED = "continued"  # an attempt goes on from the snapshot of an earlier one
    STARTED_OVER = "started_over"  # a repeated attempt has no snapshot that it can use
    NOT_READY = "not_ready"  # its message came before its needs: back to pending
    DECLINED = "declined"  # the worker that got its message cannot serve it: back to pending
    SUCCEEDED = "succeeded"
    REUSED = "reused"  # succeeded without running: the artifact was there
    ERROR = "error"
    LOST = "lost"
    FAILED = "failed"
    RETURNED = "returned"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    PAUSED = "paused"
    RESUMED = "resumed"
    PRIORITY = "priority"
    DEADLINE = "deadline"  # set or cleared
    EXPIRED = "expired"  # the deadline passed before the job ended
    QUARANTINED = "quarantined"  # an artifact's file was damaged: it is missing again
    JOB_SUCCEEDED = "job_succeeded"
    JOB_FAILED = "job_failed"
    JOB_CANCELLED = "job_cancelled"


TRANSITIONS: Mapping[str, frozenset[tuple[str, str]]] = {
    "job": frozenset(
        {
            (JobStatus.QUEUED, JobStatus.RUNNING),
            (JobStatus.QUEUED, JobStatus.CANCELLED),
            (JobStatus.QUEUED, JobStatus.FAILED),  # its deadline passed
            (JobStatus.RUNNING, JobStatus.SUCCEEDED),
            (JobStatus.RUNNING, JobStatus.FAILED),
            (JobStatus.RUNNING, JobStatus.CANCELLED),
            (JobStatus.FAILED, JobStatus.RUNNING),  # retry
            (JobStatus.CANCELLED, JobStatus.RUNNING),  # retry
            (JobStatus.SUCCEEDED, JobStatus.RUNNING),  # its result was damaged
        }
    ),
    "stage": frozenset(
        {
            (StageStatus.PENDING, StageStatus.DISPATCHED),
            (StageStatus.PENDING, StageStatus.SUCCEEDED),  # reused
            (StageStatus.PENDING, StageStatus.CANCELLED),
            (StageStatus.PENDING, StageStatus.FAILED),  # its job's deadline passed
            (StageStatus.DISPATCHED, StageStatus.RUNNING),
            (StageStatus.DISPATCHED, StageStatus.PENDING),  # resent, recalled, not ready
            (StageStatus.DISPATCHED, StageStatus.FAILED),  # deadline; another method version
            (StageStatus.DISPATCHED, StageStatus.CANCELLED),
            (StageStatus.RUNNING, StageStatus.SUCCEEDED),
            (StageStatus.RUNNING, StageStatus.PENDING),  # error, loss, handed back
            (StageStatus.RUNNING, StageStatus.FAILED),
            (StageStatus.RUNNING, StageStatus.CANCELLED),
            (StageStatus.FAILED, StageStatus.PENDING),  # retry
            (StageStatus.CANCELLED, StageStatus.PENDING),  # retry
            (StageStatus.SUCCEEDED, StageStatus.PENDING),  # its artifact was damaged
        }
    ),
    "artifact": frozenset(
        {
            (ArtifactStatus.MISSING, ArtifactStatus.BUILDING),
            (ArtifactStatus.BUILDING, ArtifactStatus.READY),
            (ArtifactStatus.BUILDING, ArtifactStatus.MISSING),
            (ArtifactStatus.READY, ArtifactStatus.MISSING),  # quarantined
        }
    ),
}
