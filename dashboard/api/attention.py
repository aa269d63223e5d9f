"""What waits for a person, and the workers, as the console's pages show them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from barber.catalogue import activity, dead, workers
from barber.catalogue.dead import DeadGroup
from barber.catalogue.people_tables import Role
from barber.catalogue.refusals import Source
from barber.catalogue.status import WorkerStatus
from barber.plan import StageKind
from dashboard import access, record
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain
from dashboard.api.shapes import Given


class Failures(Given):
    """Jobs that failed for good of one cause."""

    key: str = Field(description="The cause's own, the same tomorrow.")
    stage: StageKind | None = Field(description="Which failed first.")
    error_class: str | None
    cause: str | None = Field(description="The error without what differs between jobs.")
    example: str | None = Field(description="One error in full.")
    jobs: int
    latest_jobs: list[int] = Field(description="Up to five ids, newest first.")
    latest_at: datetime | None
    first: str = Field(description="What to see to before; may be empty.")
    command: str = Field(description="What moves them again.")
    retriable: bool = Field(description="Whether a retry may mend it.")


class Held(Given):
    """Open jobs that somebody has paused."""

    what: str
    jobs: int
    command: str
    batch_id: int | None
    job_id: int | None


class Refused(Given):
    """A message that nobody will work on; equal ones are one."""

    id: int
    source: Source
    reason: str
    message: str = Field(description="Its beginning.")
    times: int
    first_at: datetime
    last_at: datetime


class Unserved(Given):
    """Jobs that wait for a bundle that no live worker holds."""

    bundle: str
    bundle_name: str
    jobs: int
    sentence: str = Field(description="What is missing, and the remedy.")


class Outbox(Given):
    """Messages that have not left yet."""

    count: int
    oldest_s: float


class Attention(Given):
    """Everything that will not move by itself."""

    groups: list[Failures]
    held: list[Held]
    unserved: list[Unserved]
    full_disk: str | None = Field(description="Why everything waits for room, if it does.")
    refused: list[Refused]
    outbox: Outbox
    quarantined: int = Field(description="Damaged artifacts of the last day.")


class Doing(Given):
    """The stage that a worker holds."""

    stage_id: int
    job_id: int
    job_name: str
    kind: StageKind
    progress: float
    since: datetime | None


class Worker(Given):
    """A worker as it describes itself."""

    name: str
    host: str
    device: str
    queues: list[str]
    bundle: str | None
    bundle_name: str | None
    versions: dict[str, Any]
    memory: dict[str, Any] = Field(description="Bytes: process, device, reserved.")
    status: WorkerStatus
    alive: bool
    started_at: datetime
    seen_at: datetime
    silent_s: float
    warm_up_s: float | None
    doing: Doing | None


class Workers(Given):
    """The workers, and the jobs that none of them would do."""

    workers: list[Worker]
    unserved: list[Unserved]


@endpoint("GET", "/attention", role=Role.VIEWER, answer=Attention, tag="system")
def attention() -> dict[str, Any]:
    """What will not move by itself any more, why, and what moves it."""
    mine = access.owner()
    with record.transaction() as session:
        found = dead.dead(session, owner=mine)
    return {
        "groups": [_group(group) for group in found.groups],
        "held": [plain(held) for held in found.held],
        "unserved": [plain(lack) for lack in found.unserved],
        "full_disk": found.full_disk,
        "refused": [plain(refusal) for refusal in found.refused],
        "outbox": plain(found.outbox),
        "quarantined": found.quarantined,
    }


@endpoint("GET", "/workers", role=Role.VIEWER, answer=Workers, tag="system")
def list_workers() -> dict[str, Any]:
    """Every worker that ever reported, and what each does now."""
    mine = access.owner()
    with record.transaction() as session:
        rows = workers.listed(session)
        doing = {stage.worker: stage for stage in activity.running(session, owner=mine)}
        unserved = workers.unserved(session, owner=mine)
    listed = [
        plain(row, "pid", "alive_until")
        | {"doing": plain(doing[row.name], "worker") if row.name in doing else None}
        for row in rows
    ]
    return {"workers": listed, "unserved": [plain(lack) for lack in unserved]}


def _group(group: DeadGroup) -> dict[str, Any]:
    return plain(group) | {"key": group.common.key}
