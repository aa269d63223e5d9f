"""Files by the digest of their bytes: written whole or not at all, checked whenever they are read.

A file lies at `root/ab/cd/<64 hex digits>`, so no directory grows large and equal files are one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from barber.catalogue.base import HEX_DIGEST
from barber.errors import StoreAwayError, StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of the store, as the catalogue remembers it."""

    sha256: str
    size_bytes: int
    media_type: str


class Store:
    """The files of artifacts and portraits, shared by all workers and the console.

    Args:
        root: The directory; created with the first file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the file of that digest lies, or would lie.

        Raises:
            StoreError: Not a digest; nothing else may become part of a path.
        """
        if not re.fullmatch(HEX_DIGEST, sha256):
            raise StoreError(f"{sha256!r} is no file of the store: give 64 hex digits")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def contains(self, sha256: str) -> bool:
        return self.path(sha256).is_file()

    def free_bytes(self) -> int:
        """What the disk of the store still holds."""
        existing = next(p for p in [self.root, *self.root.absolute().parents] if p.exists())
        return shutil.disk_usage(existing).free

    def get(self, sha256: str) -> bytes:
        """The bytes of that digest.

        Raises:
            StoreError: The file is missing, or no longer what was written.
            StoreAwayError: It cannot be read, which says nothing about the file.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"the store lacks the file {path}: its stage must run again") from None
        except OSError as error:
            raise StoreAwayError(f"the file {path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreError(f"the file {path} is damaged: its stage must run again")
        return data

    def put(self, data: bytes) -> str:
        """Writes the bytes under their digest and returns it; a sound file is left as it is.

        Raises:
            StoreError: The disk is full or the directory cannot be written; nothing half-written
                stays.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unfinished.mkdir(parents=True, exist_ok=True)
            with self._guard(fcntl.LOCK_SH):
                if _holds(path, data):
                    os.utime(path)  # wanted again: see `delete_old`
                else:
                    _write_whole(path, data, self._unfinished)
        except OSError as error:
            raise self._refusal(path, len(data), error) from error
        return sha256

    def shard(self, number: int) -> dict[str, os.stat_result]:
        """The files whose digests begin with that byte: age and size by digest."""
        found = {}
        for path in self.root.glob(f"{number:02x}/*/*"):
            with suppress(FileNotFoundError):
                found[path.name] = path.stat()
        return found

    def delete_old(self, sha256: str, older_s: float) -> bool:
        """Deletes a file that nobody has put for so long, whoever may be about to put it now.

        Who finds a file there has made it young again, and who comes later writes it anew: so a
        file is safe for `older_s` seconds after each `put`, until a row of the catalogue names it.
        """
        path = self.path(sha256)
        with suppress(FileNotFoundError), self._guard(fcntl.LOCK_EX):
            if time.time() - path.stat().st_mtime >= older_s:
                path.unlink()
                return True
        return False

    @contextmanager
    def _guard(self, how: int) -> Iterator[None]:
        """Putters share the lock, a deleter has it alone; the system frees it with the process."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(handle, how)
            yield
        finally:
            os.close(handle)

    def write_file(self, path: Path, data: bytes, *, flush: bool = True) -> None:
        """Writes a file somewhere below the root, in the place of one that is there.

        Args:
            path: Where.
            data: Its bytes.
            flush: Whether it must outlast a power cut once this returns.

        Raises:
            StoreError: The disk is full or the directory cannot be written; nothing half-written
                stays.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._unfinished.mkdir(parents=True, exist_ok=True)
            _write_whole(path, data, self._unfinished, flush=flush)
        except OSError as error:
            raise self._refusal(path, len(data), error) from error

    def store_file(self, data: bytes, media_type: str) -> StoredFile:
        """Like `put`, with what the catalogue wants to know about the file."""
        return StoredFile(sha256=self.put(data), size_bytes=len(data), media_type=media_type)

    @property
    def _unfinished(self) -> Path:
        return self.root / "unfinished"

    def _refusal(self, path: Path, size: int, error: OSError) -> StoreError:
        if error.errno in FULL:
            return StoreError(
                f"the disk is full: {size:,} bytes for {path} do not fit, "
                f"{self.free_bytes():,} bytes are free; make room"
            )
        return StoreError(f"{path} cannot be written: {error.strerror}")


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file is there and sound; a damaged one must be written anew."""
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _write_whole(path: Path, data: bytes, unfinished: Path, *, flush: bool = True) -> None:
    """Writes elsewhere on the disk, flushes, and renames: readers see all or nothing."""
    handle, name = tempfile.mkstemp(dir=unfinished)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        part.chmod(0o644)  # the console may run as another user than the workers
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if flush:
        _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
