"""A table of compositions: read, checked row by row, turned into jobs. No torch.

CSV, JSON lines (one object a row, its keys are the columns) or a ZIP with one of them.

Columns: `name`, `identity`, one per region expression (`hair`, `face`, `eyes+brows`, ..) whose
cell is the portrait that gives the shape, `<region>-colour` for the portrait that gives the colour
(`colour` is `hair-colour`), `<column>-labels` for a portrait's own label map, `priority`, `seed`,
`preset`, `set` (parameters by hand, "blend.steps=100 align.rate=0.02"). Paths are relative to the
table. The word `keep` in such a cell stands for the identity's own shape or colour. The order of
the columns is the order of the regions; a later one wins where they overlap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from barber.errors import InputError
from barber.labels import parse_region, region_words
from barber.photographs.picture import Picture
from barber.spec import PortraitKey, apply_settings, preset_params
from barber.table_files import TableFile, open_table
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
    "TableReader",
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
    with open_table(path) as opened:
        reader = TableReader(opened, settings)
        found = list(reader.rows())
    if not found:
        raise InputError(f"{path} has a header and no rows: give at least one")
    return Table(
        rows=tuple(row for row in found if isinstance(row, PlannedRow)),
        errors=tuple(row for row in found if isinstance(row, RowError)),
        pictures=reader.pictures,
    )


class TableReader:
    """Rows of an opened table, one by one; `pictures` gathers those that rows name.

    Whoever reads a long table takes the pictures out as they come: each is read once.

    Raises:
        InputError: The header cannot be used.
    """

    def __init__(self, opened: TableFile, settings: TableSettings) -> None:
        self._lines = opened.lines
        columns = read_header(opened.header, opened.path)
        # A wrong default is nobody's row.
        apply_settings(preset_params(settings.default_preset, settings.presets), settings.settings)
        self._reader = RowReader(opened.folder, columns, settings)

    @property
    def pictures(self) -> dict[PortraitKey, Picture]:
        return self._reader.pictures

    def rows(self) -> Iterator[PlannedRow | RowError]:
        """Every row, planned or refused; rows without anything in them are left out."""
        for line, cells in self._lines:
            if isinstance(cells, str):
                yield RowError(line=line, name=f"row-{line}", reason=cells)
            elif any(cell.strip() for cell in cells):
                yield self._reader.read(line, cells)


def read_header(cells: Sequence[str], path: Path) -> list[Column]:
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
