"""What the API takes and gives about drawers and imports."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from barber.catalogue.intake_tables import IntakeStatus
from barber.looks import Slot
from barber.spec import NoiseMode
from barber.standalone.choice import MOST_JOBS
from barber.table_rows import MAX_SEED
from dashboard.api.shapes import Asked, Digest, Given, Priority, RegionAsked

Deadline = Annotated[
    str,
    Field(max_length=40, description="06:30, 2h, 2026-11-23T06:30; by then it must have ended."),
]


class Sent(Given):
    """A portrait in one's drawer."""

    key: Digest
    name: str
    sent_at: datetime
    width: int
    height: int
    picture: str = Field(description="Path of its PNG.")


class Drawer(Given):
    """What one sent, newest first."""

    portraits: list[Sent]


class OutAsked(Asked):
    """Which portraits leave one's drawer."""

    keys: list[Digest] = Field(min_length=1, max_length=1000)


class TakenOut(Given):
    """How many have left; jobs that use them keep them."""

    portraits: int


class DrawerAsked(Asked):
    """How much of a drawer."""

    limit: int = Field(100, ge=1, le=1000)
    skip: int = Field(0, ge=0, le=1_000_000)


class ChoiceAsked(Asked):
    """Faces and what changes them: every face with every style."""

    name: str = Field("", max_length=200, description="Of the batch.")
    faces: list[Digest] = Field(min_length=1, max_length=MOST_JOBS)
    look: str = Field(max_length=50, description="`GET /looks` lists them; or `regions`.")
    picked: dict[Slot, list[Digest]] = Field(
        default_factory=dict, description="Portraits for each slot of the look."
    )
    regions: list[RegionAsked] = Field(
        default_factory=list, max_length=20, description="For the look `regions`."
    )
    preset: str | None = Field(None, max_length=100)
    settings: list[str] = Field(default_factory=list, description='As "blend.steps=100".')
    noise: NoiseMode = NoiseMode.FRESH
    seed: int = Field(0, ge=0, le=MAX_SEED)
    priority: Priority = 0
    allow: list[str] = Field(default_factory=list, description="Checks whose refusals warn only.")


class LookFacts(Given):
    """Something to ask for."""

    word: str
    title: str
    says: str
    slots: list[Slot]


class Looks(Given):
    """All there is to ask for."""

    looks: list[LookFacts]


class Import(Given):
    """Rows on their way in; nothing of them is queued before `POST /imports/ID/queue`."""

    id: int
    name: str
    status: IntakeStatus
    sound: int
    refused: int
    warned: int
    unchecked: dict[str, int] = Field(
        description="Rows in which a check was left out, by the check; once all are read."
    )
    problem: str | None
    batch_id: int | None
    queued_before: int | None = Field(description="The batch that the very same has made before.")
    created_at: datetime
    page: str


class OneImport(Given):
    """One import."""

    import_: Import = Field(alias="import")


class RowsAsked(Asked):
    """Which rows of an import."""

    refused: bool | None = Field(None, description="Only those refused, or only those sound.")
    after: int = Field(0, ge=0, le=2**31 - 1, description="Behind this place.")
    limit: int = Field(100, ge=1, le=1000)


class Row(Given):
    """A checked row."""

    place: int
    line: int
    name: str
    spec: dict[str, Any] | None
    priority: int
    reason: str | None
    findings: list[dict[str, Any]]


class Rows(Given):
    """Rows of an import, in the order of the file."""

    rows: list[Row]
    next: str | None


class QueueAsked(Asked):
    """The word that queues an import."""

    accept_valid: bool = Field(False, description="Leave the refused rows out.")
    again: bool = Field(False, description="Although the very same was queued before.")
    deadline: Deadline = ""
    priority: Priority = Field(0, description="Added to that of the rows.")
