"""The rows of a table: their cells, read and checked one by one; `table` reads the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from barber.errors import InputError
from barber.labels import Area
from barber.manifest import Manifest
from barber.photographs.picture import Picture
from barber.photographs.portraits import AlignPolicy, PictureFiles, PortraitReader
from barber.preflight.findings import Finding, Refused
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
    reason: str  # all of them, joined by "; "
    findings: tuple[Finding, ...] = ()  # of pre-flight, refusals and warnings

    def __str__(self) -> str:
        return f"line {self.line} ({self.name}): {self.reason}"

    def to_json(self) -> dict[str, Any]:
        findings = [finding.to_json() for finding in self.findings]
        facts = {"line": self.line, "name": self.name, "reason": self.reason}
        return facts | {"findings": findings}


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
    findings: tuple[Finding, ...] = ()  # of pre-flight; none is a refusal


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
    confined: bool = False  # no file outside the table's folder, for a table from elsewhere
    # What is known by a name when there is no such file: portraits that were sent before.
    known: Callable[[str], Picture | None] | None = None

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
        confined: bool = False,
        known: Callable[[str], Picture | None] | None = None,
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
            confined=confined,
            known=known,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What one column holds: a fixed field, one side of a region, or the map of one of these."""

    name: str  # as it stands in the header
    fixed: str | None = None
    area: Area | None = None
    is_colour: bool = False
    labels_of: str | None = None  # the column whose portrait has its own label map here


T = TypeVar("T")


class _Problems:
    """What stands against one row: everything, so that a person corrects it once."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.findings: list[Finding] = []

    def tried(self, step: Callable[[], T]) -> T | None:
        """What a step gives; None when it raised InputError, which is then one of the reasons."""
        try:
            return step()
        except InputError as error:
            self.reasons.append(str(error))
            self.findings += error.findings if isinstance(error, Refused) else ()
            return None


class RowReader:
    """Turns the cells of one row after another into planned rows; each picture is read once."""

    def __init__(self, folder: Path, columns: Sequence[Column], settings: TableSettings) -> None:
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
        problems = _Problems()
        row = self._checked(line, name, cells, problems)
        if row is not None and not problems.reasons:
            return self._planned(row)
        return RowError(
            line=line,
            name=name if name.isprintable() else ascii(name),
            reason="; ".join(dict.fromkeys(problems.reasons)),
            findings=tuple(problems.findings),
        )

    def _checked(
        self, line: int, name: str, cells: Sequence[str], problems: _Problems
    ) -> Row | None:
        """The row; None without an identity. It can be planned when there are no problems."""
        if len(cells) > len(self._columns):
            problems.reasons.append(
                f"has {len(cells)} cells under {len(self._columns)} columns: "
                "put quotes around a cell that holds the separator"
            )
            return None
        problems.tried(lambda: self._take_name(name, line))
        values = {c.fixed: v.strip() for c, v in zip(self._columns, cells, strict=False) if c.fixed}
        if not values.get("identity"):
            problems.reasons.append("has no identity: name the portrait to change")
        identity = self._folder / values.get("identity", "")
        preset = values.get("preset") or self._settings.default_preset
        params = problems.tried(lambda: self._params(preset, values.get("set", "")))
        priority = problems.tried(lambda: _whole(values, "priority", -MAX_PRIORITY, MAX_PRIORITY))
        seed = problems.tried(lambda: _whole(values, "seed", 0, MAX_SEED))
        regions = problems.tried(lambda: self._regions(identity, cells))
        maps = problems.tried(lambda: self._maps(identity, cells)) or {}
        for path in self._paths(cells):
            files = PictureFiles(path, maps.get(path))
            problems.tried(partial(self._portrait, files))
        if params is None or priority is None or seed is None or regions is None:
            return None
        return Row(
            line=line,
            name=name,
            identity=identity,
            regions=regions,
            maps=maps,
            params=params,
            priority=priority,
            seed=seed,
        )

    def _take_name(self, name: str, line: int) -> None:
        if not name.isprintable():
            raise InputError(
                f"the name {name!r} has characters that cannot be shown: leave them out"
            )
        if name in self._names:
            raise InputError(f"the name is used on line {self._names[name]}: give another")
        self._names[name] = line

    def _paths(self, cells: Sequence[str]) -> list[Path]:
        """The portraits that a row names, each once."""
        named = [
            self._folder / cell.strip()
            for column, cell in zip(self._columns, cells, strict=False)
            if cell.strip()
            and (column.fixed == "identity" or (column.area is not None and not _keeps(cell)))
        ]
        return list(dict.fromkeys(named))

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
            path = identity if _keeps(cell) else self._folder / cell.strip()
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
            portrait = identity if _keeps(cell) else self._folder / cell
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
            raise Refused(found.findings) if isinstance(found, Refused) else InputError(str(found))
        return found

    def _read_picture(self, files: PictureFiles) -> PortraitKey | InputError:
        for path in (files.portrait, files.labels):
            if self._settings.confined and path is not None and not self._is_inside(path):
                return InputError(f"{path.name} lies outside the table's folder: send it along")
        try:
            picture = self._sent_before(files) or self._reader.read_files(files)
        except InputError as error:
            return error
        self.pictures.setdefault(picture.key, picture)
        return picture.key

    def _sent_before(self, files: PictureFiles) -> Picture | None:
        known = self._settings.known
        if known is None or files.labels is not None or files.portrait.exists():
            return None
        return known(str(files.portrait.relative_to(self._folder)))

    def _is_inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._folder.resolve())


def _keeps(cell: str) -> bool:
    """Whether a region's cell asks for the identity's own."""
    return cell.strip().lower() == KEEP


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
