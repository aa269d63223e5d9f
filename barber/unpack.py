"""ZIP files from elsewhere, unpacked without trusting a word of what they say about themselves.

A ZIP may lie about its sizes, name files outside the folder it is unpacked into, hold links, or
unpack to a thousand times its size. Bytes are counted as they come out, not as they are announced.
"""

from __future__ import annotations

import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from barber.errors import InputError
from barber.pixels import MAX_FILE_BYTES

PIECE = 1 << 20
JUNK = ("__MACOSX/", ".DS_Store", "Thumbs.db")  # what archivers add by themselves
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may come out of one archive."""

    files: int = 20_000
    bytes: int = 4 << 30  # of all files together
    file_bytes: int = MAX_FILE_BYTES  # of one


def safe_name(name: str) -> PurePosixPath:
    """A file's name that stays below the folder it is put in.

    Raises:
        InputError: It leads elsewhere, or no system could hold it.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    odd = path.is_absolute() or ".." in path.parts or not path.parts or len(name) > LONGEST_NAME
    if odd or not all(re.fullmatch(r"[^\x00-\x1f/:]{1,100}", part) for part in path.parts):
        raise InputError(f"{name[:80]!r} cannot be a file's name here: leave out folders above")
    return path


def unpack(archive: Path, into: Path, limits: Limits | None = None) -> list[PurePosixPath]:
    """Unpacks a ZIP into a folder; returns the names of its files, in its order.

    Raises:
        InputError: It is no ZIP, is damaged or locked, or holds too much or what it must not.
    """
    limits = limits or Limits()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if not _is_junk(each)]
            if len(members) > limits.files:
                raise InputError(
                    f"{archive.name} holds {len(members):,} files: "
                    f"send at most {limits.files:,} in one ZIP"
                )
            return _write_all(opened, members, archive.name, into, limits)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise InputError(
            f"{archive.name} is not a ZIP that can be read ({error}): pack it again"
        ) from error
    except OSError as error:
        raise InputError(f"{archive.name} cannot be unpacked: {error.strerror}") from error


def _is_junk(member: zipfile.ZipInfo) -> bool:
    return member.is_dir() or any(word in member.filename for word in JUNK)


def _write_all(
    opened: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    archive: str,
    into: Path,
    limits: Limits,
) -> list[PurePosixPath]:
    names: dict[str, PurePosixPath] = {}
    left = limits.bytes
    for member in members:
        name = _checked(member, archive)
        if names.setdefault(str(name).casefold(), name) is not name:
            raise InputError(f"{archive} holds {name} twice: leave one out")
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        left -= _write_one(opened, member, target, min(left, limits.file_bytes))
    return list(names.values())


def _checked(member: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    if member.flag_bits & 1:
        raise InputError(f"{archive} is locked by a password: pack it without one")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise InputError(f"{archive} holds the link {member.filename[:80]!r}: pack the file itself")
    try:
        return safe_name(member.filename)
    except InputError as error:
        raise InputError(f"{archive}: {error}") from error


def _write_one(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, most: int) -> int:
    written = 0
    try:
        with opened.open(member) as source, target.open("xb") as file:
            while piece := source.read(PIECE):
                written += len(piece)
                if written > most:
                    raise InputError(
                        f"{member.filename} unpacks to more than {most >> 20} MiB: "
                        "leave it out, or send fewer files at once"
                    )
                file.write(piece)
    except (ValueError, RuntimeError) as error:  # zlib's and lzma's errors, a bad password
        raise InputError(f"{member.filename} is damaged in the ZIP: pack it again") from error
    except FileExistsError as error:
        raise InputError(f"{member.filename} is a file and a folder at once: rename it") from error
    return written
