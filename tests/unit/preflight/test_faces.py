import numpy as np
import pytest
import torch

from barber.labels import Area, Region, Zone, parse_region
from barber.preflight import faces
from barber.stages import masks
from tests.support.drawn import bald, drawn


def test_drawn_portrait_shows_one_face() -> None:
    assert {faces.count_faces(drawn(number).label_map) for number in range(6)} == {1}


def test_two_portraits_side_by_side_are_two_faces() -> None:
    pair = np.concatenate([drawn(0).label_map, drawn(1).label_map], axis=1)
    assert faces.count_faces(pair) == 2


def test_speck_of_nose_is_no_second_face() -> None:
    label_map = drawn(0).label_map.copy()
    label_map[2:4, 2:4] = Region.NOSE
    assert faces.count_faces(label_map) == 1


def test_picture_without_nose_or_skin_shows_no_face() -> None:
    label_map = drawn(0).label_map.copy()
    label_map[label_map == Region.NOSE] = Region.SKIN
    assert faces.count_faces(label_map) == 0
    nose_alone = np.zeros((64, 64), np.uint8)
    nose_alone[30:34, 30:34] = Region.NOSE
    assert faces.count_faces(nose_alone) == 0


def test_shares_add_up_and_leave_out_what_is_absent() -> None:
    shares = faces.label_shares(bald(0).label_map)
    assert sum(shares.values()) == pytest.approx(1)
    assert "hair" not in shares
    assert "hair" in faces.label_shares(drawn(0).label_map)


@pytest.mark.parametrize("words", ["hair", "beard", "beard+lips", "face", "eyes+brows"])
@pytest.mark.parametrize("number", range(3))
def test_share_of_an_area_is_what_the_stages_cover(words: str, number: int) -> None:
    label_map, area = drawn(number).label_map, parse_region(words)
    covered = masks.covered(torch.tensor(label_map)[None].long(), area)
    shares, zones = faces.label_shares(label_map), faces.zone_shares(label_map)
    assert faces.area_share(shares, zones, area) == pytest.approx(float(covered.float().mean()))


def test_zone_without_a_nose_is_empty() -> None:
    label_map = np.full((32, 32), Region.SKIN, np.uint8)
    area = Area(labels=(Region.SKIN,), zone=Zone.LOWER_FACE)
    shares, zones = faces.label_shares(label_map), faces.zone_shares(label_map)
    assert faces.area_share(shares, zones, area) == 0
