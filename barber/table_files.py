"""The files that a table may come in: CSV, JSON lines, or a ZIP with one of them and the pictures.

Whatever the file, rows are cells under columns, each with the line that it stands on.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from barber.errors import InputError
from barber.unpack import unpack

JSON_LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv", *JSON_LINES)
MANIFESTS = ("manifest", "table")  # which of several tables in a ZIP is meant
MAX_TABLE_BYTES = 64 << 20

Line = tuple[int, list[str] | str]  # the cells of a row, or why they cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """An opened table: what its paths are relative to, its columns, and its rows as they come."""

    path: Path
    folder: Path
    header: list[str]
    lines: Iterator[Line]


@contextmanager
def open_table(path: Path) -> Iterator[TableFile]:
    """Opens a table of any kind; a ZIP is unpacked until the end of the block.

    Raises:
        InputError: The file cannot be used at all.
    """
    if path.suffix.lower() != ".zip":
        yield _opened(path)
        return
    with tempfile.TemporaryDirectory(prefix="barber-zip-") as folder:
        names = unpack(path, Path(folder))
        yield _opened(Path(folder) / _manifest(names, path.name))


def _manifest(names: list[PurePosixPath], archive: str) -> PurePosixPath:
    """The table among the files of a ZIP."""
    tables = [name for name in names if name.suffix.lower() in TABLES]
    if not tables:
        raise InputError(f"{archive} holds no table: add manifest.csv or manifest.jsonl to it")
    if len(tables) > 1:
        named = [name for name in tables if name.stem.lower() in MANIFESTS]
        if len(named) != 1:
            told = ", ".join(str(name) for name in tables[:5])
            raise InputError(
                f"{archive} holds several tables ({told}): call the one that is meant manifest.csv"
            )
        return named[0]
    return tables[0]


def _opened(path: Path) -> TableFile:
    lines = _json_lines(path) if path.suffix.lower() in JSON_LINES else _csv_lines(path)
    header = next(lines, None)
    if header is None or isinstance(header[1], str):
        raise InputError(f"{path} is empty: give a header line and at least one row")
    return TableFile(path=path, folder=path.parent, header=header[1], lines=lines)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InputError(
                f"the table {path} has more than {MAX_TABLE_BYTES >> 20} MiB: "
                "split it, and send pictures as files of their own"
            )
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the table {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the table {path} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8"
        ) from error


def _csv_lines(path: Path) -> Iterator[Line]:
    """The records of a CSV file with the line each ends on; commas, semicolons or tabs."""
    text = _text(path)
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # a spreadsheet's export depends on its country
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"the table {path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path) -> Iterator[Line]:
    """The objects of a JSON lines file; first their keys, in the order in which they appear."""
    rows: list[tuple[int, dict[str, str] | str]] = []
    columns: dict[str, None] = {}
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        row = _json_row(line)
        rows.append((number, row))
        if isinstance(row, dict):
            columns.update(dict.fromkeys(row))
    if not rows:
        return
    if not columns:
        raise InputError(f"the table {path}, line {rows[0][0]}: {rows[0][1]}")
    yield 0, list(columns)
    for number, row in rows:
        if isinstance(row, str):
            yield number, row
        else:
            yield number, [row.get(column, "") for column in columns]


def _json_row(line: str) -> dict[str, str] | str:
    """The cells of one object by column, or why there are none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f'is no JSON ({error}): write one object, as {{"identity": "a.png", ..}}'
    if not isinstance(row, dict):
        return 'is no object: write {"identity": "a.png", "hair": "b.png"}'
    for name, value in row.items():
        if isinstance(value, bool | list | dict):
            return f"{name} is {json.dumps(value)[:40]}: give a text or a number"
    return {name: "" if value is None else str(value) for name, value in row.items()}
