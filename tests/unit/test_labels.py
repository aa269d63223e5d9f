"""Regions by the words people type."""

import pytest

from barber.errors import InputError
from barber.labels import COLOURS, GROUPS, Region, parse_regions


def test_words_groups_and_sums_are_read_in_ascending_order() -> None:
    assert parse_regions("hair") == (Region.HAIR,)
    assert parse_regions("Eyes + brows") == (Region.EYES, Region.BROWS)
    assert parse_regions("eyes+brows") == parse_regions("eyes-and-brows")
    assert parse_regions("hat+lips+mouth") == (
        Region.MOUTH,
        Region.UPPER_LIP,
        Region.LOWER_LIP,
        Region.HAT,
    )
    assert parse_regions("lower_lip") == (Region.LOWER_LIP,)


@pytest.mark.parametrize("text", ["", "beard", "background", "hair+", "hair,eyes"])
def test_unknown_word_is_named_with_what_there_is(text: str) -> None:
    with pytest.raises(InputError, match=r"unknown region .*use one of hair, "):
        parse_regions(text)


def test_every_region_has_a_colour_and_no_group_holds_background() -> None:
    assert set(COLOURS) == set(Region)
    assert all(Region.BACKGROUND not in labels for labels in GROUPS.values())
