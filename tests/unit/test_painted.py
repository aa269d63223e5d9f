from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.labels import COLOURS, Region
from barber.painted import PAINT_COLOURS, PaintedMask, encode_painted, read_painted
from barber.plan import StageKind, plan
from barber.spec import JobSpec
from tests.support.compositions import job

SIDE = 32
HAIR = (Region.HAIR,)


def labels(number: int = 0) -> np.ndarray:
    cells = np.random.default_rng(number).integers(0, len(Region), (8, 8), dtype=np.uint8)
    return np.kron(cells, np.ones((SIDE // 8, SIDE // 8), dtype=np.uint8))


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_every_label_has_a_colour_of_its_own() -> None:
    assert len(set(PAINT_COLOURS.values())) == len(Region)
    shared = [c for c in COLOURS.values() if list(COLOURS.values()).count(c) > 1]
    assert not set(PAINT_COLOURS.values()) & set(shared)


def test_a_mask_comes_back_from_its_own_png_in_any_kind() -> None:
    given = encode_painted(labels())
    image = Image.open(io.BytesIO(given))
    for kind in ("P", "RGB", "RGBA"):
        sent = given if kind == "P" else png(image.convert(kind))
        found = read_painted(sent, side=SIDE, name="mask.png")
        assert np.array_equal(found.label_map, labels()), kind
    grey = read_painted(png(Image.fromarray(labels())), side=SIDE, name="mask.png")
    assert grey == found


def test_a_mask_comes_back_from_a_spec_and_changes_its_digest_with_a_pixel() -> None:
    mask = PaintedMask.of(labels())
    assert PaintedMask.from_json(mask.to_json()) == mask
    other = labels()
    other[0, 0] = (other[0, 0] + 1) % len(Region)
    assert PaintedMask.of(other).digest != mask.digest


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read as a PNG"),
        (encode_painted(labels()[:16, :16]), "is 16x16 pixels and must be 32x32"),
        (png(Image.fromarray(np.full((SIDE, SIDE), 16, np.uint8))), "has the value 16"),
        (png(Image.new("RGB", (SIDE, SIDE), (1, 2, 3))), "has the colour (1, 2, 3)"),
        (png(Image.new("RGB", (SIDE, SIDE), COLOURS[Region.EYES])), "share"),
        (encode_painted(labels())[:-40], "cannot be read"),
        (b"\x89PNG" + bytes(1 << 20), "of at most"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_reason(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match="mask") as refused:
        read_painted(data, side=SIDE, name="mask.png")
    assert words in str(refused.value)


def test_a_huge_picture_is_refused_by_its_head_alone() -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", 23_000, 22_000, 8, 0, 0, 0, 0)  # 506 megapixels
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    huge = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 50) + b"IDAT" + bytes(100)
    with pytest.raises(InputError, match=r"must be 32x32 pixels.*506000000"):
        read_painted(huge, side=SIDE, name="mask.png")


def test_noise_is_too_detailed() -> None:
    noise = np.random.default_rng(0).integers(0, len(Region), (1024, 1024), dtype=np.uint8)
    with pytest.raises(InputError, match="paint areas, not noise"):
        PaintedMask.of(noise)


@pytest.mark.parametrize(
    "change",
    [{"side": 31}, {"side": 10**9}, {"labels": "!!"}, {"labels": ""}, {"side": "32"}],
)
def test_a_damaged_mask_makes_no_spec(change: dict[str, object]) -> None:
    spec = job((HAIR, 1, 1), painted=PaintedMask.of(labels()))
    data = spec.to_json()
    assert JobSpec.from_json(data) == spec
    assert data["version"] == 3
    with pytest.raises(InputError, match="cannot be read"):
        JobSpec.from_json({**data, "painted": {**data["painted"], **change}})


def test_a_painted_mask_changes_what_depends_on_it_and_spares_reconstructions() -> None:
    spec = job((HAIR, 1, 1))
    painted = job((HAIR, 1, 1), painted=PaintedMask.of(labels()))
    pairs = list(zip(plan(spec), plan(painted), strict=True))
    same = {one.kind for one, other in pairs if one.key == other.key}
    changed = {one.kind for one, other in pairs if one.key != other.key}
    assert same == {StageKind.RECONSTRUCT}
    assert changed == {StageKind.TARGET, StageKind.ALIGN, StageKind.BLEND}


def test_the_colours_own_mask_stays_when_the_shape_is_painted() -> None:
    spec = job((HAIR, 1, 2))
    painted = job((HAIR, 1, 2), painted=PaintedMask.of(labels()))
    targets = [
        (one.variant, one.key == other.key)
        for one, other in zip(plan(spec), plan(painted), strict=True)
        if one.kind is StageKind.TARGET
    ]
    assert targets == [("structure", False), ("appearance", True)]
