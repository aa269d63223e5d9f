"""User studies: made, voted in and read by programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from barber.catalogue import studies
from barber.catalogue.people_tables import Role
from barber.catalogue.studies import QUESTION, Side, Source
from dashboard import access, record
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import next_of, plain
from dashboard.api.shapes import Asked, Digest, Given, Id, Name, Paging
from dashboard.paging import page_of

Pattern = Annotated[str, Field(min_length=1, max_length=200)]


class SourceAsked(Asked):
    """One of the two sets."""

    label: Name
    batch: Id
    pattern: Pattern = Field("*", description="Of job names; * is the key that matches the sets.")


class StudyAsked(Asked):
    """A study of two sets."""

    name: Name
    question: Name = QUESTION
    a: SourceAsked
    b: SourceAsked


class StudyMade(Given):
    """What was made."""

    study_id: int
    pairs: int
    left_out: int = Field(description="Keys of one set alone, or with the same picture in both.")


class StudyFacts(Given):
    """A study."""

    id: int
    name: str
    question: str
    made_by: str
    created_at: datetime
    closed_at: datetime | None
    pairs: int
    done: int = Field(description="Pairs that the asking person has voted on.")


class Studies(Given):
    """A page of studies, newest first."""

    studies: list[StudyFacts]
    next: str | None


class BallotFacts(Given):
    """A pair, blind."""

    number: int
    left: Digest
    right: Digest
    identity: Digest
    references: list[Digest]


class NextBallot(Given):
    """The next pair of the asking person; null when there is none."""

    ballot: BallotFacts | None


class VoteAsked(Asked):
    """One choice."""

    pair: int = Field(ge=0, le=10**6)
    side: Side


class VoteDone(Given):
    """Whether it counted: the first choice on a pair stays."""

    counted: bool


class ShareFacts(Given):
    """How often set a was chosen."""

    share: float
    low: float = Field(description="Clopper-Pearson, 95 %.")
    high: float
    p_value: float = Field(description="Two-sided, of both sets being chosen equally often.")


class StudyOutcome(Given):
    """The votes of a study."""

    study: StudyFacts
    label_a: str
    label_b: str
    a: int
    b: int
    voters: int
    pairs_a: int
    pairs_b: int
    left: int = Field(description="Votes for what stood on the left.")
    share: ShareFacts | None


class Closed(Given):
    """No more votes are taken."""

    study_id: int


@endpoint("GET", "/studies", role=Role.VIEWER, answer=Studies, tag="studies")
def listed_studies(query: Paging) -> dict[str, Any]:
    """Studies, newest first."""
    me = access.visitor().person.id
    with record.transaction() as session:
        page = page_of(
            lambda limit: studies.listed(
                session, me, owner=access.owner(), limit=limit, before=query.before
            ),
            key=lambda row: row.id,
            size=query.limit,
        )
    return {"studies": [plain(row) for row in page.rows], "next": next_of(page)}


@endpoint("POST", "/studies", role=Role.OPERATOR, answer=StudyMade, tag="studies", status=201)
def make_study(json: StudyAsked) -> Any:
    """Makes a study of the results that both sets have."""
    a, b = (
        Source(label=side.label, batch_id=side.batch, pattern=side.pattern)
        for side in (json.a, json.b)
    )
    with record.transaction() as session:
        study_id, pairs, left_out = studies.make(
            session,
            name=json.name,
            question=json.question,
            a=a,
            b=b,
            by=access.by(),
            owner=access.owner(),
            maker_id=access.visitor().person.id,
        )
    return {"study_id": study_id, "pairs": pairs, "left_out": left_out}, 201


@endpoint(
    "GET", "/studies/<id:study_id>/ballot", role=Role.VIEWER, answer=NextBallot, tag="studies"
)
def next_ballot(study_id: int) -> dict[str, Any]:
    """The next pair of the asking person."""
    me = access.visitor().person.id
    with record.transaction() as session:
        studies.study(session, study_id, me, owner=access.owner())
        found = studies.ballot(session, study_id, me)
    return {"ballot": None if found is None else plain(found) | {"references": [*found.references]}}


@endpoint("POST", "/studies/<id:study_id>/votes", role=Role.VIEWER, answer=VoteDone, tag="studies")
def cast_vote(study_id: int, json: VoteAsked) -> dict[str, Any]:
    """Chooses the left or the right picture of a pair."""
    me = access.visitor().person.id
    with record.transaction() as session:
        studies.study(session, study_id, me, owner=access.owner())
        counted = studies.vote(session, study_id, me, json.pair, json.side)
    return {"counted": counted}


@endpoint("GET", "/studies/<id:study_id>", role=Role.OPERATOR, answer=StudyOutcome, tag="studies")
def study_outcome(study_id: int) -> dict[str, Any]:
    """The votes of a study with their exact binomial interval."""
    from barber.evaluation.intervals import share_of  # SciPy takes a second to load

    me = access.visitor().person.id
    with record.transaction() as session:
        row = studies.study(session, study_id, me, owner=access.owner())
        tally = studies.tally(session, study_id)
    share = share_of(tally.a, tally.votes)
    labels = {"label_a": row.label_a, "label_b": row.label_b}
    told = {"study": plain(row), "share": None if share is None else asdict(share)}
    return plain(tally) | labels | told


@endpoint("POST", "/studies/<id:study_id>/close", role=Role.OPERATOR, answer=Closed, tag="studies")
def close_study(study_id: int) -> dict[str, Any]:
    """Takes no more votes."""
    me = access.visitor().person.id
    with record.transaction() as session:
        studies.study(session, study_id, me, owner=access.owner())
        studies.close(session, study_id, by=access.by())
    return {"study_id": study_id}
