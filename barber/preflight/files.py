"""What a picture file says before anything of it is decompressed."""

from __future__ import annotations

import io
import warnings

from PIL import Image

from barber.pixels import FORMATS, MAX_FILE_BYTES, MAX_SIDE_PX
from barber.preflight.findings import Check, Finding, Refused, Verdict
from barber.preflight.thresholds import DEFAULT, Thresholds

MEGA = 2**20


def check_file(
    data: bytes, *, name: str, size: int | None = None, thresholds: Thresholds = DEFAULT
) -> list[Finding]:
    """Format, file size, decoded pixels and, for a square picture, its size.

    What cannot be opened has no size. A picture that is not square
    may be a photograph, whose face has yet to be found, so its sides are not judged.

    Args:
        data: The bytes of the file.
        name: What to call it in a sentence.
        size: Side of the bundle's portraits; not judged when None.
        thresholds: The limits.
    """
    findings = [_file_size(data, name, thresholds)]
    if findings[0].verdict is Verdict.REFUSE:
        return findings
    try:
        with warnings.catch_warnings():
            # Pillow warns of pictures larger than we take; they are refused below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        return [*findings, _bomb(name, thresholds)]
    except Exception:  # noqa: BLE001 - damaged headers make Pillow's readers fail in many ways
        return [*findings, _unreadable(name)]
    with image:
        findings += [_decoded_pixels(image, name, thresholds), _format(image, name)]
        if size is not None and image.width == image.height:
            findings.append(_picture_size(image, name, size))
    return findings


def _file_size(data: bytes, name: str, thresholds: Thresholds) -> Finding:
    verdict, bound = thresholds.file_size.judge(len(data))
    sentence = f"{name} has {len(data) / MEGA:.1f} MiB"
    if verdict is Verdict.REFUSE:
        sentence += f": give a file of at most {MAX_FILE_BYTES // MEGA} MiB"
    return _finding(Check.FILE_SIZE, verdict, sentence, name, len(data), bound, "bytes")


def accept_file(data: bytes, *, name: str, size: int | None = None) -> tuple[Finding, ...]:
    """As `check_file`, for a door: raises Refused with what stands against the file."""
    findings = check_file(data, name=name, size=size)
    refusals = [finding for finding in findings if finding.verdict is Verdict.REFUSE]
    if refusals:
        raise Refused(refusals)
    return tuple(findings)


def _unreadable(name: str) -> Finding:
    sentence = f"{name} is not a picture that can be read: give a PNG, JPEG, WebP, TIFF or BMP file"
    return _finding(Check.FORMAT, Verdict.REFUSE, sentence, name)


def _bomb(name: str, thresholds: Thresholds) -> Finding:
    sentence = (
        f"{name} has more pixels than any portrait: give a picture of at most "
        f"{MAX_SIDE_PX}x{MAX_SIDE_PX}"
    )
    limit = thresholds.decoded_pixels
    return _finding(Check.DECODED_PIXELS, Verdict.REFUSE, sentence, name, None, limit.refuse)


def _format(image: Image.Image, name: str) -> Finding:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        sentence = f"{name} is animated or has several pages: give a single picture"
        return _finding(Check.FORMAT, Verdict.REFUSE, sentence, name, frames, 1, "pictures")
    sentence = f"{name} is a single {image.format} picture"
    return _finding(Check.FORMAT, Verdict.PASS, sentence, name, frames, 1, "pictures")


def _decoded_pixels(image: Image.Image, name: str, thresholds: Thresholds) -> Finding:
    count = image.width * image.height
    verdict, bound = thresholds.decoded_pixels.judge(count)
    if max(image.size) > MAX_SIDE_PX:
        verdict = Verdict.REFUSE
    sentence = f"{name} has {image.width}x{image.height} pixels"
    if verdict is Verdict.REFUSE:
        sentence += f": give a picture of at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"
    return _finding(Check.DECODED_PIXELS, verdict, sentence, name, count, bound, "pixels")


def _picture_size(image: Image.Image, name: str, size: int) -> Finding:
    verdict = Verdict.PASS if image.width >= size else Verdict.REFUSE
    sentence = f"{name} is {image.width}x{image.height} pixels"
    if verdict is Verdict.REFUSE:
        sentence += f": give a picture of at least {size}x{size}"
    return _finding(Check.PICTURE_SIZE, verdict, sentence, name, image.width, size, "pixels")


def _finding(
    check: Check,
    verdict: Verdict,
    sentence: str,
    name: str,
    number: float | None = None,
    threshold: float | None = None,
    unit: str = "",
) -> Finding:
    return Finding(
        check=check,
        verdict=verdict,
        sentence=sentence,
        portrait=name,
        number=number,
        threshold=threshold,
        unit=unit,
    )
