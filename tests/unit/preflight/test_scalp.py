import numpy as np
import pytest

from barber.labels import Region
from barber.pixels import Pixels
from barber.preflight.scalp import hair_contrast
from barber.preflight.thresholds import DEFAULT
from tests.support.drawn import bald, drawn

LOSS_SIZE = 64


def scalp_as_hair(number: int) -> tuple[Pixels, np.ndarray]:
    """A bald head whose upper skin is labelled hair, as a parser does that knows no bald heads."""
    head = bald(number)
    label_map = head.label_map.copy()
    rows = np.nonzero((label_map == Region.BROWS).any(axis=1))[0]
    label_map[: rows.min()][label_map[: rows.min()] == Region.SKIN] = Region.HAIR
    return head.pixels, label_map


@pytest.mark.parametrize("number", [8, 11, 13, 35])
def test_hair_differs_from_skin_and_a_scalp_does_not(number: int) -> None:
    person = drawn(number)
    hair = hair_contrast(person.pixels, person.label_map, LOSS_SIZE)
    scalp = hair_contrast(*scalp_as_hair(number), LOSS_SIZE)
    assert hair is not None
    assert scalp is not None
    assert DEFAULT.bald.warn is not None
    assert hair > DEFAULT.bald.warn > scalp


def test_contrast_does_not_depend_on_the_light() -> None:
    person = drawn(11)
    dim = (person.pixels * 0.6).astype(np.uint8)
    full, half = (hair_contrast(p, person.label_map, LOSS_SIZE) for p in (person.pixels, dim))
    assert half == pytest.approx(full, rel=0.2)


def test_contrast_is_unknown_without_hair() -> None:
    assert hair_contrast(bald(8).pixels, bald(8).label_map, LOSS_SIZE) is None
