"""A CSV table of compositions: read, checked row by row, turned into jobs. No torch.

Columns: `name`, `identity`, one per region expression (`hair`, `face`, `eyes+brows`, ..) whose
cell is the portrait that gives the shape, `<region>-colour` for the portrait that gives the colour
(`colour` is `hair-colour`), `<column>-labels` for a portrait's own label map, `priority`, `seed`,
`preset`, `set` (parameters by hand, "blend.steps=100 align.rate=0.02"). Paths are relative to the
table. The word `keep` in such a cell stands for the identity's own shape or colour. The order of
the columns is the order of the regions; a later one wins where they overlap.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from barber.errors import InputError
from barber.labels import parse_region, region_words
from barber.photographs.picture import Picture
from barber.spec import PortraitKey, apply_settings, preset_params
from barber.table_rows import (
    COLOUR,
    FIXED_COLUMNS,
    KEEP,
    LABELS,
    MAX_SEED,
    Column,
    PlannedRow,
    RowError,
    RowReader,
    TableSettings,
)

__all__ = [
    "KEEP",
    "MAX_SEED",
    "PlannedRow",
    "RowError",
    "Table",
    "TableError",
    "TableSettings",
    "read_table",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A checked table: the rows that can be queued, those that cannot, and their portraits."""

    rows: tuple[PlannedRow, ...]
    errors: tuple[RowError, ...]
    pictures: Mapping[PortraitKey, Picture] = field(repr=False)  # each distinct portrait

    @property
    def digest(self) -> str:
        """Equal for tables that ask for the same (names, specs), however their files are called."""
        facts = [[row.name, row.priority, row.spec.to_json()] for row in self.rows]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def complaint(self) -> str:
        """All row errors, one per line."""
        return "\n".join(f"  {error}" for error in self.errors)


class TableError(InputError):
    """Rows of a table cannot be used; `errors` names each, and nothing was queued."""

    def __init__(self, message: str, errors: Sequence[RowError]) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


def read_table(path: Path, settings: TableSettings) -> Table:
    """Reads and checks every row, and every picture that a row names.

    Raises:
        InputError: The file or its header cannot be used at all. Errors of single rows do not
            raise; they are in the table.
    """
    lines = _read_lines(path)
    header = next(lines, None)
    if header is None:
        raise InputError(f"{path} is empty: give a header line and at least one row")
    columns = _read_header(header[1], path)
    # A wrong default is nobody's row.
    apply_settings(preset_params(settings.default_preset, settings.presets), settings.settings)
    reader = RowReader(path.parent, columns, settings)
    rows: list[PlannedRow] = []
    errors: list[RowError] = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        result = reader.read(line, cells)
        if isinstance(result, PlannedRow):
            rows.append(result)
        else:
            errors.append(result)
    if not rows and not errors:
        raise InputError(f"{path} has a header and no rows: give at least one")
    return Table(rows=tuple(rows), errors=tuple(errors), pictures=reader.pictures)


def _read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file with the line each ends on; commas, semicolons or tabs."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the table {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the table {path} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8"
        ) from error
    first = text.lstrip().split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # a spreadsheet's export depends on its country
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"the table {path}, line {reader.line_num}: {error}") from error


def _read_header(cells: Sequence[str], path: Path) -> list[Column]:
    columns = [_read_column(cell, path) for cell in cells]
    seen: dict[object, str] = {}
    for column in columns:
        meaning = column.fixed or (column.area, column.is_colour, column.labels_of)
        if meaning in seen:
            raise InputError(
                f"{path} has the column {column.name!r} twice (first as {seen[meaning]!r}): "
                "leave one out"
            )
        seen[meaning] = column.name
    if "identity" not in seen:
        raise InputError(f"{path} has no column 'identity': add one with the portraits to change")
    for column in columns:
        if column.labels_of and column.labels_of not in (other.name for other in columns):
            raise InputError(
                f"{path} has the column {column.name!r} and no {column.labels_of!r}: a label map "
                "needs the portrait that it belongs to"
            )
    if all(column.area is None for column in columns):
        raise InputError(f"{path} has no region column: add {_region_words()}")
    return columns


def _read_column(cell: str, path: Path) -> Column:
    name = cell.strip().lower()
    if name in FIXED_COLUMNS:
        return Column(name=name, fixed=name)
    if name.endswith(f"-{LABELS}"):
        return Column(name=name, labels_of=name.removesuffix(f"-{LABELS}"))
    region = "hair" if name == COLOUR else name.removesuffix(f"-{COLOUR}")
    try:
        area = parse_region(region)
    except InputError as error:
        raise InputError(
            f"{path} has an unknown column {cell.strip()!r} ({error}): use "
            f"{', '.join(FIXED_COLUMNS)}, {COLOUR}, {_region_words()}"
        ) from error
    return Column(name=name, area=area, is_colour=region != name)


def _region_words() -> str:
    words = ", ".join(region_words())
    return f"a region ({words}; joined by '+'), <region>-{COLOUR}, or <column>-{LABELS}"
