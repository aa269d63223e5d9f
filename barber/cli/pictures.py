"""The pictures that a command names: each file read once, photographs cut, own label maps kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from barber.errors import InputError
from barber.photographs.picture import Picture
from barber.photographs.portraits import PictureFiles, PortraitReader, bytes_of
from barber.spec import PortraitKey


class Pictures:
    """Portraits by content.

    Args:
        reader: Reads the files.
        maps: Portraits' own label maps, as `PORTRAIT=MAP`.

    Raises:
        InputError: A map is not written so, or a portrait has two.
    """

    def __init__(self, reader: PortraitReader, maps: Iterable[str] = ()) -> None:
        self._reader = reader
        self._maps = _read_maps(maps)
        self._keys: dict[Path, PortraitKey] = {}
        self.by_key: dict[PortraitKey, Picture] = {}
        self.digests: dict[PortraitKey, str] = {}  # of the files' bytes
        self.names: dict[str, str] = {}  # of the files, by key

    def read(self, path: Path) -> PortraitKey:
        """The portrait of a file. Raises InputError when it cannot be used."""
        if path not in self._keys:
            picture = self._reader.read_files(PictureFiles(path, self._maps.get(path)))
            self._keys[path] = picture.key
            self.by_key.setdefault(picture.key, picture)
            self.digests.setdefault(picture.key, hashlib.sha256(bytes_of(path)).hexdigest())
            self.names.setdefault(picture.key, path.name)
        return self._keys[path]

    def refuse_unused_maps(self) -> None:
        """Raises InputError when a label map belongs to no portrait that was read."""
        unused = [path for path in self._maps if path not in self._keys]
        if unused:
            read = ", ".join(str(path) for path in self._keys)
            raise InputError(
                f"--labels names the portrait {unused[0]}, which nothing uses: name one of {read}"
            )


def _read_maps(texts: Iterable[str]) -> dict[Path, Path]:
    maps: dict[Path, Path] = {}
    for text in texts:
        portrait, equals, labels = text.rpartition("=")
        if not (portrait and equals and labels):
            raise InputError(f"--labels {text!r}: write PORTRAIT=MAP, for example ann.png=map.png")
        if maps.setdefault(Path(portrait), Path(labels)) != Path(labels):
            raise InputError(f"--labels gives {portrait} two maps: leave one out")
    return maps
