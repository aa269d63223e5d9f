"""The numbers of one portrait, measured once and kept: thresholds meet them afterwards."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from barber.geometry import Geometry
from barber.pixels import Pixels
from barber.preflight import faces, tones
from barber.preflight.pose import Pose, pose_of_labels
from barber.preflight.scalp import hair_contrast
from barber.spec import PortraitKey

MEASURES_VERSION = 1  # raised when a number is measured in another way; old ones are measured anew
PARSED_AT_ONCE = 8

LabelMap = NDArray[np.uint8]  # [h, h], values of Region
Parse = Callable[[Sequence[Pixels]], Sequence[LabelMap]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """What the cutting of a portrait out of a photograph found."""

    faces: int
    side_px: float  # of the square that became the portrait
    pose: Pose | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A portrait to be checked. Its pixels are made when they are needed."""

    key: PortraitKey
    name: str  # of its file, for people
    pixels: Callable[[], Pixels]  # uint8 [R, R, 3]
    label_map: Callable[[], LabelMap] | None = None  # its own; the parser is not asked then
    photograph: Photograph | None = None  # None for a picture that came as a portrait


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceMeasures:
    """What the label map says."""

    count: int
    shares: faces.Shares
    zones: dict[str, faces.Shares]
    pose: Pose | None  # None when eyes, nose or mouth are hidden
    hair_contrast: float | None  # see `scalp`; None without hair or skin

    @property
    def side(self) -> float:
        """The side of a square of the face's area, as a share of the picture's side."""
        return float(sum(self.shares.get(label.word, 0.0) for label in faces.FACE) ** 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The numbers of one portrait."""

    detail: float  # see `tones`
    bright: float  # grey levels
    span: float  # grey levels
    clipped: float  # 0..1
    face: FaceMeasures | None  # None when no label map was made

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {n: getattr(self, n) for n in ("detail", "bright", "span")}
        data["clipped"] = self.clipped
        face = self.face
        data["face"] = face and {
            "count": face.count,
            "shares": face.shares,
            "zones": face.zones,
            "pose": face.pose and face.pose.to_json(),
            "hair_contrast": face.hair_contrast,
        }
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError when the data are no measures."""
        face = data["face"]
        if face is not None:
            pose = face["pose"]
            face = FaceMeasures(**{**face, "pose": pose and Pose.from_json(pose)})
        numbers = {name: float(data[name]) for name in ("detail", "bright", "span", "clipped")}
        return cls(**numbers, face=face)


class MeasureCache:
    """Measures by portrait and bundle, one small file each.

    It spares the parser on the next submission of the same faces; without it, or where it cannot
    be written, everything is measured again.

    Args:
        root: The directory; made when first needed.
        bundle: Digest of the bundle whose parser made the label maps.
    """

    def __init__(self, root: Path, bundle: str) -> None:
        self._root, self._bundle = root, bundle

    def get(self, key: PortraitKey) -> Measures | None:
        """What is kept; None when there is nothing, or nothing readable."""
        try:
            return Measures.from_json(json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def put(self, key: PortraitKey, measures: Measures) -> None:
        """Keeps measures; a full or read-only disk is no reason to stop."""
        path = self._path(key)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with suppress(OSError):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                part.write_text(json.dumps(measures.to_json()))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    def _path(self, key: PortraitKey) -> Path:
        facts = f"{MEASURES_VERSION} {self._bundle} {key}"
        name = hashlib.sha256(facts.encode()).hexdigest()
        return self._root / name[:2] / f"{name}.json"


def measure(pixels: Pixels, label_map: LabelMap | None, geometry: Geometry) -> Measures:
    """The numbers of one portrait [R, R, 3] and of its label map, if it has one."""
    bright, span = tones.brightness(pixels)
    skin = None if label_map is None else np.isin(label_map, faces.FACE)
    return Measures(
        detail=tones.detail(pixels, geometry.loss_size),
        bright=bright,
        span=span,
        clipped=tones.clipped_share(pixels, skin),
        face=None if label_map is None else _face(pixels, label_map, geometry),
    )


def measure_all(
    subjects: Iterable[Subject],
    geometry: Geometry,
    *,
    parse: Parse | None,
    cache: MeasureCache | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[PortraitKey, Measures]:
    """Measures each distinct portrait once, those that need the parser in batches.

    Args:
        subjects: The portraits.
        geometry: The bundle's sizes.
        parse: Portraits to label maps; None leaves out what needs one.
        cache: Where measures are looked up first, and kept.
        on_progress: Told how many of how many portraits are done.
    """
    wanted = {subject.key: subject for subject in subjects}
    found: dict[PortraitKey, Measures] = {}
    for key in wanted:
        kept = cache.get(key) if cache else None
        if kept is not None:
            found[key] = kept
    rest = [subject for key, subject in wanted.items() if key not in found]
    for start in range(0, len(rest), PARSED_AT_ONCE):
        group = rest[start : start + PARSED_AT_ONCE]
        for subject, measures in _measure_group(group, geometry, parse):
            found[subject.key] = measures
            if cache and measures.face is not None:
                cache.put(subject.key, measures)
        if on_progress:
            on_progress(len(found), len(wanted))
    return found


def _measure_group(
    group: Sequence[Subject], geometry: Geometry, parse: Parse | None
) -> list[tuple[Subject, Measures]]:
    pictures = [subject.pixels() for subject in group]
    maps: list[LabelMap | None] = [s.label_map() if s.label_map else None for s in group]
    missing = [number for number, label_map in enumerate(maps) if label_map is None]
    if parse is not None and missing:
        parsed = parse([pictures[number] for number in missing])
        for number, label_map in zip(missing, parsed, strict=True):
            maps[number] = label_map
    return [
        (subject, measure(pixels, label_map, geometry))
        for subject, pixels, label_map in zip(group, pictures, maps, strict=True)
    ]


def _face(pixels: Pixels, label_map: LabelMap, geometry: Geometry) -> FaceMeasures:
    return FaceMeasures(
        count=faces.count_faces(label_map),
        shares=faces.label_shares(label_map),
        zones=faces.zone_shares(label_map),
        pose=pose_of_labels(label_map),
        hair_contrast=hair_contrast(pixels, label_map, geometry.loss_size),
    )
