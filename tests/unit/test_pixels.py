from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from barber import pixels
from barber.errors import InputError
from barber.pixels import (
    MAX_SIDE_PX,
    decode,
    encode_png,
    portrait_key,
    quantise,
    read_portrait,
    read_recipe,
    resize,
    thumbnail,
)

SIDE = 16


def picture(side: int = SIDE, seed: int = 0) -> pixels.Pixels:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_png_written_and_read_back_is_the_same() -> None:
    original = picture()
    assert np.array_equal(read_portrait(encode_png(original), SIDE, name="p"), original)


def test_png_bytes_repeat_and_carry_the_recipe() -> None:
    recipe = {"seed": 3, "regions": ["hair"], "name": "Zoë"}
    data = encode_png(picture(), recipe=recipe)
    assert data == encode_png(picture(), recipe=dict(reversed(recipe.items())))
    assert read_recipe(data, name="p") == recipe
    assert np.array_equal(decode(data, name="p"), picture())


def test_png_without_a_recipe_says_so() -> None:
    assert read_recipe(encode_png(picture()), name="p") is None


def test_recipe_that_is_no_object_is_refused() -> None:
    info = pixels.PngInfo()
    info.add_itxt(pixels.RECIPE_CHUNK, "[1, 2]")
    with pytest.raises(InputError, match="no JSON object"):
        read_recipe(saved(Image.fromarray(picture()), pnginfo=info), name="p")


def test_quantising_truncates_and_clamps() -> None:
    unit = np.array([-0.5, 0.0, 0.5, 254.9 / 255, 1.0, 2.0], dtype=np.float32)
    assert quantise(unit).tolist() == [0, 0, 127, 254, 255, 255]


def test_every_8_bit_value_survives_signed_and_back() -> None:
    values = np.arange(256, dtype=np.uint8)
    signed = (values.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.5)
    # The way back truncates, so it may fall one short, never rise.
    assert np.abs(quantise((signed + 1) / 2).astype(int) - values).max() <= 1


def test_larger_square_is_brought_down_with_lanczos() -> None:
    large = picture(64)
    expected = np.array(Image.fromarray(large).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    assert np.array_equal(read_portrait(encode_png(large), SIDE, name="p"), expected)


def test_resize_to_the_same_side_changes_nothing() -> None:
    assert resize(picture(), SIDE) is not None
    assert np.array_equal(resize(picture(), SIDE), picture())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"hello, this is a letter", "not a picture"),
        (saved(Image.new("RGB", (20, 16))), "must be square"),
        (saved(Image.new("RGB", (8, 8))), "at least 16x16"),
        (encode_png(picture(64))[:3000], "cut short"),
        (saved(Image.fromarray(picture(64)), "JPEG")[:900], "cut short"),
        (
            saved(
                Image.new("RGB", (16, 16)),
                "GIF",
                save_all=True,
                append_images=[Image.new("RGB", (16, 16), "red")],
            ),
            "animated",
        ),
        (saved(Image.new("F", (16, 16)), "TIFF"), "floating-point"),
    ],
)
def test_unusable_file_is_refused_with_its_name_and_a_remedy(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read_portrait(data, SIDE, name="row 3, column hair")
    assert "row 3, column hair" in str(refused.value)
    assert ":" in str(refused.value)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [MAX_SIDE_PX + 1, 10_000, 100_000])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(InputError, match=f"at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"):
        read_portrait(png_header(side, side), SIDE, name="p")


@pytest.mark.filterwarnings("ignore")  # Pillow's own words on damaged metadata
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_damaged_bytes_are_read_or_refused_and_nothing_else(kind: str) -> None:
    random = np.random.default_rng(7)
    whole = bytearray(saved(Image.fromarray(picture()), kind))
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(0, 256)
        try:
            found = decode(bytes(data[: random.integers(1, len(data) + 1)]), name="p")
        except InputError:
            continue
        else:
            assert found.dtype == np.uint8 and found.shape[2] == 3


def test_oversized_file_is_refused_before_it_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="MiB"):
        read_portrait(encode_png(picture(64)), SIDE, name="p")


def test_exif_orientation_is_applied() -> None:
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 270 degrees
    turned = read_portrait(saved(image, exif=exif), SIDE, name="p")
    assert np.array_equal(turned, np.rot90(picture(), 3))


def test_transparency_is_laid_on_white() -> None:
    layer = np.dstack([picture(), np.zeros((SIDE, SIDE), np.uint8)])
    assert (decode(saved(Image.fromarray(layer)), name="p") == 255).all()
    layer[..., 3] = 255
    assert np.array_equal(decode(saved(Image.fromarray(layer)), name="p"), picture())


def test_palette_with_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (SIDE, SIDE), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((0, 0), 1)
    found = decode(saved(image, transparency=0), name="p")
    assert found[0, 0].tolist() == [200, 100, 50]
    assert (found[1:] == 255).all()


def test_grey_becomes_three_equal_channels() -> None:
    grey = picture()[..., 0]
    assert np.array_equal(
        decode(saved(Image.fromarray(grey)), name="p"), np.repeat(grey[..., None], 3, axis=2)
    )


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, SIDE * SIDE).astype(np.uint16).reshape(SIDE, SIDE)
    found = decode(saved(Image.fromarray(ramp)), name="p")[..., 0]
    assert np.abs(found.astype(float) - ramp / 257).max() <= 0.51


def test_cmyk_is_read_as_colour() -> None:
    red = Image.new("RGB", (SIDE, SIDE), (200, 30, 30)).convert("CMYK")
    found = decode(saved(red, "JPEG", quality=95), name="p").astype(int)
    assert np.abs(found - (200, 30, 30)).max() < 12


def test_embedded_profile_does_not_stand_in_the_way() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = saved(Image.fromarray(picture()), icc_profile=profile)
    assert np.array_equal(decode(data, name="p"), picture())


def test_key_depends_on_pixels_and_shape_only() -> None:
    assert portrait_key(picture()) == portrait_key(decode(encode_png(picture()), name="p"))
    assert portrait_key(picture()) != portrait_key(picture(seed=1))
    flat = np.zeros((4, 9, 3), np.uint8)
    assert portrait_key(flat) != portrait_key(flat.reshape(9, 4, 3))
    assert len(portrait_key(picture())) == 64


def test_thumbnail_fits_and_keeps_the_aspect() -> None:
    wide = saved(Image.new("RGB", (64, 32), "blue"))
    assert decode(thumbnail(wide, 16), name="p").shape == (8, 16, 3)
    assert decode(thumbnail(picture(8), 16), name="p").shape == (8, 8, 3)
    assert thumbnail(picture(64), 16) == thumbnail(encode_png(picture(64)), 16)
