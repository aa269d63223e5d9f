"""What the API takes and gives, as models: checked at both doors, and told in its description."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from barber.catalogue.audit import Verb
from barber.catalogue.deeds import DeedVerb
from barber.catalogue.listing import Sort
from barber.catalogue.people_tables import Role, Via
from barber.catalogue.status import JobStatus, Outcome, StageStatus
from barber.moments import YEARS, in_utc
from barber.plan import StageKind
from barber.spec import NoiseMode
from barber.table_rows import MAX_SEED

Id = Annotated[int, Field(ge=1, le=2**63 - 2)]
Priority = Annotated[int, Field(ge=-1000, le=1000)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


def meant(moment: datetime) -> datetime:
    """The moment in UTC. Raises ValueError for one that nobody can mean."""
    if moment.year not in YEARS:
        raise ValueError(f"give a moment of the years {YEARS[0]} to {YEARS[-1]}")
    return in_utc(moment)


Moment = Annotated[AwareDatetime, AfterValidator(meant)]
Why = Annotated[str, Field(max_length=500, description="Kept with the job and in the audit log.")]


class Asked(BaseModel):
    """What a request brings; a field that nobody knows is a mistake to be told."""

    model_config = ConfigDict(extra="forbid")


class Given(BaseModel):
    """What an answer holds."""

    model_config = ConfigDict(from_attributes=True)


class ProblemFacts(Given):
    """What went wrong."""

    code: str = Field(description="One word for programs: not_found, conflict, bad_request, ..")
    message: str = Field(description="One sentence for people.")
    fields: list[dict[str, str]] | None = Field(None, description="Of a request: field, problem.")
    rows: list[dict[str, Any]] | None = Field(None, description="Of a table: line, name, reason.")


class Problem(Given):
    """The one shape of errors."""

    error: ProblemFacts


class Paging(Asked):
    """Which page."""

    before: Id | None = Field(None, description="The page below this id.")
    limit: int = Field(50, ge=1, le=200)


class Filter(Asked):
    """Jobs that meet every condition given."""

    batch: Id | None = None
    status: list[JobStatus] = Field(default_factory=list)
    failed_in: StageKind | None = Field(None, description="A stage of this kind has failed.")
    error: str | None = Field(None, max_length=100, description="Class of the error.")
    cause: str | None = Field(None, pattern="^[0-9a-f]{16}$", description="`key` of a failure.")
    bundle: str | None = Field(None, max_length=200)
    person: str | None = Field(None, max_length=200, description="Who submitted it.")
    priority: Priority | None = None
    text: str | None = Field(
        None,
        min_length=3,
        max_length=200,
        description="In the job's name, its error or its batch's name; or an artifact's key.",
    )
    since: datetime | None = Field(None, description="Submitted then or later.")
    until: datetime | None = Field(None, description="Submitted before.")
    mine: bool = Field(False, description="Of own batches alone.")


class JobsAsked(Filter):
    """A page of jobs."""

    sort: Sort = Sort.NEWEST
    before: str | None = Field(None, max_length=40, description="The page after this place.")
    limit: int = Field(50, ge=1, le=200)


class Batch(Given):
    """A batch with its progress."""

    id: int
    name: str
    submitted_by: str | None
    created_at: datetime
    paused: bool
    filling: bool = Field(description="It is being queued; none of its jobs is handed out yet.")
    refused: list[dict[str, Any]] = Field(description="Rows that became no job.")
    counts: Mapping[JobStatus, int]
    progress: float = Field(ge=0, le=1)
    finished: bool
    page: str = Field(description="Path of its page in the console.")


class Batches(Given):
    """A page of batches, newest first."""

    batches: list[Batch]
    next: str | None = Field(description="Path of the next page.")


class OneBatch(Given):
    """One batch."""

    batch: Batch


class Job(Given):
    """A job in a list."""

    id: int
    batch_id: int
    batch_name: str
    name: str
    status: JobStatus
    priority: int
    paused: bool
    cancel_requested: bool
    deadline: datetime | None
    progress: float
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error_class: str | None
    error: str | None
    result_file: str | None = Field(description="Digest of the result's PNG.")
    identity: str
    portraits: list[str] = Field(description="Keys, identity first.")
    warnings: int
    result: str | None = Field(description="Path of the result's PNG.")
    page: str


class Jobs(Given):
    """A page of jobs, in the order asked for."""

    jobs: list[Job]
    next: str | None


class Attempt(Given):
    """One try of a stage."""

    worker: str
    device: str
    started_at: datetime
    ended_at: datetime | None
    from_step: int | None = Field(description="Steps that an earlier attempt spared it.")
    outcome: Outcome | None
    error_class: str | None
    error: str | None
    trace: str | None = Field(description="Of the exception; for operators.")


class Stage(Given):
    """One stage of a job."""

    id: int
    kind: StageKind
    slot: int
    key: str
    needs: list[str]
    portrait: str | None
    status: StageStatus
    errors: int
    losses: int
    max_errors: int
    max_losses: int
    not_before: datetime | None
    dispatched_at: datetime | None
    ready_at: datetime | None
    lease_until: datetime | None
    finished_at: datetime | None
    worker: str | None
    progress: float | None
    note: str | None
    losses_now: dict[str, float] | None
    error_class: str | None
    error: str | None
    preview_step: int | None
    reused: bool
    seconds: float | None
    attempts: list[Attempt]
    pictures: dict[str, str] = Field(description="Paths of its pictures, by name.")


class Event(Given):
    """Something that happened to a job."""

    id: int
    at: datetime
    batch_id: int | None
    job_id: int | None
    stage_id: int | None
    kind: str
    data: dict[str, Any]


class WholeJob(Job):
    """All that is known of a job."""

    bundle_name: str
    waits_for: str | None
    spec: dict[str, Any]
    findings: list[dict[str, Any]]
    dropped: list[str]
    stages: list[Stage]
    events: list[Event]


class OneJob(Given):
    """One job."""

    job: WholeJob


class RetryAsked(Asked):
    """Which stages run again; without anything, those that failed."""

    stage: Id | None = Field(None, description="Of several failed stages, only this one.")
    from_stage: Id | None = Field(None, description="This one and all after it, done or not.")
    from_kind: StageKind | None = Field(None, description="These and all after them, done or not.")
    params: dict[str, Any] | None = Field(None, description="Other parameters, by stage.")
    deadline: Moment | None = Field(None, description="A new one, with a plain retry.")
    why: Why = ""


class Retried(Given):
    """How many stages run again."""

    job_id: int
    stages_set_back: int


class Because(Asked):
    """Why."""

    why: Why = ""


class Cancelled(Given):
    """The job's status; "running": it stops at the next step of what runs."""

    job_id: int
    status: JobStatus


class Deleted(Given):
    """What went."""

    job_id: int
    outcome: str


class PriorityAsked(Because):
    """Another place among those that wait."""

    priority: Priority


class DeadlineAsked(Because):
    """By when a job must have ended."""

    deadline: datetime | None = Field(description="With its zone; null lets it take its time.")

    @field_validator("deadline")
    @classmethod
    def has_a_zone(cls, moment: datetime | None) -> datetime | None:
        """Raises ValueError for a moment that is another one elsewhere."""
        if moment is not None and moment.tzinfo is None:
            raise ValueError("a deadline needs its zone, such as 2026-11-23T06:30:00Z")
        return moment and meant(moment)


class CloneAsked(DeadlineAsked):
    """How a copy differs from its original; what is absent is as there."""

    name: Name | None = None
    params: dict[str, Any] = Field(default_factory=dict, description="By stage.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    priority: Priority | None = None
    deadline: datetime | None = None


class Cloned(Given):
    """The copy."""

    job_id: int
    copy_id: int
    page: str


class Parameter(Given):
    """One parameter of a job."""

    stage: StageKind
    name: str
    value: bool | int | float | str
    official: bool | int | float | str
    kind: Literal["flag", "choice", "whole", "number"]
    choices: list[str]
    least: float | None
    most: float | None


class Parameters(Given):
    """All parameters of a job with their ranges."""

    parameters: list[Parameter]


class PhaseCurve(Given):
    """How losses fell in one optimisation."""

    phase: str
    steps: int
    names: list[str] = Field(description="Of the losses, total first.")
    points: list[list[float | None]] = Field(description="Step, done (0..1), then the losses.")


class StageCurve(Given):
    """How losses fell in one attempt."""

    stage_id: int
    attempt: int = Field(description="From 1 up, as `attempts` of the stage lists them.")
    phases: list[PhaseCurve]


class Curves(Given):
    """Of every attempt of a job's stages that told its losses."""

    curves: list[StageCurve]


class Changed(Given):
    """What was changed."""

    job_id: int | None = None
    batch_id: int | None = None
    paused: bool | None = None
    priority: int | None = None
    deadline: datetime | None = None
    jobs: int | None = Field(None, description="How many jobs it reached.")


class ActionAsked(Asked):
    """An action on all jobs of a filter; look with `dry_run` first."""

    action: DeedVerb
    filter: Filter = Field(default_factory=Filter)
    job_ids: list[Id] = Field(default_factory=list, max_length=1000)
    everything: bool = Field(False, description="Needed for a filter without any condition.")
    priority: Priority | None = Field(None, description="For the action priority.")
    from_kind: StageKind | None = Field(
        None, description="Of a retry: these stages and what follows, done or not."
    )
    params: dict[str, Any] | None = Field(None, description="Of a retry: other ones, by stage.")
    deadline: Moment | None = Field(
        None, description="Of a retry, or for the action deadline; null takes it away."
    )
    why: Annotated[str, Field(min_length=1, max_length=500)]
    dry_run: bool = Field(False, description="Only count.")
    expected: int | None = Field(None, description="The count that was shown; another is refused.")
    after: int = Field(0, ge=0, description="Go on after this job: `next` of the answer before.")
    up_to: int | None = Field(None, description="`up_to` of the first answer.")
    limit: int = Field(200, ge=1, le=500, description="Jobs changed by this request.")


class Verdict(Given):
    """What became of one job."""

    job_id: int
    done: bool
    outcome: str


class ActionDone(Given):
    """Verdicts; while `next` is given, ask again with it as `after`."""

    count: dict[JobStatus, int] = Field(description="Jobs of the filter, by status.")
    total: int
    jobs: list[Verdict]
    next: int | None
    up_to: int


class RegionAsked(Asked):
    """One region: whose shape, and whose colour when another's."""

    region: str = Field(max_length=200, description="hair, face, beard, lips, eyes+brows, ..")
    shape: Digest | None = Field(None, description="Portrait's key; the identity's own if none.")
    colour: Digest | None = None


class JobAsked(Asked):
    """One job to submit."""

    name: Name
    identity: Digest
    regions: list[RegionAsked] = Field(max_length=20)
    preset: str | None = Field(None, max_length=100)
    settings: list[str] = Field(default_factory=list, description='As "blend.steps=100".')
    seed: int = Field(0, ge=0, le=MAX_SEED)
    priority: Priority = 0


class BatchAsked(Asked):
    """A batch to submit."""

    name: Name
    deadline: Moment | None = Field(None, description="By when, with its zone.")
    jobs: list[JobAsked] = Field(min_length=1, max_length=5000)
    noise: NoiseMode = NoiseMode.FRESH
    allow: list[str] = Field(default_factory=list, description="Checks whose refusals warn only.")


class RefusedRow(Given):
    """A row that cannot become a job."""

    line: int
    name: str
    reason: str
    findings: list[dict[str, Any]]


class Submitted(Given):
    """What came of a submission; no batch yet after `dry_run`."""

    batch_id: int | None
    accepted: int
    refused: list[RefusedRow]
    findings: list[dict[str, Any]] = Field(description="Warnings: line, name, findings.")


class Portrait(Given):
    """A portrait that can be used in jobs."""

    key: Digest
    name: str
    width: int
    height: int
    picture: str = Field(description="Path of its PNG.")
    findings: list[dict[str, Any]] = Field(default_factory=list)


class RefusedFile(Given):
    """A file that is no portrait."""

    name: str
    reason: str


class Portraits(Given):
    """What came of an upload."""

    portraits: list[Portrait]
    refused: list[RefusedFile]


class Me(Given):
    """Who asks."""

    name: str
    role: Role
    own_only: bool
    via: Literal["login", "token"]


class LoginAsked(Asked):
    """A name and a password, for a token."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1000)
    token_name: str = Field("barber command", min_length=1, max_length=100)
    days: int = Field(30, ge=1, le=365)


class Token(Given):
    """A token as it may be shown."""

    id: int
    person: str
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewToken(Given):
    """A token, whose secret is shown this once."""

    token: str
    facts: Token


class Tokens(Given):
    """Tokens, newest first."""

    tokens: list[Token]


class AuditAsked(Paging):
    """A page of the audit log."""

    who: str | None = Field(None, max_length=64)
    verb: Verb | None = None
    job: Id | None = None
    batch: Id | None = None


class Entry(Given):
    """Who did what."""

    id: int
    at: datetime
    who: str
    token_id: int | None
    via: Via
    address: str | None
    verb: str
    batch_id: int | None
    job_id: int | None
    subject: str | None
    why: str
    data: dict[str, Any]


class Entries(Given):
    """A page of the audit log, newest first."""

    entries: list[Entry]
    next: str | None


class Ended(Given):
    """What has ended."""

    id: int
