from __future__ import annotations

import numpy as np

from barber.labels import Region, parse_region
from barber.photographs.changes import changed_regions
from barber.spec import PortraitKey, RegionEdit


def edit(words: str) -> RegionEdit:
    area, key = parse_region(words), PortraitKey("a" * 64)
    return RegionEdit(labels=area.labels, zone=area.zone, structure=key, appearance=key)


def rows(*values: int) -> np.ndarray:
    return np.array([values] * 3)


def test_removed_shown_and_filled_places_have_changed() -> None:
    label_map = rows(0, Region.SKIN, Region.HAIR, Region.HAIR, Region.CLOTH)
    removed = rows(0, 1, 0, 0, 0) > 0
    shown = (rows(0, 0, 1, 0, 0) > 0)[None]
    found = changed_regions([edit("hair")], label_map, removed, shown)
    assert found[0].tolist() == [False, True, True, True, False]


def test_skin_outside_of_a_beards_zone_has_not_changed() -> None:
    label_map = rows(Region.SKIN, Region.SKIN, Region.HAIR)
    removed = rows(0, 0, 0) > 0
    shown = (rows(0, 1, 0) > 0)[None]
    found = changed_regions([edit("beard")], label_map, removed, shown)
    assert found[0].tolist() == [False, True, False]


def test_each_regions_source_counts() -> None:
    shown = np.stack([rows(1, 0, 0), rows(0, 0, 1)]) > 0
    found = changed_regions([edit("hair"), edit("lips")], rows(0, 0, 0), rows(0, 0, 0) > 0, shown)
    assert found[0].tolist() == [True, False, True]
