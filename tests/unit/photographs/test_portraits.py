from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.photographs import portraits
from barber.photographs.landmarks import NO_LIBRARY, FaceFinder
from barber.photographs.picture import Picture, encode_labels
from barber.photographs.portraits import AlignPolicy, PortraitReader
from barber.pixels import portrait_key, read_portrait
from tests.support.photographs import crowd, file_of, finder, woman

__all__ = ["finder"]


def square(side: int = 96) -> bytes:
    return file_of(np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def upright(finder: FaceFinder) -> Picture:
    return PortraitReader(64, 32).read(file_of(woman()), name="woman.png")


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_landmarks: object) -> FaceFinder:
        raise InputError(NO_LIBRARY)

    monkeypatch.setattr(portraits, "open_finder", refuse)


@pytest.mark.usefixtures("no_library")
def test_square_picture_is_a_portrait_and_asks_for_no_face() -> None:
    picture = PortraitReader(64, 32).read(square(), name="a.png")
    assert np.array_equal(picture.pixels(), read_portrait(square(), 64, name="a.png"))
    assert picture.key == portrait_key(picture.pixels())
    assert (picture.width, picture.height, picture.size) == (96, 96, 64)
    assert (picture.photo, picture.crop, picture.labels_png) == (None, None, None)


@pytest.mark.usefixtures("no_library")
def test_photograph_without_the_library_is_refused_with_both_remedies() -> None:
    data = file_of(np.zeros((80, 100, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"100x80.*pip install dlib-bin.*by hand"):
        PortraitReader(64, 32).read(data, name="a.png")
    with pytest.raises(InputError, match="96x96"):
        PortraitReader(64, 32, policy=AlignPolicy.ALWAYS).read(square(), name="a.png")
    with pytest.raises(InputError, match="must be square"):
        PortraitReader(64, 32, policy=AlignPolicy.NEVER).read(data, name="a.png")


def test_photograph_becomes_the_portrait_of_its_largest_face(finder: FaceFinder) -> None:
    data = file_of(crowd(), "JPEG", quality=95)
    picture = PortraitReader(128, 32).read(data, name="two.jpg")
    assert picture.face_count == 2
    assert picture.photo == data
    assert picture.crop is not None
    assert np.mean(picture.crop.quad, axis=0)[0] < 400
    assert picture.landmarks is not None
    assert finder.find(picture.pixels()), "the portrait shows no face"


def test_turned_photograph_is_cut_as_the_upright_one(upright: Picture) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees clockwise to see it upright
    turned = Image.fromarray(woman()).transpose(Image.Transpose.ROTATE_90)
    data = file_of(np.asarray(turned), exif=exif)
    assert PortraitReader(64, 32).read(data, name="t").key == upright.key


def test_photograph_without_a_face_is_refused(finder: FaceFinder) -> None:
    data = file_of(np.full((90, 120, 3), 90, dtype=np.uint8))
    with pytest.raises(InputError, match=r"no face was found in hills.png \(120x90"):
        PortraitReader(64, 32).read(data, name="hills.png")


def test_own_label_map_makes_another_portrait() -> None:
    labels = np.zeros((48, 48), dtype=np.uint8)
    labels[10:30, 10:30] = 10
    reader = PortraitReader(64, 32)
    plain = reader.read(square(), name="a.png")
    mapped = reader.read(square(), name="a.png", labels=encode_labels(labels), labels_name="m.png")
    own = mapped.label_map()
    assert own is not None
    assert own.shape == (32, 32)
    assert mapped.key == portrait_key(mapped.pixels(), own)
    assert mapped.key != plain.key


def test_label_map_of_a_photograph_follows_the_crop(upright: Picture) -> None:
    photo = woman()
    labels = np.zeros(photo.shape[:2], dtype=np.uint8)
    labels[:, 225:] = 10  # her face's right half and all beyond
    picture = PortraitReader(64, 32).read(
        file_of(photo), name="a.png", labels=encode_labels(labels), labels_name="m.png"
    )
    own = picture.label_map()
    assert own is not None
    assert picture.crop is not None
    assert picture.key != upright.key
    # In the rows of the eyes the border must lie where the crop says that column 225 is.
    matrix = picture.crop.matrix()
    border = (225 - matrix[0, 2] - matrix[0, 1] * 32) / matrix[0, 0] / 2
    assert abs(int((own[16] == 0).sum()) - border) <= 1
