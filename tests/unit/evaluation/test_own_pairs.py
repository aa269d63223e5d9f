from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from barber.errors import InputError
from barber.evaluation.cases import Material
from barber.evaluation.own_pairs import read_pairs
from barber.photographs.portraits import PortraitReader
from barber.pixels import encode_png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (tmp_path / f"{name}.png").write_bytes(encode_png(pixels))
    return tmp_path


def read(folder: Path, text: str) -> Material:
    path = folder / "pairs.csv"
    path.write_text(text)
    return read_pairs(path, PortraitReader(64, 64))


def test_csv_and_json_lines_say_the_same(folder: Path) -> None:
    table = "identity,hair,colour\na.png,b.png,\nb.png,a.png,c.png\n"
    rows = [
        {"identity": "a.png", "hair": "b.png"},
        {"identity": "b.png", "hair": "a.png", "colour": "c.png"},
    ]
    one = read(folder, table)
    other = read(folder, "\n".join(json.dumps(row) for row in rows))
    assert one.cases == other.cases and len(one.pictures) == 3
    assert one.cases[0].colour == one.cases[0].hair and len(one.cases[1].portraits) == 3
    assert one.drawn is None and one.truth(one.cases[0], 64) is None


def test_names_are_kept_and_files_called_alike_are_told_apart(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "a.png").write_bytes((folder / "c.png").read_bytes())
    found = read(folder, "name;identity;hair\nmine;a.png;more/a.png\n;b.png;a.png\n")
    assert [case.name for case in found.cases] == ["mine", "pair-002"]
    names = list(found.names.values())
    assert len(set(names)) == 3 and sum(name.startswith("a.png ") for name in names) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: give a header"),
        ("identity,hair\n", "has no pairs"),
        ("identity,colour\na.png,b.png\n", "no column 'hair'"),
        ("identity,hair,beard\na.png,b.png,c.png\n", "unknown column 'beard'"),
        ("identity,hair\na.png,gone.png\n", r"line 2: .*gone.png"),
        ("identity,hair\na.png,\n", "line 2: has no hair"),
        ("identity,hair\na.png,a.png\n", "line 2: takes the hair of the identity"),
        ("identity,hair\na.png,b.png,c.png\n", "line 2 has more cells"),
        ("identity,hair,hair\na.png,b.png,c.png\n", "the column 'hair' twice"),
        (f"identity,hair\na.png,{'x' * 140_000}\n", "line 2 cannot be read: field larger"),
        ("name,identity,hair\nx,a.png,b.png\nx,b.png,a.png\n", "the name 'x' twice"),
        ('{"identity": "a.png"\n', "line 1 is not JSON"),
        ('{"identity": "a.png", "hair": 3}\n', "line 1: give an object"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(folder: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(folder, text)


def test_a_file_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_pairs(folder / "none.csv", PortraitReader(64, 64))
