import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from barber.pixels import MAX_FILE_BYTES
from barber.preflight.files import accept_file, check_file
from barber.preflight.findings import Check, Finding, Refused, Verdict


def saved(width: int, height: int, kind: str = "PNG", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def giant(side: int) -> bytes:
    """A PNG whose header claims side x side pixels and whose data are next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def refusals(findings: list[Finding]) -> list[Check]:
    return [finding.check for finding in findings if finding.verdict is Verdict.REFUSE]


def test_sound_file_passes_every_check_with_its_numbers() -> None:
    data = saved(40, 40)
    findings = {finding.check: finding for finding in check_file(data, name="a.png", size=32)}
    assert {finding.verdict for finding in findings.values()} == {Verdict.PASS}
    assert findings[Check.FILE_SIZE].number == len(data)
    assert findings[Check.DECODED_PIXELS].number == 1600
    assert (findings[Check.PICTURE_SIZE].number, findings[Check.PICTURE_SIZE].threshold) == (40, 32)
    assert Check.FORMAT in findings


@pytest.mark.parametrize(
    ("data", "check", "said"),
    [
        (b"not a picture", Check.FORMAT, "a.png is not a picture"),
        (b"", Check.FORMAT, "a.png is not a picture"),
        (b"\0" * (MAX_FILE_BYTES + 1), Check.FILE_SIZE, "at most 64 MiB"),
        (giant(9000), Check.DECODED_PIXELS, "9000x9000"),
        (giant(30_000), Check.DECODED_PIXELS, "at most 8192x8192"),
        (saved(31, 31), Check.PICTURE_SIZE, "at least 32x32"),
    ],
    ids=["text", "empty", "heavy", "large", "bomb", "small"],
)
def test_unusable_file_is_refused_before_it_is_decoded(
    data: bytes, check: Check, said: str
) -> None:
    findings = check_file(data, name="a.png", size=32)
    assert refusals(findings) == [check]
    assert said in next(f.sentence for f in findings if f.check is check)


def test_animation_is_refused() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert refusals(check_file(out.getvalue(), name="a.gif", size=32)) == [Check.FORMAT]


def test_sides_of_a_photograph_are_left_to_its_face() -> None:
    findings = check_file(saved(20, 60), name="a.png", size=32)
    assert refusals(findings) == []
    assert Check.PICTURE_SIZE not in {finding.check for finding in findings}


def test_door_raises_all_that_stands_against_a_file() -> None:
    assert {f.verdict for f in accept_file(saved(40, 40), name="a.png", size=32)} == {Verdict.PASS}
    with pytest.raises(Refused, match="at least 32x32") as caught:
        accept_file(saved(20, 20), name="a.png", size=32)
    assert refusals(list(caught.value.findings)) == [Check.PICTURE_SIZE]
