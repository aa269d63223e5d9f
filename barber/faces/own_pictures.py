"""Pictures of one's own as training data: a folder of portraits and label maps, read and checked.

`NAME.png` (or .jpg, .jpeg, .webp) is a portrait, `NAME.labels.png` its label map, as `barber faces`
writes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from barber.errors import InputError
from barber.photographs.own_labels import fit_label_map, read_label_map
from barber.pixels import Pixels, decode

SIDES = (64, 128, 256, 512)
LEAST = 200  # pictures; fewer are learnt by heart
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_LABELS = ".labels.png"
_NAMED = 3  # files that a message names of many


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPictures:
    """A folder's contents, in the order of the files' names."""

    folder: Path
    images: Pixels  # uint8 [M, side, side, 3]
    label_maps: NDArray[np.uint8]  # [M, side, side], values of Region
    digest: str  # sha256 over all pixels and labels, 64 hex digits

    @property
    def side(self) -> int:
        """Of every picture, in pixels."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        return len(self.images)


def read_own_pictures(folder: Path) -> OwnPictures:
    """Every portrait of a folder with its label map.

    Raises:
        InputError: The folder cannot be read, a picture has no label map, sizes are mixed or not
            among `SIDES`, or there are fewer than `LEAST`.
    """
    paths = list(_portraits(folder))
    if len(paths) < LEAST:
        raise InputError(
            f"{folder} holds {len(paths)} pictures: a bundle is trained on at least {LEAST}, "
            "a good one on thousands"
        )
    bare = [path.name for path in paths if not _labels_of(path).is_file()]
    if bare:
        raise InputError(
            f"{_some(bare)} in {folder} without a label map: put NAME{_LABELS} beside each picture "
            "(index values 0 to 15), or move the picture away"
        )
    images = [_read(path) for path in paths]
    _check_sizes(folder, paths, images)
    side = len(images[0])
    label_maps = [_read_labels(path, side) for path in paths]
    pixels, labels = np.stack(images), np.stack(label_maps)
    digest = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    return OwnPictures(folder=folder, images=pixels, label_maps=labels, digest=digest)


def _portraits(folder: Path) -> Iterator[Path]:
    try:
        names = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read ({error.strerror}): name one of pictures and "
            "label maps"
        ) from error
    for path in names:
        hidden = path.name.startswith(".")
        if path.suffix.lower() in _SUFFIXES and not path.name.endswith(_LABELS) and not hidden:
            yield path


def _labels_of(path: Path) -> Path:
    return path.with_name(path.stem + _LABELS)


def _read(path: Path) -> Pixels:
    try:
        return decode(path.read_bytes(), name=str(path))
    except OSError as error:
        raise InputError(f"the file {path} cannot be read: {error.strerror}") from error


def _read_labels(path: Path, side: int) -> NDArray[np.uint8]:
    labels = _labels_of(path)
    try:
        found = read_label_map(labels.read_bytes(), name=str(labels))
    except OSError as error:
        raise InputError(f"the file {labels} cannot be read: {error.strerror}") from error
    return fit_label_map(found, side, name=str(labels), width=side, height=side)


def _check_sizes(folder: Path, paths: list[Path], images: list[Pixels]) -> None:
    sizes = [(image.shape[1], image.shape[0]) for image in images]
    width, height = sizes[0]
    others = [path.name for path, size in zip(paths, sizes, strict=True) if size != sizes[0]]
    remedy = "`barber align` cuts faces out of photographs at one size"
    if others:
        raise InputError(
            f"{_some(others)} in {folder} of another size than {paths[0].name} "
            f"({width}x{height}): bring all to one size; {remedy}"
        )
    if width != height or width not in SIDES:
        known = ", ".join(map(str, SIDES))
        raise InputError(
            f"the pictures in {folder} are {width}x{height}: a generator is trained on squares "
            f"of {known} pixels; {remedy}"
        )


def _some(names: list[str]) -> str:
    """The first of many names: "a.png, b.png, c.png and 5 more are"."""
    told = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        told += f" and {len(names) - _NAMED} more"
    return f"{told} {'is' if len(names) == 1 else 'are'}"
