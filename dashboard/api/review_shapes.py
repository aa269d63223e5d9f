"""What the API takes and gives about results: numbers, verdicts, archives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import Field

from barber.catalogue.gallery import Order, Shown
from barber.catalogue.review_tables import Decision
from barber.quality import Flag
from dashboard.api.shapes import Asked, Because, Digest, Given, Id

Jobs = Annotated[list[Id], Field(min_length=1, max_length=5000)]


class ArchiveAsked(Asked):
    """Which results of a batch."""

    show: Shown = Shown.ALL


class Chosen(Asked):
    """Some jobs."""

    jobs: Jobs


class ResultsAsked(Asked):
    """A page of results."""

    batch: Id | None = Field(None, description="Without it all batches, newest first.")
    show: Shown = Shown.ALL
    sort: Order = Field(Order.NEWEST, description="By a number: the worst first.")
    after: str = Field("", max_length=60, description="As the link to the next page has it.")
    limit: int = Field(50, ge=1, le=200)


class Numbers(Given):
    """What is known of a result without its truth; null where nothing can be told."""

    psnr_db: float | None = Field(description="To the identity, outside the changed regions.")
    ssim: float | None
    distance: float | None
    distance_name: str = Field(description="LPIPS, or what the bundle's own features give.")
    iou: float | None = Field(description="Of the region that agrees least.")
    ious: Mapping[str, float] = Field(description="With the target mask, by region.")
    spread: float = Field(description="Standard deviation of the grey levels.")
    flags: list[Flag]


class Result(Given):
    """One result with its numbers and what was decided."""

    job_id: int
    batch_id: int
    name: str
    finished_at: datetime
    result: str | None = Field(description="Path of its PNG.")
    mask: str | None = Field(description="Path of the target mask's PNG.")
    identity: Digest
    references: list[Digest]
    quality: Numbers | None
    decision: Decision | None
    decided_by: str | None
    decided_at: datetime | None
    page: str


class Results(Given):
    """A page of results."""

    results: list[Result]
    next: str | None = Field(description="Path of the next page.")


class OneResult(Given):
    """One result."""

    result: Result


class VerdictAsked(Because):
    """Accepts or rejects some results, or all of a batch that are shown so."""

    decision: Decision | None = Field(description="null takes verdicts away.")
    jobs: list[Id] = Field(default_factory=list, max_length=5000)
    batch: Id | None = None
    show: Shown = Shown.ALL


class VerdictDone(Given):
    """What was done."""

    deed: int = Field(description="For undo.")
    results: int


class UndoAsked(Asked):
    """Takes a deed back."""

    deed: Id


class Undone(Given):
    """How many verdicts are as they were."""

    results: int
