"""A file of pairs: somebody's own pictures as the material of a run.

CSV with a header, or JSON lines; the columns are `identity`, `hair` and, where wanted, `colour` and
`name`. Paths are relative to the file.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from barber.errors import InputError, short_key
from barber.evaluation.cases import Case, Material
from barber.photographs.picture import Picture
from barber.photographs.portraits import PictureFiles, PortraitReader
from barber.spec import PortraitKey

NEEDED = ("identity", "hair")
COLUMNS = (*NEEDED, "colour", "name")


def read_pairs(path: Path, reader: PortraitReader) -> Material:
    """Reads a file of pairs and every picture that it names.

    Raises:
        InputError: The file, a row or a picture cannot be used; all rows are told at once.
    """
    found = _Found(path.parent, reader)
    cases: list[Case] = []
    problems: list[str] = []
    for line, row in _rows(path):
        try:
            cases.append(found.case(row, f"pair-{len(cases) + len(problems) + 1:03d}"))
        except InputError as error:
            problems.append(f"line {line}: {error}")
    if problems:
        told = "\n".join(f"  {problem}" for problem in problems)
        count = "1 row" if len(problems) == 1 else f"{len(problems)} rows"
        raise InputError(f"{path} has {count} that cannot be used: correct them\n{told}")
    if not cases:
        raise InputError(f"{path} has no pairs: give at least one row under {', '.join(NEEDED)}")
    names = [case.name for case in cases]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path} has the name {twice[0]!r} twice: give another")
    return Material(
        source=f"pictures of {path.name}",
        pictures=found.pictures,
        names=found.names(),
        cases=tuple(cases),
    )


class _Found:
    """The pictures that rows name, each read once."""

    def __init__(self, folder: Path, reader: PortraitReader) -> None:
        self._folder, self._reader = folder, reader
        self._keys: dict[Path, PortraitKey] = {}
        self.pictures: dict[PortraitKey, Picture] = {}

    def case(self, row: Mapping[str, str], name: str) -> Case:
        """Raises InputError when a cell is empty or its picture cannot be used."""
        for column in NEEDED:
            if not row.get(column):
                raise InputError(f"has no {column}: name a picture")
        identity, hair = self._key(row["identity"]), self._key(row["hair"])
        colour = self._key(row["colour"]) if row.get("colour") else hair
        if identity == hair == colour:
            raise InputError("takes the hair of the identity itself: name another picture")
        return Case(name=row.get("name") or name, identity=identity, hair=hair, colour=colour)

    def names(self) -> dict[PortraitKey, str]:
        """What to call each picture: its file's name, with its key where two are called alike."""
        files = [picture.name for picture in self.pictures.values()]
        return {
            key: picture.name
            if files.count(picture.name) == 1
            else f"{picture.name} {short_key(key)}"
            for key, picture in self.pictures.items()
        }

    def _key(self, cell: str) -> PortraitKey:
        path = self._folder / cell
        if path not in self._keys:
            picture = self._reader.read_files(PictureFiles(path))
            self._keys[path] = picture.key
            self.pictures.setdefault(picture.key, picture)
        return self._keys[path]


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows with their lines; every cell is text without blanks around it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the pairs {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the pairs {path} are not UTF-8 text (byte {error.start})") from error
    return _json_rows(text, path) if text.lstrip().startswith("{") else _csv_rows(text, path)


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    for line, each in enumerate(text.splitlines(), start=1):
        if not each.strip():
            continue
        try:
            data: Any = json.loads(each)
        except ValueError as error:
            raise InputError(f"{path}, line {line} is not JSON: {error}") from error
        if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
            raise InputError(f"{path}, line {line}: give an object of names and texts")
        _check_columns(data, f"{path}, line {line}")
        yield line, {name: value.strip() for name, value in data.items()}


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    if reader.fieldnames is None:
        raise InputError(f"{path} is empty: give a header {', '.join(NEEDED)} and rows")
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames]
    _check_columns(dict.fromkeys(reader.fieldnames, ""), str(path))
    if twice := [name for name, count in Counter(reader.fieldnames).items() if count > 1]:
        raise InputError(f"{path} has the column {twice[0]!r} twice: leave one")
    try:
        for row in reader:
            if None in row:
                raise InputError(f"{path}, line {reader.line_num} has more cells than columns")
            yield reader.line_num, {name: (value or "").strip() for name, value in row.items()}
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num + 1} cannot be read: {error}") from error


def _check_columns(data: Mapping[str, str], where: str) -> None:
    for column in NEEDED:
        if column not in data:
            raise InputError(
                f"{where} has no column {column!r}: give {', '.join(NEEDED)} and, where the "
                "colour comes from a third picture, colour"
            )
    if unknown := [name for name in data if name not in COLUMNS]:
        raise InputError(f"{where} has the unknown column {unknown[0]!r}: use {', '.join(COLUMNS)}")
