"""Tables of user studies: which of two results people prefer, without knowing whose they are."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from barber.catalogue.base import Base, digest, one_of
from barber.catalogue.people_tables import Person


class Choice(StrEnum):
    """One of the two sets."""

    A = "a"
    B = "b"


class Study(Base):
    """Two sets of results to compare in pairs."""

    __tablename__ = "study"
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str]
    question: Mapped[str]
    label_a: Mapped[str]  # what the results call the sets; voters never see it
    label_b: Mapped[str]
    seed: Mapped[int] = mapped_column(BigInteger)  # of each voter's order and sides
    made_by: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey(Person.id), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


class StudyPair(Base):
    """Two results of one key. No reference to jobs: a study outlives what it was made from."""

    __tablename__ = "study_pair"
    __table_args__ = (
        CheckConstraint(digest("file_a"), name="file_a_hex"),
        CheckConstraint(digest("file_b"), name="file_b_hex"),
        CheckConstraint("file_a <> file_b", name="differ"),
        Index("ix_study_pair_file_a", "file_a"),
        Index("ix_study_pair_file_b", "file_b"),
    )
    study_id: Mapped[int] = mapped_column(ForeignKey(Study.id), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[str]  # what matched
    file_a: Mapped[str]
    file_b: Mapped[str]
    identity: Mapped[str]
    references: Mapped[list[str]]


class StudyVote(Base):
    """What one person chose."""

    __tablename__ = "study_vote"
    __table_args__ = (
        ForeignKeyConstraint(
            ["study_id", "number"],
            ["study_pair.study_id", "study_pair.number"],
            name="fk_study_vote_pair",
        ),
        CheckConstraint(one_of("choice", Choice), name="choice"),
    )
    study_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    person_id: Mapped[int] = mapped_column(ForeignKey(Person.id), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    choice: Mapped[str]
    a_left: Mapped[bool]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
