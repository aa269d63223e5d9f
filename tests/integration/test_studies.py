"""User studies: pairs by key, blind and balanced, one vote each, counted exactly."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from barber.catalogue import stages, studies
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.store import Store
from barber.catalogue.studies import Side, Source
from barber.catalogue.study_tables import StudyPair
from barber.errors import Conflict, InputError, NotFound
from barber.plan import StageKind
from dashboard import create_app
from tests.support import builders
from tests.support.people import enter, person, poster, token

pytestmark = pytest.mark.integration


@pytest.fixture
def batches(engine: Engine, settings):
    """Two batches of results; the second has the first's last picture for its last job."""
    store = Store(settings.store_dir)
    crew = builders.Crew(engine, replace(settings, sweep_s=0.0, backoff_s=0.0))
    one, two = builders.register_portraits(engine, store, 2)

    def finish(session, claim):
        number = min(claim.spec.seed, 106)  # 106 and above share a picture
        file = store.store_file(builders.picture(number), "image/png")
        return stages.finish(session, claim, files={"image.png": file}, recipe={})

    found = []
    for seeds in (range(100, 107), (*range(6), 500)):
        specs = [builders.hair_spec(one, two, seed=seed) for seed in seeds]
        jobs = builders.submit(engine, specs)
        crew.work(dict.fromkeys(StageKind, finish))
        found.append(builders.view(engine, jobs[0]).row.batch_id)
    return found


def make(engine, batches, **options):
    a, b = (Source(label=label, batch_id=n) for label, n in zip("xy", batches, strict=True))
    with transaction(engine) as session:
        return studies.make(session, name="s", a=a, b=b, by="tests", **options)


def run(engine, verb, *arguments):
    with transaction(engine) as session:
        return verb(session, *arguments)


def test_sets_are_matched_by_key_and_equal_pictures_left_out(engine, batches):
    _, pairs, left_out = make(engine, batches)
    assert (pairs, left_out) == (6, 1)  # job-6 looks the same in both
    wrong = Source(label="x", batch_id=batches[0], pattern="job-1*")
    right = Source(label="y", batch_id=batches[1], pattern="job-2*")
    with transaction(engine) as session:
        _, pairs, _ = studies.make(session, name="s", a=wrong, b=right, by="tests")
    assert pairs == 1  # the key of both is what `*` stands for: nothing
    for pattern, words in (("job", "needs one `*`"), ("*-ours", "0 pairs match")):
        odd = replace(wrong, pattern=pattern)
        with pytest.raises(InputError, match=re.escape(words)), transaction(engine) as session:
            studies.make(session, name="s", a=odd, b=right, by="tests")
    with pytest.raises(NotFound), transaction(engine) as session:
        studies.make(session, name="s", a=replace(wrong, batch_id=999), b=right, by="tests")


@pytest.mark.parametrize("pairs", [1, 2, 7, 40])
def test_each_voter_has_an_order_of_their_own_with_both_sets_equally_often_on_the_left(pairs):
    orders = set()
    for voter in range(20):
        places = studies.sides(99, voter, pairs)
        assert sorted(places) == list(range(pairs))
        assert abs(2 * sum(places.values()) - pairs) <= pairs % 2
        assert places == studies.sides(99, voter, pairs)  # whoever comes back goes on
        orders.add((tuple(places), tuple(places.values())))
    assert len(orders) > min(pairs, 10)


def test_votes_count_for_the_set_that_stood_there_once_for_each_voter(engine, batches):
    study, pairs, _ = make(engine, batches)
    with transaction(engine) as session:
        files = {
            pair.number: pair.file_a
            for pair in session.scalars(select(StudyPair).where(StudyPair.study_id == study))
        }
    voters = [person(engine, name).id for name in ("vera", "viktor")]
    for voter in voters:
        for count in range(pairs):
            ballot = run(engine, studies.ballot, study, voter)
            assert ballot is not None
            a_side = Side.LEFT if ballot.left == files[ballot.number] else Side.RIGHT
            other = Side.RIGHT if a_side is Side.LEFT else Side.LEFT
            side = a_side if voter == voters[0] or count == 0 else other
            assert run(engine, studies.vote, study, voter, ballot.number, side)
            assert not run(engine, studies.vote, study, voter, ballot.number, other)
        assert run(engine, studies.ballot, study, voter) is None
    tally = run(engine, studies.tally, study)
    assert (tally.a, tally.b, tally.voters) == (pairs + 1, pairs - 1, 2)
    assert (tally.pairs_a, tally.pairs_b) == (1, 0)
    with pytest.raises(NotFound):
        run(engine, studies.vote, study, voters[0], pairs, Side.LEFT)
    with transaction(engine) as session:
        studies.close(session, study, by="tests")
    with pytest.raises(Conflict, match="closed"):
        run(engine, studies.vote, study, voters[0], 0, Side.LEFT)


def test_a_viewer_votes_blind_in_the_console_and_an_operator_reads_what_came_of_it(
    engine, settings, batches
):
    app = create_app(settings)
    olga, vera = app.test_client(), app.test_client()
    enter(olga, engine, "olga", Role.OPERATOR)
    enter(vera, engine, "vera", Role.VIEWER)
    sets = {"batch_a": batches[0], "batch_b": batches[1], "label_a": "ours", "label_b": "theirs"}
    made = poster(olga)("/studies", name="spring", question="Which is nicer?", **sets)
    assert made.status_code == 303, made.text
    path = made.location
    assert poster(olga)("/studies", name="", question="?", **sets).status_code == 400
    assert poster(vera)("/studies", name="mine", question="?", **sets).status_code == 403

    seen = []
    for _ in range(6):
        page = vera.get(path).text
        assert "Which is nicer?" in page
        assert "ours" not in page and "theirs" not in page
        pair = re.search(r'name="pair" value="(\d+)"', page)[1]
        seen.append(pair)
        assert poster(vera)(f"{path}/votes", pair=pair, side="left").status_code == 303
    assert sorted(seen) == list("012345")
    assert "You have seen every pair" in vera.get(path).text
    assert poster(vera)(f"{path}/votes", pair="0", side="both").status_code == 400
    assert poster(vera)(f"{path}/votes", pair="77", side="left").status_code == 404
    assert vera.get(f"{path}/results").status_code == 403

    page = olga.get(f"{path}/results").text
    assert "100.0 %" in page  # all left: told apart from a preference
    assert "50.0 % of the votes, 95 % interval 11.8 to 88.2 %" in page
    secret = token(engine, "olga", Role.OPERATOR)
    told = olga.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {secret}"}).json
    assert (told["a"], told["b"], told["left"], told["voters"]) == (3, 3, 6, 1)
    stranger = app.test_client()
    enter(stranger, engine, "otto", Role.OPERATOR, own_only=True)
    assert stranger.get(path).status_code == 404
    assert poster(stranger)("/studies", name="x", question="?", **sets).status_code == 404
    app.extensions["engine"].dispose()
