"""Areas by the words people type."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barber.errors import InputError
from barber.labels import (
    COLOURS,
    GROUPS,
    ZONE_LABELS,
    Area,
    Region,
    Zone,
    merge_areas,
    parse_region,
    region_words,
)

LIPS = (Region.MOUTH, Region.UPPER_LIP, Region.LOWER_LIP)
LOWER_FACE = sorted(ZONE_LABELS[Zone.LOWER_FACE])

plain = st.sets(st.sampled_from(list(Region)[1:]), min_size=1).map(
    lambda labels: Area(labels=tuple(sorted(labels)))
)
zoned = st.sets(st.sampled_from(LOWER_FACE), min_size=1).map(
    lambda labels: Area(labels=tuple(sorted(labels)), zone=Zone.LOWER_FACE)
)


def labels(text: str) -> tuple[Region, ...]:
    area = parse_region(text)
    assert area.zone is None
    return area.labels


def test_words_groups_and_sums_are_read_in_ascending_order() -> None:
    assert labels("hair") == (Region.HAIR,)
    assert labels("Eyes + brows") == (Region.EYES, Region.BROWS)
    assert labels("eyes+brows") == labels("eyes-and-brows")
    assert labels("hat+lips") == (*LIPS, Region.HAT)
    assert labels("lower_lip") == (Region.LOWER_LIP,)
    assert labels("mouth") == labels("lips") == LIPS


def test_face_swap_has_the_label_sets_of_the_method() -> None:
    # Method 16.4, ears and glasses optional.
    assert [int(x) for x in labels("eyes-and-brows")] == [4, 5]
    assert [int(x) for x in labels("features")] == [2, 4, 5, 7, 8, 9]
    assert [int(x) for x in labels("face")] == [1, 2, 4, 5, 7, 8, 9]
    assert [int(x) for x in labels("face+ears+glasses")] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_beard_is_the_skin_of_the_lower_face() -> None:
    assert parse_region("beard") == Area(labels=(Region.SKIN,), zone=Zone.LOWER_FACE)
    both = parse_region("beard+mouth")
    assert both.labels == (Region.SKIN, *LIPS) and both.zone is Zone.LOWER_FACE
    assert parse_region("face+beard") == parse_region("face")


@pytest.mark.parametrize("text", ["beard+hair", "eyes+beard", "features+beard"])
def test_beard_is_not_joined_to_what_lies_elsewhere(text: str) -> None:
    with pytest.raises(InputError, match="make them two regions"):
        parse_region(text)


@pytest.mark.parametrize("text", ["", "wig", "background", "hair+", "hair,eyes"])
def test_unknown_word_is_named_with_what_there_is(text: str) -> None:
    with pytest.raises(InputError, match=r"unknown region .*use one of hair, "):
        parse_region(text)


@pytest.mark.parametrize("word", region_words())
def test_every_word_is_read_and_every_group_gives_its_word_back(word: str) -> None:
    area = parse_region(word)
    assert parse_region(area.words) == area
    assert word in GROUPS or area.labels == (Region[word.upper().replace("-", "_")],)


@pytest.mark.parametrize("text", ["eyes+hat", "beard+lips", "upper-lip"])
def test_areas_without_a_name_are_named_by_their_labels(text: str) -> None:
    words = parse_region(text).words
    assert words == {"beard+lips": "skin+mouth+upper-lip+lower-lip of the lower-face"}.get(
        text, text
    )


@given(st.lists(st.one_of(plain, zoned), max_size=5))
def test_merged_areas_cover_what_the_areas_cover_and_nothing_twice(areas: list[Area]) -> None:
    def covers(some: object, label: Region, inside: bool) -> bool:
        assert isinstance(some, list | tuple)
        return any(label in area.labels and (inside or area.zone is None) for area in some)

    merged = merge_areas(areas)
    for label, inside in itertools.product(Region, (True, False)):
        assert covers(areas, label, inside) == covers(merged, label, inside)
    taken = [label for area in merged for label in area.labels]
    assert len(taken) == len(set(taken))
    assert merge_areas(reversed(areas)) == merged == merge_areas(merged)


def test_every_region_has_a_colour_and_no_group_holds_background() -> None:
    assert set(COLOURS) == set(Region)
    assert all(Region.BACKGROUND not in area.labels for area in GROUPS.values())


@pytest.mark.parametrize("outside", [(Region.HAIR,), (Region.SKIN, Region.NOSE)])
def test_zone_takes_only_what_lies_in_it(outside: tuple[Region, ...]) -> None:
    with pytest.raises(InputError, match="lower-face holds skin, mouth"):
        Area(labels=outside, zone=Zone.LOWER_FACE)
