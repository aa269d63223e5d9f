from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from barber.cli import run
from barber.photographs.landmarks import FaceFinder
from barber.photographs.picture import Crop
from barber.pixels import decode, portrait_key
from tests.support.photographs import crowd, file_of, finder, woman

__all__ = ["finder"]


@pytest.fixture
def folder(tmp_path: Path, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("barber.cli.photograph_verbs.open_finder", lambda _landmarks: finder)
    (tmp_path / "one.jpg").write_bytes(file_of(woman(), "JPEG", quality=95))
    (tmp_path / "two.png").write_bytes(file_of(crowd()))
    (tmp_path / "hills.png").write_bytes(file_of(np.full((80, 120, 3), 99, dtype=np.uint8)))
    return tmp_path


def align(folder: Path, *arguments: str) -> int:
    return run(["align", "--out", str(folder / "out"), "--size", "64", *arguments], {})


def test_bad_photograph_does_not_stop_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [str(folder / name) for name in ("hills.png", "one.jpg", "missing.jpg")]
    assert align(folder, *photos) == 1
    told = capsys.readouterr()
    assert "one.png" in told.out
    assert "enlarged" not in told.out
    first, second = told.err.splitlines()
    assert "no face was found in hills.png" in first
    assert "missing.jpg" in second
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["one.json", "one.png"]


def test_sidecar_says_where_the_portrait_was_cut(folder: Path) -> None:
    assert align(folder, str(folder / "one.jpg")) == 0
    note = json.loads((folder / "out" / "one.json").read_text())
    portrait = decode((folder / "out" / "one.png").read_bytes(), name="one.png")
    assert portrait.shape == (64, 64, 3)
    assert note["portrait"]["key"] == portrait_key(portrait)
    photo = (folder / "one.jpg").read_bytes()
    assert note["photograph"]["sha256"] == hashlib.sha256(photo).hexdigest()
    crop = Crop.from_json(note["crop"])
    assert (crop.width, crop.height, crop.size) == (400, 320, 64)
    assert np.array(note["portrait_to_photograph"]) == pytest.approx(crop.matrix())


def test_all_faces_get_a_suffix_and_one_can_be_chosen(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert align(folder, "--all", str(folder / "two.png"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [Path(cut["portrait"]).name for cut in told["portraits"]] == ["two_0.png", "two_1.png"]
    widths = [Crop.from_json(cut["crop"]).side_px for cut in told["portraits"]]
    assert widths == sorted(widths, reverse=True)
    assert align(folder, "--face", "1", str(folder / "two.png")) == 0
    with (
        Image.open(folder / "out" / "two.png") as chosen,
        Image.open(folder / "out" / "two_1.png") as second,
    ):
        assert np.array_equal(np.asarray(chosen), np.asarray(second))
    assert align(folder, "--face", "2", str(folder / "two.png")) == 1
    assert "from 0 to 1" in capsys.readouterr().err


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "one.json").write_text("mine")
    assert align(folder, str(folder / "one.jpg")) == 1
    assert "exists" in capsys.readouterr().err
    assert [path.name for path in (folder / "out").iterdir()] == ["one.json"]
    assert (folder / "out" / "one.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--size", "100"], "divisor of 1024"),
        (["--size", "0"], "divisor of 1024"),
        (["--bundle", "rendered-128"], "leave one out"),
        (["--all", "--face", "1"], "contradict"),
        (["--bundle", "nowhere", "--size", "64"], "leave one out"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    assert align(folder, *arguments, str(folder / "one.jpg")) == 1
    assert reason in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_size_of_a_bundle_is_taken(folder: Path) -> None:
    out = folder / "bundled"
    photo = str(folder / "one.jpg")
    assert run(["align", photo, "--out", str(out), "--bundle", "rendered-128"], {}) == 0
    with Image.open(out / "one.png") as portrait:
        assert portrait.size == (128, 128)
