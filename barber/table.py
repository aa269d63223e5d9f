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
from typing import Any, Self

from barber.errors import InputError
from barber.labels import Area, parse_region, region_words
from barber.manifest import Manifest
from barber.photographs.picture import Picture
from barber.photographs.portraits import AlignPolicy, PictureFiles, PortraitReader
from barber.spec import (
    JobSpec,
    NoiseMode,
    PortraitKey,
    RegionEdit,
    StageParams,
    apply_settings,
    default_preset,
    preset_params,
)

COLOUR = "colour"
LABELS = "labels"
KEEP = "keep"  # in place of a file: the identity's own; a file of that name is written ./keep
FIXED_COLUMNS = ("name", "identity", "priority", "seed", "preset", "set")
MAX_PRIORITY = 1000
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """Why one row cannot become a job."""

    line: int  # of the file, the header is line 1
    name: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line} ({self.name}): {self.reason}"

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line, "name": self.name, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionPaths:
    """One region of a row: what it covers, and the files that give its shape and its colour."""

    area: Area
    structure: Path
    appearance: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row whose cells are sound: what is composed from which files."""

    line: int
    name: str
    identity: Path
    regions: tuple[RegionPaths, ...]
    maps: Mapping[Path, Path]  # portraits with a label map of their own
    params: StageParams
    priority: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A row as the queue takes it."""

    line: int
    name: str
    spec: JobSpec
    priority: int


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSettings:
    """What a table's rows get from outside: the bundle they run on and its defaults."""

    bundle_digest: str
    size: int  # side of the bundle's portraits in pixels
    label_size: int  # side of its label maps
    presets: Mapping[str, Mapping[str, Any]]  # the bundle's own
    default_preset: str
    settings: tuple[str, ...] = ()  # parameters by hand, for every row that does not set them
    noise: NoiseMode = NoiseMode.FRESH
    align: AlignPolicy = AlignPolicy.AUTO
    landmarks: Path | None = None  # the predictor for photographs; the installed one when None

    @classmethod
    def for_bundle(
        cls,
        manifest: Manifest,
        *,
        preset: str | None = None,
        settings: tuple[str, ...] = (),
        noise: NoiseMode = NoiseMode.FRESH,
        align: AlignPolicy = AlignPolicy.AUTO,
        landmarks: Path | None = None,
    ) -> Self:
        """The settings that a bundle gives; `preset` is the default of rows that name none."""
        return cls(
            bundle_digest=manifest.digest,
            size=manifest.geometry.image_size,
            presets=manifest.presets,
            label_size=manifest.geometry.label_size,
            default_preset=preset or default_preset(manifest.presets),
            settings=settings,
            noise=noise,
            align=align,
            landmarks=landmarks,
        )


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
    reader = _RowReader(path.parent, columns, settings)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """What one column holds: a fixed field, one side of a region, or the map of one of these."""

    name: str  # as it stands in the header
    fixed: str | None = None
    area: Area | None = None
    is_colour: bool = False
    labels_of: str | None = None  # the column whose portrait has its own label map here


def _read_header(cells: Sequence[str], path: Path) -> list[_Column]:
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


def _read_column(cell: str, path: Path) -> _Column:
    name = cell.strip().lower()
    if name in FIXED_COLUMNS:
        return _Column(name=name, fixed=name)
    if name.endswith(f"-{LABELS}"):
        return _Column(name=name, labels_of=name.removesuffix(f"-{LABELS}"))
    region = "hair" if name == COLOUR else name.removesuffix(f"-{COLOUR}")
    try:
        area = parse_region(region)
    except InputError as error:
        raise InputError(
            f"{path} has an unknown column {cell.strip()!r} ({error}): use "
            f"{', '.join(FIXED_COLUMNS)}, {COLOUR}, {_region_words()}"
        ) from error
    return _Column(name=name, area=area, is_colour=region != name)


def _region_words() -> str:
    words = ", ".join(region_words())
    return f"a region ({words}; joined by '+'), <region>-{COLOUR}, or <column>-{LABELS}"


class _RowReader:
    """Turns the cells of one row after another into planned rows; each picture is read once."""

    def __init__(self, folder: Path, columns: Sequence[_Column], settings: TableSettings) -> None:
        self._folder = folder
        self._columns = columns
        self._settings = settings
        self._names: dict[str, int] = {}  # name -> line
        self._reader = PortraitReader(
            settings.size, settings.label_size, policy=settings.align, landmarks=settings.landmarks
        )
        self._found: dict[PictureFiles, PortraitKey | InputError] = {}
        self.pictures: dict[PortraitKey, Picture] = {}

    def read(self, line: int, cells: Sequence[str]) -> PlannedRow | RowError:
        fixed = [c.fixed for c in self._columns]
        name = cells[fixed.index("name")].strip() if "name" in fixed[: len(cells)] else ""
        name = name or f"row-{line}"
        try:
            return self._planned(self._checked(line, name, cells))
        except InputError as error:
            shown = name if name.isprintable() else ascii(name)
            return RowError(line=line, name=shown, reason=str(error))

    def _checked(self, line: int, name: str, cells: Sequence[str]) -> Row:
        if len(cells) > len(self._columns):
            raise InputError(
                f"has {len(cells)} cells under {len(self._columns)} columns: "
                "put quotes around a cell that holds the separator"
            )
        if not name.isprintable():
            raise InputError(
                f"the name {name!r} has characters that cannot be shown: leave them out"
            )
        if name in self._names:
            raise InputError(f"the name is used on line {self._names[name]}: give another")
        self._names[name] = line
        values = {c.fixed: v.strip() for c, v in zip(self._columns, cells, strict=False) if c.fixed}
        if not values.get("identity"):
            raise InputError("has no identity: name the portrait to change")
        identity = self._folder / values["identity"]
        preset = values.get("preset") or self._settings.default_preset
        return Row(
            line=line,
            name=name,
            identity=identity,
            regions=self._regions(identity, cells),
            maps=self._maps(identity, cells),
            params=self._params(preset, values.get("set", "")),
            priority=_whole(values, "priority", -MAX_PRIORITY, MAX_PRIORITY),
            seed=_whole(values, "seed", 0, MAX_SEED),
        )

    def _params(self, preset: str, texts: str) -> StageParams:
        """The preset's params with the table's settings and, on top, the row's own."""
        params = preset_params(preset, self._settings.presets)
        return apply_settings(apply_settings(params, self._settings.settings), texts.split())

    def _regions(self, identity: Path, cells: Sequence[str]) -> tuple[RegionPaths, ...]:
        """The row's regions in column order; a colour alone leaves the identity's own shape."""
        shapes: dict[Area, Path | None] = {}
        colours: dict[Area, Path] = {}
        for column, cell in zip(self._columns, cells, strict=False):
            if column.area is None or not cell.strip():
                continue
            path = identity if cell.strip().lower() == KEEP else self._folder / cell.strip()
            shapes.setdefault(column.area, None)
            if column.is_colour:
                colours[column.area] = path
            else:
                shapes[column.area] = path
        if not shapes:
            raise InputError("changes nothing: fill at least one region or colour cell")
        regions = []
        for area, shape in shapes.items():
            structure = shape or identity
            appearance = colours.get(area, structure)
            regions.append(RegionPaths(area=area, structure=structure, appearance=appearance))
        return tuple(regions)

    def _maps(self, identity: Path, cells: Sequence[str]) -> dict[Path, Path]:
        """Which portrait of the row has which label map; one map each, wherever it stands."""
        names = [column.name for column in self._columns]
        filled = {n: c.strip() for n, c in zip(names, cells, strict=False) if c.strip()}
        maps: dict[Path, Path] = {}
        for column in self._columns:
            if column.labels_of is None or column.name not in filled:
                continue
            if column.labels_of not in filled:
                raise InputError(f"{column.name} is given and {column.labels_of} is not")
            cell = filled[column.labels_of]
            portrait = identity if cell.lower() == KEEP else self._folder / cell
            found = self._folder / filled[column.name]
            if maps.setdefault(portrait, found) != found:
                raise InputError(
                    f"gives {portrait.name} two label maps ({maps[portrait].name}, {found.name}): "
                    "leave one out"
                )
        return maps

    def _planned(self, row: Row) -> PlannedRow:
        def portrait(path: Path) -> PortraitKey:
            return self._portrait(PictureFiles(path, row.maps.get(path)))

        spec = JobSpec(
            identity=portrait(row.identity),
            regions=tuple(
                RegionEdit(
                    labels=region.area.labels,
                    zone=region.area.zone,
                    structure=portrait(region.structure),
                    appearance=portrait(region.appearance),
                )
                for region in row.regions
            ),
            bundle=self._settings.bundle_digest,
            params=row.params,
            noise=self._settings.noise,
            seed=row.seed,
        )
        return PlannedRow(line=row.line, name=row.name, spec=spec, priority=row.priority)

    def _portrait(self, files: PictureFiles) -> PortraitKey:
        """Raises InputError when a file is missing or its picture cannot be used."""
        if files not in self._found:
            self._found[files] = self._read_picture(files)
        found = self._found[files]
        if isinstance(found, InputError):
            raise InputError(str(found))
        return found

    def _read_picture(self, files: PictureFiles) -> PortraitKey | InputError:
        try:
            picture = self._reader.read_files(files)
        except InputError as error:
            return error
        self.pictures.setdefault(picture.key, picture)
        return picture.key


def _whole(values: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = values.get(name, "")
    if not text:
        return 0
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise InputError(f"{name} is {text!r}: give a whole number from {low} to {high}")
    return number
