from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from barber.errors import InputError
from barber.pixels import encode_png
from barber.recipe import Sidecar
from barber.results import (
    check_sidecar,
    read_sidecar,
    recipe_of,
    safe_stem,
    sidecar_path,
    write_result,
    write_whole,
)

PNG = encode_png(np.zeros((4, 4, 3), dtype=np.uint8))


def test_picture_and_json_are_written_together(tmp_path: Path) -> None:
    png = tmp_path / "r.png"
    write_result(png, PNG, Sidecar(recipe={"format": 1}, made={"job": 3}))
    told = json.loads(sidecar_path(png).read_text())
    assert png.read_bytes() == PNG
    assert told == {
        "file": "r.png",
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "recipe": {"format": 1},
        "origins": [],
        "made": {"job": 3},
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.png"]
    assert read_sidecar(png) == told
    check_sidecar(png)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, step: str
) -> None:
    original = getattr(Path, step)

    def fail_at_the_second(path: Path, *arguments: object) -> object:
        if path.name.startswith(".b"):
            raise error
        return original(path, *arguments)

    monkeypatch.setattr(Path, step, fail_at_the_second)
    expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_whole({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_somebody_s_own_json_is_not_replaced(tmp_path: Path) -> None:
    png = tmp_path / "face.png"
    sidecar_path(png).write_text('{"hair": "long"}')
    with pytest.raises(InputError, match="no recipe"):
        check_sidecar(png)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Anna with Ben's hair", "Anna-with-Ben-s-hair"),
        ("../../etc/passwd", "etc-passwd"),
        ("Zoë", "Zoë"),
        ("", "result"),
        ("...", "result"),
        ("CON", "CON-job"),
        ("a/b\\c:d\n", "a-b-c-d"),
    ],
)
def test_names_of_jobs_become_safe_names_of_files(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_equal_names_get_numbers_and_long_ones_are_cut() -> None:
    assert safe_stem("Anna", taken={"anna", "anna-2"}) == "Anna-3"
    assert len(safe_stem("漢" * 500).encode()) < 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PNG, "carries no recipe"),
        (b"\xff\xd8\xff\xe0 rest", "is a JPEG"),
        (b"hello", "is no PNG"),
        (PNG[:20], "not a picture"),
        (encode_png(np.zeros((4, 4, 3), dtype=np.uint8), recipe={"seed": 1}), "tells too little"),
    ],
)
def test_what_carries_no_recipe_is_told(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        recipe_of(data, name="r.png")
