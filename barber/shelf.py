"""The folder of your own bundles: what lies in it, how one comes in whole, how one leaves.

Nothing here loads a network. A bundle in the making is a hidden folder beside the finished ones; a
rename makes it real, so a process killed at any moment leaves no half bundle, and the next one
that writes ends what the killed one began.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from barber.errors import CheckpointError
from barber.manifest import MANIFEST_NAME, SHIPPED, Manifest, bundle_folders, read_manifest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PART = ".part-"  # starts the name of a folder in the making; the bundle's name follows
SPARE_BYTES = 16 * 2**20  # room that a new bundle must leave on the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One bundle as a listing shows it."""

    name: str  # of its folder, by which it is found
    path: Path
    shipped: bool  # with the software; else one of your own
    manifest: Manifest | None  # None where it cannot be read
    fault: str  # what is wrong at a glance, in words; empty if nothing is

    @property
    def bytes(self) -> int:
        """Of all its files, as its manifest says."""
        if self.manifest is None:
            return 0
        return sum(record.bytes for record in self.manifest.all_files.values())


def entries(bundles: Path, *, shipped: Path = SHIPPED) -> list[Entry]:
    """Every bundle that can be asked for by name: the shipped ones, then your own."""
    return [
        _entry(path, shipped=shelf is shipped)
        for shelf in (shipped, bundles)
        for path in bundle_folders(shelf)
    ]


def _entry(path: Path, *, shipped: bool) -> Entry:
    try:
        manifest = read_manifest(path)
    except CheckpointError as error:
        return Entry(name=path.name, path=path, shipped=shipped, manifest=None, fault=str(error))
    fault = _fault(path, manifest)
    return Entry(name=path.name, path=path, shipped=shipped, manifest=manifest, fault=fault)


def _fault(path: Path, manifest: Manifest) -> str:
    """What a look at the files' lengths finds; digests are `barber bundle verify`'s business."""
    for name, record in manifest.all_files.items():
        if not (path / name).is_file():
            return f"{name} is missing"
        found = (path / name).stat().st_size
        if found != record.bytes:
            return f"{name} has {found} bytes, not {record.bytes}"
    return ""


def check_name(name: str, *, shipped: Path = SHIPPED) -> None:
    """Whether one of your own bundles can have this name.

    Raises:
        CheckpointError: It cannot.
    """
    if not NAME.fullmatch(name):
        raise CheckpointError(
            f"{name!r} cannot be a bundle's name: use up to 64 letters, digits, '.', '_' and '-', "
            "and start with a letter or digit"
        )
    if (shipped / name / MANIFEST_NAME).exists():
        raise CheckpointError(f"{name!r} is a bundle that ships with the software: choose another")


def check_absent(path: Path) -> None:
    """Raises CheckpointError when there is a bundle already."""
    if path.exists() or path.is_symlink():
        raise CheckpointError(
            f"there is a bundle {path.name!r} in {path.parent}: "
            "choose another name, or replace it with --force"
        )


def check_room(bundles: Path, needed: int) -> None:
    """Raises CheckpointError when the disk has no room for `needed` bytes more."""
    there = next(p for p in (bundles, *bundles.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < needed + SPARE_BYTES:
        raise CheckpointError(
            f"the bundle needs {needed / 2**20:.0f} MB and the disk of {bundles} has "
            f"{free / 2**20:.0f} MB free: make room, or set BARBER_BUNDLES to another folder"
        )


@contextmanager
def placing(path: Path, *, replace: bool) -> Iterator[Path]:
    """An empty folder that becomes the bundle `path` when the block ends without an error.

    Args:
        path: Where the bundle shall be; folders above it are made.
        replace: Whether one that is there goes.

    Raises:
        CheckpointError: There is one already, or the disk refuses; nothing is left behind.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.parent):
            _sweep(path.parent)
            if not replace:
                check_absent(path)
            scratch = _scratch(path)
            try:
                (scratch / "new").mkdir()
                yield scratch / "new"
                _put(scratch, path)
            finally:
                _finish(scratch, path)
    except OSError as error:
        raise CheckpointError(
            f"the bundle {path} cannot be written ({error.strerror or error}): "
            "make room, or set BARBER_BUNDLES to another folder"
        ) from error


def remove(path: Path) -> None:
    """Deletes a bundle's folder; it is gone for everybody at once.

    Raises:
        CheckpointError: The disk refuses.
    """
    try:
        with _locked(path.parent):
            _sweep(path.parent)
            scratch = _scratch(path)
            path.rename(scratch / "removed")
            shutil.rmtree(scratch)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be removed: {error.strerror or error}") from error


def _scratch(path: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{PART}{path.name}-", dir=path.parent))


def _put(scratch: Path, path: Path) -> None:
    """Moves the finished folder into place; an older one steps aside first."""
    if path.exists():
        path.rename(scratch / "old")
    (scratch / "new").rename(path)


def _finish(scratch: Path, path: Path) -> None:
    """Ends a placing wherever it stopped: an old bundle that stepped aside is not lost."""
    if (scratch / "old").exists() and not path.exists():
        whole = (scratch / "new" / MANIFEST_NAME).is_file()
        (scratch / ("new" if whole else "old")).rename(path)
    shutil.rmtree(scratch)


def _sweep(folder: Path) -> None:
    """Ends what killed processes left; the lock says that no living one is at work."""
    for scratch in folder.glob(f"{PART}*-*"):
        name = scratch.name.removeprefix(PART).rpartition("-")[0]
        _finish(scratch, folder / name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing bundles to the folder; a killed one's lock is gone.

    Raises:
        CheckpointError: Another one is at it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise CheckpointError(
            f"another process writes a bundle to {folder}: wait for it, then try again"
        ) from None
    finally:
        os.close(handle)
