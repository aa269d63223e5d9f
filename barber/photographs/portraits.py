"""Files as portraits: a square picture as it is, a photograph after its face was cut out.

Source: method sections 4.1 and 4.2. The one door for pictures: submission and `compose` both read
through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from barber.errors import InputError
from barber.photographs.crop import AlignedFace, align_face
from barber.photographs.landmarks import Face, FaceFinder, open_finder
from barber.photographs.own_labels import fit_label_map, read_label_map
from barber.photographs.picture import Crop, LabelMap, Picture, encode_labels
from barber.pixels import Pixels, decode, encode_png, fit_portrait, portrait_key
from barber.preflight.files import accept_file


class AlignPolicy(StrEnum):
    """Which pictures are photographs, whose face is yet to be cut out."""

    AUTO = "auto"  # those that are not square
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """A picture's file and, if it has one, that of its own label map."""

    portrait: Path
    labels: Path | None = None


class PortraitReader:
    """Reads portraits for one bundle; the face finder is loaded when a photograph first needs it.

    Args:
        size: Side of the bundle's portraits.
        label_size: Side of its label maps.
        policy: Which pictures are photographs.
        landmarks: The predictor file; that of the installed package when None.
    """

    def __init__(
        self,
        size: int,
        label_size: int,
        *,
        policy: AlignPolicy = AlignPolicy.AUTO,
        landmarks: Path | None = None,
    ) -> None:
        self._size, self._label_size = size, label_size
        self._policy, self._landmarks = policy, landmarks
        self._finder: FaceFinder | None = None

    def read_files(self, files: PictureFiles) -> Picture:
        """As `read`, from files. Raises InputError also when one cannot be read."""
        labels = None if files.labels is None else bytes_of(files.labels)
        return self.read(
            bytes_of(files.portrait),
            name=files.portrait.name,
            labels=labels,
            labels_name="" if files.labels is None else files.labels.name,
        )

    def read(
        self, data: bytes, *, name: str, labels: bytes | None = None, labels_name: str = ""
    ) -> Picture:
        """A file's picture as a portrait.

        Args:
            data: The bytes of the file.
            name: What to call the picture in a message.
            labels: The bytes of its own label map, a PNG of the shape of the upright picture.
            labels_name: What to call that in a message.

        Raises:
            InputError: The picture or its map cannot be used, no face is found in a photograph, or
                what finds faces is not installed.
            CheckpointError: The landmark predictor is damaged.
        """
        size = None if self._policy is AlignPolicy.ALWAYS else self._size
        findings = accept_file(data, name=name, size=size)
        pixels = decode(data, name=name)
        height, width, _ = pixels.shape
        faces: tuple[Face, ...] | None = None
        crop: Crop | None = None
        if self._is_photograph(pixels):
            faces = self._faces(pixels, name)
            cut = self._cut(pixels, faces[0], name)
            portrait, crop = cut.pixels, cut.crop
        else:
            portrait = fit_portrait(pixels, self._size, name=name)
        own: LabelMap | None = None
        if labels is not None:
            found = read_label_map(labels, name=labels_name)
            own = fit_label_map(
                found, self._label_size, name=labels_name, width=width, height=height, crop=crop
            )
        return Picture(
            key=portrait_key(portrait, own),
            name=name,
            width=width,
            height=height,
            size=self._size,
            png=encode_png(portrait),
            labels_png=None if own is None else encode_labels(own),
            photo=data if faces else None,
            crop=crop,
            face_count=len(faces) if faces else None,
            landmarks=faces[0].points if faces else None,
            findings=findings,
        )

    def _is_photograph(self, pixels: Pixels) -> bool:
        is_square = pixels.shape[0] == pixels.shape[1]
        return self._policy is AlignPolicy.ALWAYS or (
            self._policy is AlignPolicy.AUTO and not is_square
        )

    def _faces(self, pixels: Pixels, name: str) -> tuple[Face, ...]:
        height, width, _ = pixels.shape
        try:
            self._finder = self._finder or open_finder(self._landmarks)
        except InputError as error:
            raise InputError(
                f"{name} is {width}x{height} pixels, so its face must be found, but {error}; "
                "or give a square portrait, cropped around the face by hand"
            ) from error
        return found_faces(self._finder, pixels, name=name)

    def _cut(self, pixels: Pixels, face: Face, name: str) -> AlignedFace:
        try:
            return align_face(pixels, face.points, size=self._size)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error


def found_faces(finder: FaceFinder, pixels: Pixels, *, name: str) -> tuple[Face, ...]:
    """The faces of a photograph, the largest first. Raises InputError when there is none."""
    faces = finder.find(pixels)
    if not faces:
        height, width, _ = pixels.shape
        raise InputError(
            f"no face was found in {name} ({width}x{height} pixels, upright): give a photograph "
            "that shows one from the front, or a square portrait, cropped around it by hand"
        )
    return faces


def bytes_of(path: Path) -> bytes:
    """A file's contents. Raises InputError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL byte
        raise InputError(f"{str(path)!r} cannot be the name of a file: correct the cell") from error
