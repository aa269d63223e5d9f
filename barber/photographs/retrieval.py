"""Portraits found again for a recipe: by content, wherever the files lie and whatever their names.

A candidate counts only when the digest of what is read from it is the portrait's key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from barber.errors import BarberError, CheckpointError, InputError, short_key
from barber.geometry import Geometry
from barber.photographs.crop import cut_again
from barber.photographs.own_labels import fit_label_map, read_label_map
from barber.photographs.picture import Crop, LabelMap, Picture, encode_labels
from barber.photographs.portraits import AlignPolicy, PortraitReader
from barber.pixels import Pixels, decode, encode_png, fit_portrait, portrait_key
from barber.recipe import PortraitOrigin, Recipe
from barber.spec import PortraitKey

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif")
LABEL_SUFFIXES = (".labels.png", "-labels.png", "_labels.png")

Kept = Callable[[PortraitKey], Picture | None]  # from a store, where there is one


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """A search for the portraits of one recipe."""

    recipe: Recipe
    geometry: Geometry  # of its bundle
    origins: Mapping[PortraitKey, PortraitOrigin]  # what its JSON tells; may be empty
    folder: Path  # where files are looked for
    landmarks: Path | None = None  # predictor, for photographs whose crop is not known
    faults: list[str] = field(default_factory=list)  # files by the right name with another content

    def find(self, kept: Kept) -> dict[PortraitKey, Picture]:
        """Every portrait of the recipe.

        Args:
            kept: Asked for what no file holds.

        Raises:
            InputError: Some portrait is nowhere; the message names it.
        """
        wanted = dict.fromkeys(self.recipe.spec.portraits)
        found: dict[PortraitKey, Picture] = {}
        for path in self._candidates:
            if len(found) == len(wanted):
                break
            for picture in self._readings(path):
                if picture.key in wanted:
                    found.setdefault(picture.key, picture)
        for key in wanted:
            if key not in found:
                picture_kept = kept(key)
                if picture_kept is None:
                    raise InputError(self._missing(key))
                found[key] = picture_kept
        return {key: found[key] for key in wanted}

    @cached_property
    def _candidates(self) -> list[Path]:
        """Files of the folder, those of the right names first."""
        names = {origin.name for origin in self.origins.values()}
        try:
            files = [path for path in self.folder.iterdir() if path.suffix.lower() in SUFFIXES]
        except OSError as error:
            raise InputError(
                f"the folder {self.folder} cannot be read: {error.strerror}"
            ) from error
        return sorted(files, key=lambda path: (path.name not in names, path.name))

    def _readings(self, path: Path) -> Iterator[Picture]:
        """What a file may stand for: the picture, cut in each known way, with and without maps."""
        try:
            data = path.read_bytes()
            full = decode(data, name=path.name)
        except (BarberError, OSError):
            return
        height, width, _ = full.shape
        for pixels, crop in self._cuts(full, data, path.name):
            for own in (None, *self._label_maps(path, width, height, crop)):
                yield Picture(
                    key=portrait_key(pixels, own),
                    name=path.name,
                    width=width,
                    height=height,
                    size=self.geometry.image_size,
                    png=encode_png(pixels),
                    labels_png=None if own is None else encode_labels(own),
                    photo=None if crop is None else data,
                    crop=crop,
                )

    def _cuts(self, full: Pixels, data: bytes, name: str) -> Iterator[tuple[Pixels, Crop | None]]:
        digest = hashlib.sha256(data).hexdigest()
        crops = [
            origin.crop
            for origin in self.origins.values()
            if origin.crop is not None and (origin.name == name or origin.sha256 == digest)
        ]
        for known in crops:
            crop = Crop.from_json(dict(known))
            if (crop.height, crop.width) == full.shape[:2]:
                yield cut_again(full, crop), crop
        if full.shape[0] == full.shape[1]:
            if full.shape[0] >= self.geometry.image_size:
                yield fit_portrait(full, self.geometry.image_size, name=name), None
        elif not crops:
            yield from self._aligned(data, name)

    def _aligned(self, data: bytes, name: str) -> Iterator[tuple[Pixels, Crop | None]]:
        """The face of a photograph of which no crop is known, where a face finder is installed."""
        size, labels = self.geometry.image_size, self.geometry.label_size
        reader = PortraitReader(size, labels, policy=AlignPolicy.AUTO, landmarks=self.landmarks)
        try:
            picture = reader.read(data, name=name)
        except (InputError, CheckpointError) as error:
            self.faults.append(f"{name}: {error}")
            return
        yield picture.pixels(), picture.crop

    def _label_maps(
        self, path: Path, width: int, height: int, crop: Crop | None
    ) -> Iterator[LabelMap]:
        """Label maps that may be the picture's; none are looked for when the recipe has none."""
        if not self.recipe.label_maps:
            return
        near = [path.with_name(path.stem + suffix) for suffix in LABEL_SUFFIXES]
        others = (file for file in self._candidates if file not in near)
        for file in (*near, *others):
            if file == path or file.suffix.lower() != ".png":
                continue
            try:
                labels = read_label_map(file.read_bytes(), name=file.name)
                yield fit_label_map(
                    labels,
                    self.geometry.label_size,
                    name=file.name,
                    width=width,
                    height=height,
                    crop=crop,
                )
            except (BarberError, OSError):
                continue

    def _missing(self, key: PortraitKey) -> str:
        origin, labelled = self.origins.get(key), key in self.recipe.label_maps
        name = f" ({origin.name})" if origin else ""
        also = " with its label map" if labelled else ""
        there = origin is not None and (self.folder / origin.name).exists()
        if there and not labelled:
            why = "the file of that name holds another picture"
        else:
            why = f"no picture in {self.folder} is it"
        hint = f" ({self.faults[0]})" if self.faults else ""
        return (
            f"portrait {short_key(key)}{name}{also} is missing, {why}{hint}: "
            "name the folder of the portraits with --portraits"
        )
