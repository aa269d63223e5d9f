from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.labels import COLOURS, Region
from barber.photographs.own_labels import fit_label_map, read_label_map
from barber.photographs.picture import Crop, decode_labels, encode_labels


def stripes(*labels: int, height: int = 4) -> NDArray[np.uint8]:
    """Vertical stripes two pixels wide, one per label."""
    return np.repeat(np.array([labels], dtype=np.uint8), height, axis=0).repeat(2, axis=1)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def painted(*labels: Region) -> Image.Image:
    """Stripes in the official colours, RGB."""
    palette = np.array([COLOURS[region] for region in Region], dtype=np.uint8)
    return Image.fromarray(palette[stripes(*labels)])


def test_index_png_comes_back_as_it_went() -> None:
    labels = stripes(*range(16))
    data = encode_labels(labels)
    assert np.array_equal(read_label_map(data, name="m.png"), labels)
    assert encode_labels(labels) == data
    assert np.array_equal(decode_labels(data), labels)


def test_grey_values_are_labels() -> None:
    labels = stripes(0, 10, 1)
    assert np.array_equal(read_label_map(png(Image.fromarray(labels)), name="m"), labels)


def test_indices_count_under_a_palette_of_other_colours() -> None:
    image = Image.frombytes("P", (6, 4), stripes(0, 10, 1).tobytes())
    image.putpalette([v for i in range(16) for v in (i * 9, i, 7)])
    assert np.array_equal(read_label_map(png(image), name="m"), stripes(0, 10, 1))


def test_palette_of_official_colours_in_another_order_is_read_by_colour() -> None:
    image = Image.frombytes("P", (6, 4), stripes(0, 1, 2).tobytes())
    order = (Region.HAIR, Region.SKIN, Region.BACKGROUND)
    image.putpalette([v for region in order for v in COLOURS[region]])
    assert np.array_equal(read_label_map(png(image), name="m"), stripes(10, 1, 0))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_official_colours_are_labels(mode: str) -> None:
    image = painted(Region.BACKGROUND, Region.HAIR, Region.SKIN, Region.NECKLACE).convert(mode)
    assert np.array_equal(read_label_map(png(image), name="m"), stripes(0, 10, 1, 13))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Region.EYES, Region.EYEGLASSES),
        (Region.MOUTH, Region.HAT),
        (Region.UPPER_LIP, Region.LOWER_LIP),
    ],
)
def test_colour_of_two_labels_is_refused(first: Region, second: Region) -> None:
    with pytest.raises(InputError, match="share") as caught:
        read_label_map(png(painted(Region.SKIN, first)), name="mine.png")
    assert first.word in str(caught.value)
    assert second.word in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(Image.fromarray(stripes(0, 17))), "has the value 17"),
        (png(Image.fromarray(stripes(0, 0))), "background everywhere"),
        (png(Image.new("RGB", (4, 4), (1, 2, 3))), r"the colour \(1, 2, 3\), which is no label"),
        (png(Image.new("RGBA", (4, 4), (204, 102, 255, 9))), "kind RGBA"),
        (png(Image.new("I;16", (4, 4), 3)), "kind I;16"),
        (encode_labels(stripes(1, 2))[:-30], "cannot be read"),
        (b"GIF89a", "cannot be read as a PNG"),
    ],
)
def test_what_is_no_label_map_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read_label_map(data, name="mine.png")
    assert "mine.png" in str(caught.value)


def test_map_is_fitted_by_nearest() -> None:
    labels = stripes(0, 10, 1, 2, height=8)
    small = fit_label_map(labels, 4, name="m", width=100, height=100)
    assert small.tolist() == [[0, 10, 1, 2]] * 4
    large = fit_label_map(labels, 32, name="m", width=100, height=100)
    assert set(np.unique(large)) == {0, 1, 2, 10}
    assert np.array_equal(large[::4, ::4], labels)


def test_map_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="8x4 and its picture 100x100"):
        fit_label_map(stripes(1, 1, 1, 1), 4, name="m", width=100, height=100)


def test_map_of_a_photograph_is_cut_as_the_portrait_was() -> None:
    """The portrait is the photograph's right half, from its edge one half further."""
    labels = np.zeros((10, 20), dtype=np.uint8)
    labels[:, 10:15], labels[:, 15:] = 10, 1
    labels[0] = 14
    crop = Crop(quad=((100, 0), (100, 150), (250, 150), (250, 0)), width=200, height=100, size=64)
    cut = fit_label_map(labels, 15, name="m", width=200, height=100, crop=crop)
    assert cut[0].tolist() == [14] * 15
    # 5 columns of hair, 5 of skin, then reflected without the edge: 4 of skin, 1 of hair.
    assert cut[5].tolist() == [10] * 5 + [1] * 9 + [10]
    assert cut[14].tolist() == cut[4].tolist()


def test_map_without_a_label_in_the_crop_is_refused() -> None:
    labels = np.zeros((10, 10), dtype=np.uint8)
    labels[9, 9] = 10
    crop = Crop(quad=((0, 0), (0, 40), (40, 40), (40, 0)), width=100, height=100, size=64)
    with pytest.raises(InputError, match="wherever the face is"):
        fit_label_map(labels, 16, name="m", width=100, height=100, crop=crop)
