"""A folder of reference vectors: its manifest and its arrays, checked as they are read.

Whatever is wrong with the folder ends in a `SetError`, a sentence that names the file, never in the
error of a library.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANIFEST = "manifest.json"
FORMAT = 1


class SetError(Exception):
    """The vector set cannot be used as it is; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How an array is compared."""

    metric: str
    limit: float = 0.0
    atol: float = 0.0
    first_limit: float | None = None  # per-step losses: for the first row, as `max_rel`


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One array as the manifest tells of it."""

    file: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str
    rule: Rule

    @property
    def is_input(self) -> bool:
        """Given as data: there is nothing to compare."""
        return self.rule.metric == "input"


class VectorSet:
    """The vectors of one folder.

    Args:
        folder: With manifest.json and the npz files that it names.

    Raises:
        SetError: The manifest is missing, cannot be read, or has no salt or files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = _read_manifest(folder / MANIFEST)
        self.salt: str = _need(self.manifest, "salt", str, MANIFEST)
        self.files: Mapping[str, Any] = _need(self.manifest, "files", dict, MANIFEST)
        self._loaded: dict[str, dict[str, NDArray[Any]]] = {}

    @property
    def name(self) -> str:
        """What the set is called; its folder's name when the manifest does not tell."""
        return str(self.manifest.get("set") or self.folder.name)

    def names(self, file: str) -> list[str]:
        """The arrays that the manifest lists for a file, in its order."""
        where = f"{MANIFEST}: files: {file}"
        facts = _need(self.files, file, dict, f"{MANIFEST}: files")
        return list(_need(facts, "arrays", dict, where))

    def entry(self, file: str, name: str) -> Entry:
        """What the manifest says of an array; SetError when something of it is missing."""
        where = f"{MANIFEST}: {file}:{name}"
        facts = self.files[file]["arrays"][name]
        if not isinstance(facts, dict):
            raise SetError(f"{where} is no object: restore the entry")
        return Entry(
            file=file,
            name=name,
            shape=tuple(_need(facts, "shape", list, where)),
            dtype=_need(facts, "dtype", str, where),
            meaning=str(facts.get("meaning", "")),
            rule=_rule(_need(facts, "compare", dict, where), where),
        )

    def array(self, file: str, name: str) -> NDArray[Any]:
        """A stored array."""
        stored = self.load(file)
        if name not in stored:
            raise SetError(f"{file} does not hold the array {name}: copy the file again")
        return stored[name]

    def load(self, file: str) -> dict[str, NDArray[Any]]:
        """Every array of a file, read once."""
        if file not in self._loaded:
            self._loaded[file] = _read_arrays(self.folder / file)
        return self._loaded[file]

    def forget(self, file: str) -> None:
        """Lets go of a file's arrays."""
        self._loaded.pop(file, None)

    def is_as_listed(self, file: str) -> bool:
        """Whether the file has the digest of the manifest; true when that tells none."""
        wanted = self.files[file].get("sha256")
        found = hashlib.sha256((self.folder / file).read_bytes()).hexdigest()
        return wanted in (None, found)

    def unlisted_files(self) -> list[str]:
        """Vector files in the folder that the manifest does not name."""
        here = (path.name for path in self.folder.glob("*.npz"))
        return sorted(name for name in here if name not in self.files)

    def settings(self, run: str) -> Mapping[str, Any]:
        """The settings of a trajectory, for example "trajectory_256"."""
        every = _need(self.manifest, "settings", dict, MANIFEST)
        found: Mapping[str, Any] = _need(every, run, dict, f"{MANIFEST}: settings")
        return found

    def setting(self, run: str, name: str) -> Any:
        """One of them."""
        settings = self.settings(run)
        if name not in settings:
            raise SetError(f"{MANIFEST}: settings: {run} has no {name!r}: restore the key")
        return settings[name]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SetError(
            f"{path} does not exist: BARBER_VECTORS must name a folder of vectors"
        ) from None
    except (OSError, ValueError) as error:
        raise SetError(f"{path} cannot be read ({error}): copy it again") from error
    if not isinstance(found, dict):
        raise SetError(f"{path} is no JSON object: copy it again")
    if found.get("format", FORMAT) != FORMAT:
        raise SetError(f"{path} has format {found['format']!r}: only {FORMAT} is known here")
    return found


def _need(data: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    if key not in data:
        raise SetError(f"{where} has no {key!r}: restore the key")
    if not isinstance(data[key], kind):
        raise SetError(f"{where}: {key!r} is {data[key]!r}: {kind.__name__} is needed")
    return data[key]


def _rule(facts: Mapping[str, Any], where: str) -> Rule:
    where = f"{where}: compare"
    metric = _need(facts, "metric", str, where)
    numbers = {key: facts[key] for key in ("limit", "atol", "first_limit") if key in facts}
    needed = {"input": (), "exact": (), "outliers": ("limit", "atol"), "bytes": ("limit", "atol")}
    for key in needed.get(metric, ("limit",)):
        _need(facts, key, object, where)
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise SetError(f"{where}: {key!r} is {value!r}: a number from 0 up is needed")
    return Rule(metric=metric, **numbers)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:  # numpy would leave a damaged one open
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, np.lib.npyio.NpzFile):
                raise SetError(f"{path.name} is a single array, no npz archive: copy it again")
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise SetError(f"{path.name} is missing in {path.parent}: copy it there") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise SetError(f"{path.name} cannot be read ({error}): copy it again") from error
