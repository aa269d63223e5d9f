from __future__ import annotations

import numpy as np
import pytest

from barber.errors import InputError
from barber.evaluation import people
from barber.evaluation.cases import LEAST_HAIR, Counts, Material, Stratum, draw_material, used
from barber.labels import Region
from barber.pixels import decode

SIZE = 48


@pytest.fixture(scope="module")
def material() -> Material:
    return draw_material(3, Counts(images=12, pairs=9, triples=4), SIZE)


def hair(material: Material, key: str) -> float:
    assert material.drawn is not None
    return float(np.mean(people.portrait(material.drawn[key], SIZE).label_map == Region.HAIR))


def test_both_strata_take_turns_and_are_what_they_say(material: Material) -> None:
    strata = [case.stratum for case in material.cases]
    assert strata.count(Stratum.SHRINKS) == 7 and strata.count(Stratum.GROWS) == 6
    for case in material.cases:
        grows = hair(material, case.hair) > hair(material, case.identity)
        assert grows is (case.stratum is Stratum.GROWS)


def test_no_pair_comes_twice_and_nobody_meets_himself(material: Material) -> None:
    pairs = [(c.identity, c.hair) for c in material.cases if c.name.startswith("pair")]
    assert len(set(pairs)) == 9 and all(a != b for a, b in pairs)


def test_triples_take_their_colour_from_a_third(material: Material) -> None:
    triples = [c for c in material.cases if c.name.startswith("triple")]
    assert len(triples) == 4 and all(len(c.portraits) == 3 for c in triples)
    assert all(c.colour == c.hair for c in material.cases if c.name.startswith("pair"))


def test_references_have_hair_to_give(material: Material) -> None:
    assert all(hair(material, case.hair) >= LEAST_HAIR for case in material.cases)


def test_seed_decides_the_people_and_more_of_them_keep_the_first() -> None:
    few, many = people.held_out(0, 2), people.held_out(0, 5)
    assert list(few) == list(many[:2]) and few[0] != people.held_out(1, 1)[0]


def test_nobody_was_drawn_by_a_training() -> None:
    # Training draws from [seed of a plan, number of a batch].
    trained = [people.face_params(z) for s in range(4) for z in _trained(s, 8)]
    assert people.held_out(0, 1)[0] not in trained


def _trained(seed: int, count: int) -> np.ndarray:
    return people.sample_z(np.random.default_rng([seed, 0]), count)


def test_truth_keeps_the_identity_and_takes_the_hair(material: Material) -> None:
    case = material.cases[0]
    truth = material.truth(case, SIZE)
    portrait = decode(material.pictures[case.identity].png, name="identity")
    assert truth is not None and truth.pixels.shape == portrait.shape
    same = (truth.pixels == portrait).all(axis=2)
    assert 0.1 < float(same.mean()) < 1
    assert set(used(material.cases)) <= set(material.pictures)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(pairs=0), "give --pairs or --triples"),
        (Counts(images=1, pairs=1), "at least 3"),
        (Counts(images=2, pairs=0, triples=1), "at least 3"),
        (Counts(images=4, pairs=50), "give --images 15 or --pairs 3"),
    ],
)
def test_counts_that_do_not_fit_are_refused_with_ones_that_do(counts: Counts, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw_material(0, counts, SIZE)
