"""A table with the pictures that it names, packed into one ZIP for a console elsewhere."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from barber.errors import InputError
from barber.table import read_header
from barber.table_files import TableFile, open_table
from barber.table_rows import KEEP, Column
from barber.unpack import safe_name

ELSEWHERE = "elsewhere"  # the folder of pictures that lie outside the table's own


def pack_table(
    path: Path, out: Path, *, on_picture: Callable[[int, int], None] = lambda _done, _total: None
) -> int:
    """Writes the ZIP; returns how many pictures are in it. Rows keep the lines that they stand on.

    A picture that is not there is left out: whoever reads the table says so of its row.

    Raises:
        InputError: The table cannot be read.
    """
    with open_table(path) as opened:
        columns = read_header(opened.header, path)
        names: dict[str, str] = {}  # the cell -> the name in the ZIP
        table = _rewritten(opened, columns, names)
    found = {cell: name for cell, name in names.items() if (path.parent / cell).is_file()}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as packed:  # pictures are packed already
        packed.writestr("manifest.jsonl", table)
        for number, (cell, name) in enumerate(found.items(), 1):
            packed.write(path.parent / cell, name)
            on_picture(number, len(found))
    return len(found)


def _rewritten(opened: TableFile, columns: Sequence[Column], names: dict[str, str]) -> str:
    """The table as JSON lines, its pictures called as they are in the ZIP."""
    lines: list[str] = []
    taken: set[str] = {"manifest.jsonl"}
    for number, cells in opened.lines:
        # Each row stands where it stood, so that what is said of a line fits the person's file.
        lines += [""] * (number - 1 - len(lines))
        if isinstance(cells, str):
            lines.append(json.dumps(cells))
            continue
        if len(cells) > len(columns):
            raise InputError(
                f"the table {opened.path}, line {number} has {len(cells)} cells under "
                f"{len(columns)} columns: put quotes around a cell that holds the separator"
            )
        row = {
            column.name: _renamed(cell.strip(), column, names, taken)
            for column, cell in zip(columns, cells, strict=False)
        }
        filled = {column.name: row.get(column.name, "") for column in columns}
        lines.append(json.dumps(filled, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _renamed(cell: str, column: Column, names: dict[str, str], taken: set[str]) -> str:
    """A cell as it stands in the ZIP's table."""
    names_picture = column.fixed == "identity" or column.area is not None or column.labels_of
    if not cell or not names_picture or (column.area is not None and cell.lower() == KEEP):
        return cell
    if cell not in names:
        names[cell] = _name(cell, taken)
        taken.add(names[cell].casefold())
    return names[cell]


def _name(cell: str, taken: set[str]) -> str:
    try:
        name = str(safe_name(cell))
    except InputError:  # outside of the table's folder, which nobody elsewhere has
        name = f"{ELSEWHERE}/{PurePosixPath(cell.replace(chr(92), '/')).name[-90:] or 'picture'}"
    plain = PurePosixPath(name)
    count = 1
    while name.casefold() in taken:
        count += 1
        name = str(plain.with_name(f"{plain.stem}-{count}{plain.suffix}"))
    return name
