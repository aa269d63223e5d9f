from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from barber.errors import InputError
from barber.photographs.paste import FEATHER, Photograph, paste_back, read_photograph
from barber.photographs.picture import Crop
from barber.pixels import Pixels, encode_png
from tests.support.photographs import file_of

WIDTH, HEIGHT, SIZE = 150, 110, 64
RED = np.full((SIZE, SIZE, 3), (255, 0, 0), dtype=np.uint8)


def crop_at(
    x: float = 60, y: float = 50, side: float = 40, turn: float = 0.0, pads: int = 0
) -> Crop:
    """A square around (x, y), turned in radians."""
    across = np.array([math.cos(turn), math.sin(turn)]) * side / 2
    down = np.array([-across[1], across[0]])
    centre = np.array([x, y])
    corners = (centre - across - down, centre - across + down, centre + across + down)
    quad = tuple((float(a), float(b)) for a, b in (*corners, centre + across - down))
    return Crop(quad=quad, width=WIDTH, height=HEIGHT, size=SIZE, pads=(pads,) * 4)


def photograph(seed: int = 0) -> Photograph:
    rng = np.random.default_rng(seed)
    return Photograph(pixels=rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


def distance_outside(crop: Crop, low: float, high: float) -> NDArray[np.float64]:
    """Photograph pixels from each one's centre to the portrait's square [low, high]^2 (shares)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    inverse = np.linalg.inv(np.vstack([crop.matrix(), [0, 0, 1]]))
    u, v, _ = np.einsum("ij,jkl->ikl", inverse, np.stack([x, y, np.ones_like(x)])) / crop.size
    away = [np.maximum(np.maximum(low - w, w - high), 0) for w in (u, v)]
    found: NDArray[np.float64] = np.hypot(*away) * crop.side_px
    return found


squares = {
    "x": st.floats(-40, 190),
    "y": st.floats(-40, 150),
    "side": st.floats(6, 260),
    "turn": st.floats(-math.pi, math.pi),
    "pads": st.sampled_from([0, 12]),
}


@settings(max_examples=60, deadline=None)
@given(**squares, low=st.floats(0, 0.7), share=st.floats(0.05, 0.5))
def test_pixels_beyond_the_seam_are_identical(
    x: float, y: float, side: float, turn: float, pads: int, low: float, share: float
) -> None:
    crop = crop_at(x, y, side, turn, pads)
    high = min(low + share, 1.0)
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    first, last = int(low * SIZE), max(int(high * SIZE), int(low * SIZE) + 1)
    changed[first:last, first:last] = True
    photo = photograph()
    pasted = paste_back(photo, RED, crop, changed)
    # The seam, one portrait pixel of the map, and the filters' two pixels on either scale.
    scale = side / SIZE
    reach = max(FEATHER * side, scale) + 3 * max(scale, 1.0)
    far = distance_outside(crop, first / SIZE, last / SIZE) > reach
    assert (pasted.pixels[far] == photo.pixels[far]).all()
    outside = distance_outside(crop, 0, 1) > max(scale, 1.0)
    assert (pasted.pixels[outside] == photo.pixels[outside]).all()


@settings(max_examples=30, deadline=None)
@given(**squares)
def test_inside_of_the_changed_region_shows_the_result(
    x: float, y: float, side: float, turn: float, pads: int
) -> None:
    crop = crop_at(x, y, side, turn, pads)
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    changed[16:48, 16:48] = True
    pasted = paste_back(photograph(), RED, crop, changed)
    deep = distance_outside(crop, 0.25 + 4 / SIZE + 2 / side, 0.75 - 4 / SIZE - 2 / side) == 0
    assert (pasted.pixels[deep] == (255, 0, 0)).all()


def test_nothing_changed_gives_the_photograph() -> None:
    photo = photograph()
    pasted = paste_back(photo, RED, crop_at(), np.zeros((SIZE, SIZE), dtype=bool))
    assert (pasted.pixels == photo.pixels).all()


def test_square_beside_the_photograph_changes_nothing() -> None:
    photo = photograph()
    pasted = paste_back(photo, RED, crop_at(x=-500), np.ones((SIZE, SIZE), dtype=bool))
    assert (pasted.pixels == photo.pixels).all()


def test_seam_is_continuous() -> None:
    """On a level photograph no step is steeper than the seam is wide: 1.5 of 255 levels."""
    photo = Photograph(pixels=np.full((HEIGHT, WIDTH, 3), (0, 0, 255), dtype=np.uint8))
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    changed[20:44, 20:44] = True
    for feather, largest in ((0.05, 85), (0.2, 22)):
        pasted = paste_back(photo, RED, crop_at(side=100, turn=0.2), changed, feather=feather)
        red = pasted.pixels[:, :, 0].astype(int)
        assert red.max() == 255
        steps = max(np.abs(np.diff(red, axis=0)).max(), np.abs(np.diff(red, axis=1)).max())
        assert steps < largest


def test_change_at_the_portraits_border_fades_inside_the_photograph_only() -> None:
    photo = Photograph(pixels=np.full((HEIGHT, WIDTH, 3), (0, 0, 255), dtype=np.uint8))
    everything = np.ones((SIZE, SIZE), dtype=bool)
    crop = crop_at(x=60, y=30, side=100)  # reaches beyond the upper edge only
    pasted = paste_back(photo, RED, crop, everything)
    assert tuple(pasted.pixels[0, 60]) == (255, 0, 0)
    assert tuple(pasted.pixels[79, 60]) != (255, 0, 0)  # the last row of the portrait


def test_seam_is_narrower_where_the_recipe_blurred() -> None:
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    changed[:, 30:34] = True
    shown = []
    for pads in (0, 30):
        pasted = paste_back(photograph(), RED, crop_at(60, 40, 90, pads=pads), changed, feather=0.2)
        shown.append(int((pasted.pixels[0] != photograph().pixels[0]).any(axis=1).sum()))
    assert shown[1] < 0.6 * shown[0]


def test_small_face_does_not_alias() -> None:
    stripes = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    stripes[::2] = 255
    pasted = paste_back(photograph(), stripes, crop_at(side=15), np.ones((8, 8), dtype=bool))
    inside = distance_outside(crop_at(side=15), 0.2, 0.8) == 0
    assert abs(pasted.pixels[inside].astype(int) - 127).max() < 12


def test_way_back_undoes_the_way_in() -> None:
    """A smooth photograph, sampled where the crop says, comes back as it was."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    smooth = np.stack([x, y, 100 + 0 * x], axis=2)
    crop = crop_at(turn=0.4, side=70)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    at_x, at_y = np.einsum(
        "ij,jkl->ikl", crop.matrix(), np.stack([columns, rows, np.ones_like(rows)])
    )
    portrait = np.rint(np.stack([at_x, at_y, 100 + 0 * at_x], axis=2)).astype(np.uint8)
    photo = Photograph(pixels=np.rint(smooth).astype(np.uint8))
    pasted = paste_back(photo, portrait, crop, np.ones((SIZE, SIZE), dtype=bool))
    assert np.abs(pasted.pixels - smooth).max() < 1.6


def test_crop_of_another_photograph_is_refused() -> None:
    other = Photograph(pixels=np.zeros((HEIGHT + 1, WIDTH, 3), dtype=np.uint8))
    everything = np.ones((4, 4), dtype=bool)
    with pytest.raises(InputError, match="150x110"):
        paste_back(other, RED, crop_at(), everything)
    with pytest.raises(InputError, match="not one of 32"):
        paste_back(photograph(), RED[:32, :32], crop_at(), everything)


def test_transparent_photograph_keeps_its_opacity_beyond_the_seam() -> None:
    photo = Photograph(
        pixels=photograph().pixels, alpha=np.full((HEIGHT, WIDTH), 40, dtype=np.uint8)
    )
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    changed[24:40, 24:40] = True
    pasted = paste_back(photo, RED, crop_at(), changed)
    assert pasted.alpha is not None
    assert pasted.alpha[50, 60] == 255
    assert tuple(pasted.pixels[50, 60]) == (255, 0, 0)
    untouched = (pasted.pixels == photo.pixels).all(axis=2)
    assert untouched.sum() > 0.9 * HEIGHT * WIDTH
    assert (pasted.alpha[untouched] == 40).all()


def profiled(mode: str) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    out = io.BytesIO()
    Image.new(mode, (6, 4), 90).save(out, "TIFF", icc_profile=profile)
    return out.getvalue()


def test_profile_and_opacity_survive_reading_and_writing() -> None:
    layers = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3
    photo = read_photograph(file_of(layers, exif=exif), name="a.png")
    assert photo.alpha is not None
    assert np.array_equal(np.dstack([photo.pixels, photo.alpha]), layers[::-1, ::-1])
    plain = read_photograph(profiled("RGB"), name="p.tif")
    assert plain.icc is not None
    with Image.open(io.BytesIO(encode_png(plain.pixels, icc=plain.icc))) as image:
        assert image.info["icc_profile"] == plain.icc


def test_profile_of_other_colours_is_left_out() -> None:
    cmyk = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    cmyk[16:20] = b"CMYK"
    out = io.BytesIO()
    Image.new("CMYK", (6, 4), (9, 90, 0, 0)).save(out, "JPEG", icc_profile=bytes(cmyk))
    photo = read_photograph(out.getvalue(), name="c.jpg")
    assert photo.icc is None
    found: Pixels = photo.pixels
    assert found.shape == (4, 6, 3)
