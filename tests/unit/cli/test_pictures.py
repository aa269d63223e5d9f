from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from barber.cli import run
from barber.cli.pictures import Pictures
from barber.errors import InputError
from barber.photographs.picture import encode_labels
from barber.photographs.portraits import PortraitReader
from tests.support.photographs import file_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
        (tmp_path / name).write_bytes(file_of(pixels))
    (tmp_path / "map.png").write_bytes(encode_labels(np.full((32, 32), 10, dtype=np.uint8)))
    return tmp_path


def pictures(*maps: str) -> Pictures:
    return Pictures(PortraitReader(32, 16), maps)


def test_map_belongs_to_the_portrait_before_the_last_equals_sign(folder: Path) -> None:
    odd = folder / "x=y.png"
    odd.write_bytes((folder / "a.png").read_bytes())
    found = pictures(f"{odd}={folder / 'map.png'}")
    own = found.by_key[found.read(odd)].label_map()
    assert own is not None
    assert own.tolist() == [[10] * 16] * 16
    plain = found.read(folder / "a.png")
    assert found.by_key[plain].label_map() is None
    assert found.digests[plain] == hashlib.sha256(odd.read_bytes()).hexdigest()
    assert found.names[plain] == "a.png"
    found.refuse_unused_maps()


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (["a.png"], "write PORTRAIT=MAP"),
        (["=m.png"], "write PORTRAIT=MAP"),
        (["a.png=m.png", "a.png=n.png"], "two maps"),
    ],
)
def test_maps_that_cannot_be_meant_are_refused(maps: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pictures(*maps)


def test_map_of_a_portrait_that_nothing_uses_is_refused(folder: Path) -> None:
    found = pictures(f"{folder / 'b.png'}={folder / 'map.png'}")
    found.read(folder / "a.png")
    with pytest.raises(InputError, match=r"b\.png, which nothing uses"):
        found.refuse_unused_maps()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--into-original", "new.png"], "was taken as a portrait"),
        (["--into-original", "a.png"], "would overwrite"),
        (["--into-original", "out.png"], "would overwrite"),
        (["--into-original", "new.jpg"], "ends in .png"),
        (["--labels", "c.png=map.png"], "nothing uses"),
        (["--align", "always", "--landmarks", "none.dat"], "landmark predictor"),
    ],
)
def test_compose_refuses_before_any_work(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    reason: str,
) -> None:
    monkeypatch.chdir(folder)
    given = ["compose", "--identity", "a.png", "--hair", "b.png", "--out", "out.png", *options]
    assert run(given, {}) == 1
    assert reason in capsys.readouterr().err
    assert not (folder / "out.png").exists()
