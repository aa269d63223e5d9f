"""Files of a form: into a folder of their own, under names that stay in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from werkzeug.datastructures import FileStorage

from barber.catalogue import audit, drawer, portraits
from barber.catalogue.audit import Verb
from barber.errors import CheckpointError, Conflict, InputError
from barber.manifest import Manifest, find_bundle, landmarks_file, read_manifest
from barber.photographs.picture import Picture
from barber.photographs.portraits import PictureFiles, PortraitReader
from barber.unpack import safe_name
from dashboard import access, record

MOST_FILES = 5000


def system_bundle() -> tuple[Path, Manifest]:
    """The bundle that this system runs. Raises Conflict where the console cannot read it."""
    settings = record.settings()
    try:
        bundle = find_bundle(settings.bundle, settings.bundles_dir)
        return bundle, read_manifest(bundle)
    except CheckpointError as error:
        raise Conflict(f"the console cannot read the bundle of this system: {error}") from error


def save_all(folder: Path, files: Sequence[FileStorage]) -> list[str]:
    """Saves files below a folder; returns their names.

    Raises:
        InputError: Too many, two of one name, or a name that leads out of the folder.
    """
    if len(files) > MOST_FILES:
        raise InputError(f"{len(files)} files at once are too many: send {MOST_FILES} at most")
    return [save(folder, each) for each in files]


def save(folder: Path, file: FileStorage) -> str:
    """Saves one file; returns its name. Raises InputError as `save_all` does."""
    name = str(safe_name(file.filename or "picture"))
    path = folder / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name[:80]!r} is a file and a folder at once: rename it") from error
    if path.exists():
        raise InputError(f"two files are called {name}: give each a name of its own")
    file.save(path)
    return name


def keep_portraits(
    folder: Path, names: Sequence[str]
) -> tuple[list[Picture], list[dict[str, str]]]:
    """Checks each saved file on its own and keeps those that are portraits.

    Returns:
        The portraits, and {name, reason} of each other file.
    """
    bundle, manifest = system_bundle()
    reader = PortraitReader(
        manifest.geometry.image_size,
        manifest.geometry.label_size,
        landmarks=landmarks_file(bundle, manifest),
    )
    kept: list[Picture] = []
    refused: list[dict[str, str]] = []
    for name in names:
        try:
            picture = reader.read_files(PictureFiles(folder / name))
        except InputError as error:
            refused.append({"name": name, "reason": without(folder, str(error))})
            continue
        with record.transaction() as session:
            portraits.keep(session, record.store(), picture)
            drawer.put(session, access.visitor().person.id, {picture.key: picture.name})
            audit.record(session, Verb.UPLOAD, access.by(), subject=f"portrait {picture.key}")
        kept.append(picture)
    return kept, refused


def without(folder: Path, sentence: str) -> str:
    """The sentence without the folder, which is nobody's business."""
    return sentence.replace(f"{folder}/", "")


def ticked(form: Any, field: str) -> bool:
    """Whether a form's box is ticked."""
    return str(form.get(field, "")).lower() in ("1", "true", "yes", "on")
