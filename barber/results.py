"""Results as files: a PNG and the JSON beside it, both whole or neither."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from barber.errors import InputError
from barber.pixels import read_recipe
from barber.recipe import Recipe, Sidecar

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
LONGEST_STEM = 80  # characters; file systems take 255 bytes
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def sidecar_path(png: Path) -> Path:
    """Where the JSON beside a picture lies."""
    return png.with_suffix(".json")


def write_result(png: Path, data: bytes, sidecar: Sidecar) -> None:
    """Writes a picture and its JSON; the picture appears last, and an error leaves neither new.

    Raises:
        InputError: The directory cannot be written.
    """
    write_whole({sidecar_path(png): sidecar_bytes(sidecar, png.name, data), png: data})


def sidecar_bytes(sidecar: Sidecar, name: str, png: bytes) -> bytes:
    """The JSON that lies beside a picture called `name`."""
    facts = sidecar.to_json(file=name, sha256=hashlib.sha256(png).hexdigest())
    return (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()


def write_whole(files: Mapping[Path, bytes]) -> None:
    """Writes files by way of hidden ones beside them; nothing half-written stays, whatever happens.

    Raises:
        InputError: A directory cannot be written.
    """
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    fresh = [path for path in files if not path.exists()]
    placed: list[Path] = []
    path = next(iter(files))
    try:
        for path, part in parts.items():
            part.write_bytes(files[path])
        for path, part in parts.items():
            part.replace(path)
            placed.append(path)
    except BaseException as error:  # Ctrl-C too
        for part in parts.values():
            part.unlink(missing_ok=True)
        if len(placed) < len(files):
            for path_placed in placed:
                if path_placed in fresh:
                    path_placed.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"{path} cannot be written: {error.strerror}") from error
        raise


def check_sidecar(png: Path) -> None:
    """Raises InputError when the JSON of a result would take the place of somebody's own file."""
    path = sidecar_path(png)
    if not path.exists():
        return
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = None
    if not (isinstance(found, dict) and {"recipe", "sha256"} <= found.keys()):
        raise InputError(
            f"{path} is there already and is no recipe, and the recipe of {png.name} would take "
            "its place: choose another name"
        )


def safe_stem(name: str, *, taken: Container[str] = ()) -> str:
    """A file name without its ending for a job's name: no path, nothing odd, not in `taken`."""
    text = unicodedata.normalize("NFC", name)
    text = re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "result"
    text = text.encode()[: 2 * LONGEST_STEM].decode(errors="ignore")[:LONGEST_STEM]
    stem = f"{text}-job" if RESERVED.fullmatch(text) else text
    chosen, number = stem, 2
    while chosen.casefold() in taken:
        chosen, number = f"{stem}-{number}", number + 1
    return chosen


def recipe_of(data: bytes, *, name: str) -> Recipe:
    """The recipe that a result carries.

    Raises:
        InputError: Not a PNG of ours, or its recipe is damaged or of another version.
    """
    if data.startswith(JPEG_MAGIC):
        raise InputError(f"{name} is a JPEG, which carries no recipe: give the PNG")
    if not data.startswith(PNG_MAGIC):
        raise InputError(f"{name} is no PNG: give a result as `barber compose` wrote it")
    found = read_recipe(data, name=name)
    if found is None:
        raise InputError(
            f"{name} carries no recipe: give a result as it was written; programs that edit "
            "pictures leave recipes out"
        )
    return Recipe.from_json(found, name=name)


def read_sidecar(png: Path) -> Any:
    """The data of the JSON beside a picture; None when there is none that can be read."""
    try:
        return json.loads(sidecar_path(png).read_bytes())
    except (OSError, ValueError):
        return None
