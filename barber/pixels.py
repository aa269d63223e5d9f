"""Pictures in and out: decode, check, resize, quantise, encode. Pillow and numpy, no torch.

Source: method sections 2 (the PNG rule truncates) and 4.2 (8-bit Lanczos). Named deviations from
the official code, which opens a file and trusts it: the EXIF orientation is applied, transparent
pixels are laid on white, 16-bit grey is scaled instead of clipped, and a picture that is not a
single square frame of a sensible size is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from barber.errors import InputError
from barber.labels import COLOURS, Region
from barber.provenance import XMP_CHUNK, software, xmp_packet
from barber.spec import PortraitKey

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
MAX_FILE_BYTES = 64 * 2**20
MAX_SIDE_PX = 8192
COMPRESSION = 6  # zlib level of every PNG we write; part of what makes its bytes repeatable
RECIPE_CHUNK = "barber"  # keyword of the iTXt chunk that holds the recipe


def read_portrait(data: bytes, size: int, *, name: str) -> Pixels:
    """A file's picture as a portrait: uint8 [size, size, 3].

    Args:
        data: The bytes of the file.
        size: Side of the bundle's portraits; a larger square is brought down with Lanczos.
        name: What to call the picture in a message.

    Raises:
        InputError: Unreadable, truncated, animated, too large, not square, or too small.
    """
    return fit_portrait(decode(data, name=name), size, name=name)


def fit_portrait(pixels: Pixels, size: int, *, name: str) -> Pixels:
    """A decoded picture as a portrait: uint8 [size, size, 3].

    Raises:
        InputError: Not square, or too small.
    """
    height, width, _ = pixels.shape
    if height != width:
        raise InputError(
            f"{name} is {width}x{height} pixels: a portrait must be square, "
            "so crop it around the face first"
        )
    if width < size:
        raise InputError(
            f"{name} is {width}x{height} pixels: give a picture of at least {size}x{size}"
        )
    return resize(pixels, size)


def decode(data: bytes, *, name: str) -> Pixels:
    """Any picture file as upright RGB, uint8 [H, W, 3].

    Raises:
        InputError: Unreadable, truncated, animated or too large; the message names the remedy.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"{name} has {len(data) / 2**20:.0f} MiB: give a file of at most "
            f"{MAX_FILE_BYTES // 2**20} MiB"
        )
    with _opened(data, name) as image:
        try:
            _check_frame(image, name)
            upright = ImageOps.exif_transpose(image)
            return np.array(_to_rgb(upright, name), dtype=np.uint8)
        except InputError:
            raise
        except Exception as error:  # damaged bytes make Pillow's readers fail in many ways
            raise InputError(
                f"{name} is damaged or cut short ({error}): copy or export the file again"
            ) from error


def portrait_key(pixels: Pixels, label_map: NDArray[np.uint8] | None = None) -> PortraitKey:
    """The digest that names a portrait: sha256 over its shape and its bytes.

    A portrait with its own label map (uint8 [h, h]) is another one: stages read both.
    """
    _check_pixels(pixels)
    digest = hashlib.sha256("x".join(map(str, pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    if label_map is not None:
        digest.update(f"labels {'x'.join(map(str, label_map.shape))}".encode())
        digest.update(np.ascontiguousarray(label_map, dtype=np.uint8).tobytes())
    return PortraitKey(digest.hexdigest())


def resize(pixels: Pixels, side: int) -> Pixels:
    """Brings a picture to [side, side, 3] with Pillow's 8-bit Lanczos (method 4.2)."""
    if pixels.shape[:2] == (side, side):
        return pixels
    image = Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)
    return np.array(image, dtype=np.uint8)


def quantise(unit: NDArray[np.float32], *, truncate: bool = True) -> Pixels:
    """Unit values as uint8 of the same shape: clamped, times 255, truncated or rounded."""
    scaled = np.clip(unit, 0, 1) * np.float32(255)
    whole: Pixels = (scaled if truncate else np.rint(scaled)).astype(np.uint8)
    return whole


def encode_png(
    pixels: Pixels,
    *,
    recipe: Mapping[str, Any] | None = None,
    alpha: NDArray[np.uint8] | None = None,
    icc: bytes | None = None,
) -> bytes:
    """Lossless PNG; equal input gives equal bytes.

    Args:
        pixels: uint8 [H, W, 3].
        recipe: Plain JSON data on how the picture was made; kept in the iTXt chunk "barber". Such a
            picture is a result, so it also says in its XMP that it is a synthetic composite.
        alpha: Opacity, uint8 [H, W]; opaque when None.
        icc: Colour profile of the pixels; sRGB is understood when None.
    """
    _check_pixels(pixels)
    info = PngInfo()
    if recipe is not None:
        tool = software()
        info.add_text("Software", tool)
        info.add_itxt(XMP_CHUNK, xmp_packet(tool))
        info.add_itxt(RECIPE_CHUNK, json.dumps(recipe, sort_keys=True, ensure_ascii=False))
    out = io.BytesIO()
    image = Image.fromarray(pixels if alpha is None else np.dstack([pixels, alpha]))
    image.save(out, "PNG", compress_level=COMPRESSION, pnginfo=info, icc_profile=icc)
    return out.getvalue()


def encode_labels_png(label_map: NDArray[np.uint8]) -> bytes:
    """A label map as a PNG of its indices, shown in the official colours.

    Args:
        label_map: uint8 [H, W], 0..15.
    """
    image = Image.fromarray(label_map)
    image.putpalette([part for region in Region for part in COLOURS[region]])
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=COMPRESSION)
    return out.getvalue()


def read_recipe(data: bytes, *, name: str) -> dict[str, Any] | None:
    """The recipe that `encode_png` wrote into a PNG, or None when it carries none.

    Raises:
        InputError: The bytes are no picture, or the chunk is not a JSON object.
    """
    with _opened(data, name) as image:
        text = image.info.get(RECIPE_CHUNK)
    if text is None:
        return None
    try:
        recipe = json.loads(text)
    except ValueError as error:
        raise InputError(f"{name} carries a recipe that cannot be read: {error}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{name} carries a recipe that is no JSON object")
    return recipe


def thumbnail(picture: Pixels | bytes, side: int) -> bytes:
    """A PNG that fits into side x side, aspect kept; a smaller picture keeps its size."""
    pixels = decode(picture, name="the picture") if isinstance(picture, bytes) else picture
    _check_pixels(pixels)
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return encode_png(np.array(image, dtype=np.uint8))


def _opened(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow warns from more pixels on than we take; a strict process makes that an error.
        raise InputError(_too_large(name, "more pixels than any portrait")) from error
    except Exception as error:  # likewise, in the header
        raise InputError(
            f"{name} is not a picture that can be read: give a PNG, JPEG, WebP, TIFF or BMP file"
        ) from error


def _check_frame(image: Image.Image, name: str) -> None:
    """Raises InputError for what the header already shows; nothing is decompressed before."""
    if max(image.size) > MAX_SIDE_PX:
        raise InputError(_too_large(name, f"{image.width}x{image.height} pixels"))
    if getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{name} is animated or has several pages: give a single picture")


def _too_large(name: str, what: str) -> str:
    return f"{name} has {what}: give a picture of at most {MAX_SIDE_PX}x{MAX_SIDE_PX}"


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    """Any of Pillow's modes as RGB."""
    if image.mode == "F":
        raise InputError(f"{name} has floating-point pixels: export it with 8 or 16 bits")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # 16-bit grey: Pillow's own conversion would clip everything above 255 to white.
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _check_pixels(pixels: Pixels) -> None:
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3, (
        f"pixels must be uint8 [H, W, 3], not {pixels.dtype} {pixels.shape}"
    )
