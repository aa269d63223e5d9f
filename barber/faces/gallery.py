"""Writes drawn people to a folder: portraits, label maps, parameters and an index."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from barber.errors import InputError
from barber.faces.renderer import Rendering, face_params, render, sample_z
from barber.labels import COLOURS, Region

_MOST = 100_000


def write_faces(out: Path, count: int, seed: int, size: int) -> None:
    """Draws people and writes `face-0000.png`, `.labels.png`, `.json` each, and `index.csv`.

    Label maps are palette pictures whose pixel values are those of `Region`. The same arguments
    give the same files.

    Args:
        out: A new or empty folder; missing parents are made.
        count: How many people, 1 to 100 000.
        seed: Of the whole set, 0 or more.
        size: Side of the pictures in pixels, 16 to 1024.

    Raises:
        InputError: An argument is out of range, or the folder has contents or cannot be written.
    """
    if not 1 <= count <= _MOST:
        raise InputError(f"cannot draw {count} faces: ask for 1 to {_MOST}")
    if seed < 0:
        raise InputError(f"the seed {seed} is negative: give 0 or more")
    codes = sample_z(np.random.default_rng(seed), count)
    first = render(face_params(codes[0]), size)  # a bad size is refused before a folder is made
    _make_empty(out)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        _write_all(part, codes, first, seed, size)
        part.rename(out)  # whole or not at all
    except OSError as error:
        raise InputError(f"cannot write into {out}: {error}; free some room") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_all(
    folder: Path, codes: NDArray[np.floating[Any]], first: Rendering, seed: int, size: int
) -> None:
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        index = csv.writer(file)
        index.writerow(["name", "portrait", "label_map", "params", "seed", "number"])
        for number, code in enumerate(codes):
            params = face_params(code)
            drawn = render(params, size) if number else first
            name = f"face-{number:04d}"
            files = [f"{name}.png", f"{name}.labels.png", f"{name}.json"]
            _write_pictures(drawn, folder / files[0], folder / files[1])
            text = json.dumps(params.to_json(), indent=2)
            (folder / files[2]).write_text(text + "\n", encoding="utf-8")
            index.writerow([name, *files, seed, number])


def _make_empty(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        occupied = any(out.iterdir())
    except OSError as error:
        raise InputError(
            f"the folder {out} cannot be made or read ({error}): name another one"
        ) from error
    if occupied:
        raise InputError(f"the folder {out} is not empty: name a new one")


def _write_pictures(drawn: Rendering, portrait: Path, label_map: Path) -> None:
    Image.fromarray(drawn.pixels).save(portrait, format="PNG")
    height, width = drawn.label_map.shape
    labels = Image.frombytes("P", (width, height), drawn.label_map.tobytes())
    labels.putpalette([channel for region in Region for channel in COLOURS[region]])
    labels.save(label_map, format="PNG")
