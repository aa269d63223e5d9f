"""Portraits cut from photographs into a folder, each with a note on where it was cut."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barber.errors import InputError
from barber.photographs.landmarks import Face, FaceFinder
from barber.photographs.picture import Crop
from barber.photographs.portraits import bytes_of, cut_face, found_faces
from barber.pixels import decode, encode_png, portrait_key
from barber.results import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A portrait that was written."""

    photograph: Path
    portrait: Path
    sidecar: Path  # the note, JSON
    face: int  # 0 is the largest
    face_count: int
    crop: Crop

    def to_json(self) -> dict[str, Any]:
        return {
            "photograph": str(self.photograph),
            "portrait": str(self.portrait),
            "sidecar": str(self.sidecar),
            "face": self.face,
            "faces": self.face_count,
            "crop": self.crop.to_json(),
        }


def cut_portraits(
    finder: FaceFinder, path: Path, out: Path, *, size: int, face: int | None = 0
) -> list[Cut]:
    """Cuts one face, or each, out of a photograph and writes PNG and JSON files.

    Args:
        finder: Finds faces.
        path: The photograph.
        out: A folder that exists.
        size: Side of the portraits.
        face: Which face, the largest is 0; None for all, with a suffix _0, _1 if there are several.

    Raises:
        InputError: The photograph cannot be used, shows no such face, or a file exists already or
            cannot be written; none is overwritten or left half-written.
    """
    data = bytes_of(path)
    pixels = decode(data, name=path.name)
    faces = found_faces(finder, pixels, name=path.name)
    if face is not None and face >= len(faces):
        raise InputError(
            f"{path.name} shows {len(faces)} faces: give --face from 0 to {len(faces) - 1}"
        )
    numbers = range(len(faces)) if face is None else [face]
    stems = _stems(path, numbers)
    names = [out / f"{stem}{suffix}" for stem in stems for suffix in (".png", ".json")]
    taken = [str(name) for name in names if name.exists()]
    if taken:
        raise InputError(f"{taken[0]} exists: remove it, or give another --out")
    cuts: list[Cut] = []
    for stem, number in zip(stems, numbers, strict=True):
        aligned = cut_face(pixels, faces[number], size, name=path.name)
        cut = Cut(
            photograph=path,
            portrait=out / f"{stem}.png",
            sidecar=out / f"{stem}.json",
            face=number,
            face_count=len(faces),
            crop=aligned.crop,
        )
        note = _note(cut, data, faces[number], portrait_key(aligned.pixels))
        text = json.dumps(note, indent=2) + "\n"
        write_whole({cut.sidecar: text.encode(), cut.portrait: encode_png(aligned.pixels)})
        cuts.append(cut)
    return cuts


def _stems(path: Path, numbers: Sequence[int]) -> list[str]:
    if len(numbers) == 1:
        return [path.stem]
    return [f"{path.stem}_{number}" for number in numbers]


def _note(cut: Cut, data: bytes, face: Face, key: str) -> dict[str, Any]:
    """What the way back needs, with the digests that tell the files apart from others."""
    return {
        "photograph": {"name": cut.photograph.name, "sha256": hashlib.sha256(data).hexdigest()},
        "portrait": {"name": cut.portrait.name, "key": key},
        "face": cut.face,
        "faces": cut.face_count,
        "box": list(face.box),
        "landmarks": face.points.tolist(),
        "crop": cut.crop.to_json(),
        "portrait_to_photograph": cut.crop.matrix().tolist(),
    }
