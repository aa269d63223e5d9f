"""User studies: pairs of results, shown blind, left and right balanced, counted by set.

Each voter sees the pairs in an order of their own. Which set stands on the left is drawn so that,
for each voter, both stand there equally often (or all but once); both follow from the study's seed
and the voter alone, so a voter who comes back goes on where they were.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from barber.catalogue import audit, gallery
from barber.catalogue.audit import Verb
from barber.catalogue.gallery import Item, Wanted
from barber.catalogue.owners import check_batch
from barber.catalogue.study_tables import Choice, Study, StudyPair, StudyVote
from barber.errors import Conflict, InputError, NotFound
from barber.spec import PortraitKey

MOST_PAIRS: Final = 2000
QUESTION: Final = "Which of the two looks better?"
EXAMPLES: Final = 3


class Side(StrEnum):
    """Where a picture stands."""

    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a set's results come from: the jobs of a batch whose names fit."""

    label: str
    batch_id: int
    pattern: str = "*"  # `*` stands for the key, by which the sets are matched


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A study in a list."""

    id: int
    name: str
    question: str
    label_a: str
    label_b: str
    made_by: str
    created_at: datetime
    closed_at: datetime | None
    pairs: int
    done: int  # votes of the person who asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A pair as a voter sees it: nothing tells which set is which."""

    number: int
    left: str  # digest of the PNG
    right: str
    identity: PortraitKey
    references: tuple[PortraitKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was chosen so far."""

    a: int
    b: int
    voters: int
    pairs_a: int  # pairs in which more voters chose a
    pairs_b: int
    left: int  # votes for whatever stood on the left: near half, or people did not look

    @property
    def votes(self) -> int:
        return self.a + self.b


def make(
    session: Session,
    *,
    name: str,
    a: Source,
    b: Source,
    by: str,
    question: str = QUESTION,
    owner: int | None = None,
    maker_id: int | None = None,
) -> tuple[int, int, int]:
    """Makes a study of the results that both sets have.

    Args:
        session: The session.
        name: For people who make studies; voters see it.
        a: The first set.
        b: The second set.
        by: Who asks.
        question: What voters are asked.
        owner: The maker when they see their own batches alone.
        maker_id: Whose study it is.

    Returns:
        The study's id, its number of pairs, and how many keys only one set has or both have the
        same picture of.

    Raises:
        NotFound: No such batch.
        InputError: A pattern without a `*`, a key twice in a set, no pair, or too many.
    """
    sets = [_results(session, source, owner) for source in (a, b)]
    both = sorted(sets[0].keys() & sets[1].keys())
    pairs = [key for key in both if sets[0][key].result_file != sets[1][key].result_file]
    if not 0 < len(pairs) <= MOST_PAIRS:
        told = " and ".join(_examples(found) for found in sets)
        raise InputError(
            f"{len(pairs):,} pairs match, and a study has from 1 to {MOST_PAIRS:,}: the keys are "
            f"{told}; a pattern such as `*-ours` leaves the rest of a name out of the key"
        )
    left_out = len(sets[0].keys() | sets[1].keys()) - len(pairs)
    study_id = session.scalars(
        insert(Study)
        .values(
            name=name,
            question=question,
            label_a=a.label,
            label_b=b.label,
            seed=secrets.randbits(62),
            made_by=str(by),
            owner_id=maker_id,
        )
        .returning(Study.id)
    ).one()
    rows = [_pair(study_id, n, key, sets[0][key], sets[1][key]) for n, key in enumerate(pairs)]
    session.execute(insert(StudyPair), rows)
    data = {"pairs": len(pairs), "a": [a.batch_id, a.pattern], "b": [b.batch_id, b.pattern]}
    audit.record(session, Verb.MAKE_STUDY, by, subject=f"study {study_id}", data=data)
    return study_id, len(pairs), left_out


def listed(
    session: Session,
    person_id: int,
    *,
    owner: int | None,
    limit: int = 50,
    before: int | None = None,
) -> list[StudyRow]:
    """Studies, newest first, with how far that person is."""
    query = _rows(person_id, owner).order_by(Study.id.desc()).limit(limit)
    if before is not None:
        query = query.where(Study.id < before)
    return [StudyRow(**row._mapping) for row in session.execute(query)]


def study(session: Session, study_id: int, person_id: int, *, owner: int | None) -> StudyRow:
    """One study. Raises NotFound when there is none for this person."""
    row = session.execute(_rows(person_id, owner).where(Study.id == study_id)).one_or_none()
    if row is None:
        raise NotFound(f"no study {study_id}")
    return StudyRow(**row._mapping)


def ballot(session: Session, study_id: int, person_id: int) -> Ballot | None:
    """The next pair of a voter; None when they have seen all, or the study is closed."""
    found = session.execute(
        select(Study.seed, func.count(StudyPair.number).label("pairs"))
        .join(StudyPair, StudyPair.study_id == Study.id)
        .where(Study.id == study_id, Study.closed_at.is_(None))
        .group_by(Study.id)
    ).one_or_none()
    if found is None:
        return None
    mine = (StudyVote.study_id == study_id, StudyVote.person_id == person_id)
    seen = set(session.scalars(select(StudyVote.number).where(*mine)))
    places = sides(found.seed, person_id, found.pairs)
    number = next((number for number in places if number not in seen), None)
    if number is None:
        return None
    pair = session.get_one(StudyPair, (study_id, number))
    files = (pair.file_a, pair.file_b) if places[number] else (pair.file_b, pair.file_a)
    return Ballot(
        number=number,
        left=files[0],
        right=files[1],
        identity=PortraitKey(pair.identity),
        references=tuple(PortraitKey(key) for key in pair.references),
    )


def vote(session: Session, study_id: int, person_id: int, number: int, side: Side) -> bool:
    """Counts a choice; the first of a voter on a pair stays.

    Returns:
        False when this voter has chosen on this pair before.

    Raises:
        NotFound: No such study or pair.
        Conflict: The study is closed.
    """
    row = session.execute(
        select(Study.seed, Study.closed_at).where(Study.id == study_id).with_for_update(read=True)
    ).one_or_none()
    if row is None:
        raise NotFound(f"no study {study_id}")
    if row.closed_at is not None:
        raise Conflict(f"study {study_id} is closed: its votes are counted")
    pairs = session.scalar(select(func.count()).where(StudyPair.study_id == study_id)) or 0
    if not 0 <= number < pairs:
        raise NotFound(f"study {study_id} has no pair {number}")
    a_left = sides(row.seed, person_id, pairs)[number]
    choice = Choice.A if a_left == (side is Side.LEFT) else Choice.B
    values = {"study_id": study_id, "person_id": person_id, "number": number}
    statement = upsert(StudyVote).values(**values, choice=choice, a_left=a_left)
    counted = session.execute(statement.on_conflict_do_nothing().returning(StudyVote.number))
    return counted.first() is not None


def close(session: Session, study_id: int, *, by: str) -> None:
    """Takes no more votes. Raises Conflict when it is closed already."""
    statement = (
        update(Study)
        .where(Study.id == study_id, Study.closed_at.is_(None))
        .values(closed_at=func.now())
        .returning(Study.id)
    )
    if session.execute(statement.execution_options(synchronize_session=False)).first() is None:
        raise Conflict(f"study {study_id} is closed already")
    audit.record(session, Verb.CLOSE_STUDY, by, subject=f"study {study_id}")


def tally(session: Session, study_id: int) -> Tally:
    """The votes of a study."""
    query = select(StudyVote.number, StudyVote.choice, StudyVote.a_left, StudyVote.person_id)
    votes = session.execute(query.where(StudyVote.study_id == study_id)).all()
    chosen = Counter(vote.choice for vote in votes)
    lead: Counter[int] = Counter()
    for each in votes:
        lead[each.number] += 1 if each.choice == Choice.A else -1
    return Tally(
        a=chosen[Choice.A],
        b=chosen[Choice.B],
        voters=len({vote.person_id for vote in votes}),
        pairs_a=sum(value > 0 for value in lead.values()),
        pairs_b=sum(value < 0 for value in lead.values()),
        left=sum((vote.choice == Choice.A) == vote.a_left for vote in votes),
    )


def sides(seed: int, person_id: int, pairs: int) -> dict[int, bool]:
    """Whether set a stands on the left, by pair, in the order in which this voter sees them."""
    draw = random.Random(f"{seed}:{person_id}")  # noqa: S311  # an order, not a secret
    numbers = list(range(pairs))
    draw.shuffle(numbers)
    left = [n % 2 == 0 for n in range(pairs)]
    if draw.random() < 0.5:  # the odd one out is not always the same set's
        left = [not each for each in left]
    draw.shuffle(left)
    return dict(zip(numbers, left, strict=True))


def _rows(person_id: int, owner: int | None) -> Select[tuple[object, ...]]:
    pairs = select(func.count()).where(StudyPair.study_id == Study.id).scalar_subquery()
    mine = (StudyVote.study_id == Study.id, StudyVote.person_id == person_id)
    done = select(func.count()).where(*mine).scalar_subquery()
    names = [c for c in Study.__table__.c if c.name not in ("seed", "owner_id")]
    query: Select[tuple[object, ...]] = select(*names, pairs.label("pairs"), done.label("done"))
    return query if owner is None else query.where(Study.owner_id == owner)


def _results(session: Session, source: Source, owner: int | None) -> dict[str, Item]:
    """The results of a set by key."""
    if source.pattern.count("*") != 1:
        raise InputError(
            f"the pattern {source.pattern[:60]!r} needs one `*`, which stands for the key"
        )
    check_batch(session, source.batch_id, owner)
    before, after = source.pattern.split("*")
    wanted = Wanted(batch_id=source.batch_id, owner=owner)
    ids = gallery.ids(session, wanted, after=0, limit=4 * MOST_PAIRS)
    found: dict[str, Item] = {}
    for item in gallery.items(session, ids):
        name = item.name
        fits = name.startswith(before) and name.endswith(after)
        if item.result_file is None or not fits or len(name) < len(before) + len(after):
            continue
        key = name[len(before) : len(name) - len(after)]
        if key in found:
            raise InputError(
                f"batch {source.batch_id} has two results of the key {key[:60]!r}: name jobs "
                "apart, or narrow the pattern"
            )
        found[key] = item
    return found


def _examples(found: dict[str, Item]) -> str:
    some = ", ".join(repr(key[:40]) for key in sorted(found)[:EXAMPLES])
    return f"{some}{', ..' if len(found) > EXAMPLES else ''}" if found else "none"


def _pair(study_id: int, number: int, key: str, a: Item, b: Item) -> dict[str, object]:
    return {
        "study_id": study_id,
        "number": number,
        "key": key,
        "file_a": a.result_file,
        "file_b": b.result_file,
        "identity": a.identity,
        "references": list(a.references),
    }
