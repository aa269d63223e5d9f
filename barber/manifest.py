"""What a bundle says about itself, readable without loading a network.

A bundle is a folder: four weight files and `manifest.json`, which names every file's digest, the
sizes, the presets and where the weights come from. One made of files that somebody brought may hold
the landmark predictor beside them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from barber.errors import CheckpointError, InputError
from barber.geometry import Geometry
from barber.spec import StageParams

MANIFEST_NAME = "manifest.json"
LANDMARKS_NAME = "landmarks.dat"
FORMAT = 1
SHIPPED = Path(__file__).parent / "bundles"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One weight file of a bundle."""

    sha256: str  # of the whole file, 64 hex digits
    bytes: int  # its length

    @classmethod
    def of(cls, path: Path) -> Self:
        """Reads a file and describes it."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(sha256=digest, bytes=path.stat().st_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A file that somebody brought, from which a part of the bundle was made."""

    file: str  # its name where it was read
    sha256: str  # of the whole file, 64 hex digits
    bytes: int  # its length
    licence: str  # what is known about its use


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A bundle's description."""

    name: str  # as people choose it, for example "rendered-128"
    geometry: Geometry
    segmenter: dict[str, Any]  # the parser's widths, as SegmenterWidths.to_json
    vgg: dict[str, Any]  # the features' widths, as VGGWidths.to_json
    presets: dict[str, dict[str, Any]]  # stage params that suit this bundle, by preset name
    licence: str  # what the weights may be used for
    source: str  # where the weights come from
    scores: dict[str, float]  # measured qualities, by name
    files: dict[str, FileRecord]  # by file name
    landmarks: FileRecord | None = (
        None  # of the landmark predictor, if it brings one
    )
    origins: dict[str, Origin] = field(default_factory=dict)  # by part: generator, parser, ..

    @property
    def digest(self) -> str:
        """The bundle's identity: 64 hex digits over its files' digests, sizes and widths.

        Presets, licence and scores are left out: they change no number that a stage computes. So
        does the landmark predictor: stages start from aligned portraits, which have their own key.
        """
        facts = {
            "files": {name: record.sha256 for name, record in self.files.items()},
            "geometry": self.geometry.to_json(),
            "segmenter": self.segmenter,
            "vgg": self.vgg,
        }
        canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def all_files(self) -> dict[str, FileRecord]:
        """Every file beside the manifest: the weight files, and the landmark predictor."""
        extra = {} if self.landmarks is None else {LANDMARKS_NAME: self.landmarks}
        return {**self.files, **extra}

    def to_json(self) -> dict[str, Any]:
        """Plain data, as it is written to the file."""
        return {
            "format": FORMAT,
            "name": self.name,
            "geometry": self.geometry.to_json(),
            "segmenter": self.segmenter,
            "vgg": self.vgg,
            "presets": self.presets,
            "licence": self.licence,
            "source": self.source,
            "scores": self.scores,
            "files": {name: asdict(record) for name, record in sorted(self.files.items())},
            "landmarks": None if self.landmarks is None else asdict(self.landmarks),
            "origins": {part: asdict(origin) for part, origin in self.origins.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises CheckpointError when a field is missing, surplus or of another format."""
        found = data.get("format") if isinstance(data, dict) else None
        if found != FORMAT:
            raise CheckpointError(
                f"manifest format {found!r} is not {FORMAT}: make the bundle anew"
            )
        fields = {key: value for key, value in data.items() if key != "format"}
        try:
            fields["geometry"] = Geometry.from_json(fields["geometry"])
            fields["files"] = {name: FileRecord(**entry) for name, entry in fields["files"].items()}
            if fields.get("landmarks") is not None:
                fields["landmarks"] = FileRecord(**fields["landmarks"])
            origins = fields.get("origins", {})
            fields["origins"] = {part: Origin(**entry) for part, entry in origins.items()}
            manifest = cls(**fields)
            manifest._check()
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise CheckpointError(f"the manifest cannot be read: {error}") from error
        return manifest

    def _check(self) -> None:
        """Raises TypeError or InputError when a value is not of its kind."""
        kinds: dict[str, type] = dict.fromkeys(("name", "licence", "source"), str)
        kinds |= dict.fromkeys(("segmenter", "vgg", "presets", "scores"), dict)
        for name, kind in kinds.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} is {getattr(self, name)!r}, not of type {kind.__name__}")
        for name, record in self.all_files.items():
            if name in ("", ".", "..") or Path(name).name != name:
                raise TypeError(f"{name!r} is no name of a file in the bundle's folder")
            if not (isinstance(record.sha256, str) and isinstance(record.bytes, int)):
                raise TypeError(f"the record of {name} needs a digest and a whole number of bytes")
        if not all(isinstance(score, int | float) for score in self.scores.values()):
            raise TypeError("scores must be numbers")
        for preset in self.presets.values():
            StageParams.from_json(preset)


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of a bundle folder; its weight files are not touched.

    Raises:
        CheckpointError: There is no bundle, or its manifest cannot be read.
    """
    file = path / MANIFEST_NAME
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path} is no bundle: {file.name} cannot be read ({error})"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{file} is not JSON: copy the bundle again ({error})") from error
    return Manifest.from_json(data)


def find_bundle(
    name_or_path: str | Path, bundles: Path | None = None, *, shipped: Path = SHIPPED
) -> Path:
    """The folder of a shipped bundle or of one of your own by name, or of any bundle by path.

    Args:
        name_or_path: What was asked for; a name wins over a folder of that name here.
        bundles: Where your own bundles lie: `Settings.bundles_dir`.
        shipped: Where those lie that come with the software.

    Raises:
        CheckpointError: Neither leads to a manifest; the message lists the known names.
    """
    shelves = [shipped] if bundles is None else [shipped, bundles]
    for candidate in (*(shelf / name_or_path for shelf in shelves), Path(name_or_path)):
        if (candidate / MANIFEST_NAME).is_file():
            return candidate
    known = ", ".join(path.name for shelf in shelves for path in bundle_folders(shelf)) or "none"
    raise CheckpointError(
        f"no bundle at {str(name_or_path)!r}: give a folder with a {MANIFEST_NAME}, "
        f"or a bundle's name ({known})"
    )


def bundle_folders(shelf: Path) -> list[Path]:
    """The folders with a manifest in a folder of bundles, by name; hidden ones are left out."""
    found = (path.parent for path in shelf.glob(f"*/{MANIFEST_NAME}"))
    return sorted(path for path in found if not path.name.startswith("."))


def landmarks_file(bundle: Path, manifest: Manifest) -> Path | None:
    """The landmark predictor that a bundle brings, for dlib; None if it brings none.

    Raises:
        CheckpointError: The manifest lists it and it is missing or of another length. The digest
            of its 95 MB is left to `barber bundle verify`.
    """
    if manifest.landmarks is None:
        return None
    path = bundle / LANDMARKS_NAME
    if not path.is_file() or path.stat().st_size != manifest.landmarks.bytes:
        raise CheckpointError(
            f"{path} is missing or has not {manifest.landmarks.bytes} bytes: copy the bundle again"
        )
    return path
