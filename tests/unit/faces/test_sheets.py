"""Contact sheets, kinds of hair, and the command that draws them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.faces import sheets
from barber.faces.kinds import HAIR_KINDS, at_share, with_hair
from barber.faces.renderer import render
from barber.labels import Region


def _hair(kind: str) -> np.ndarray:
    return render(with_hair(sheets.plain_person(), kind), 96).label_map == Region.HAIR


def test_kinds_of_hair_look_as_they_are_called():
    area = {kind: _hair(kind).sum() for kind in HAIR_KINDS}
    assert area["bald"] == 0
    assert area["bald"] < area["shaved"] < area["short"] < area["bob"] < area["long"]
    assert np.nonzero(_hair("long"))[0].max() > np.nonzero(_hair("bob"))[0].max() + 10
    assert np.ptp(np.nonzero(_hair("afro"))[1]) > np.ptp(np.nonzero(_hair("bob"))[1]) + 8
    assert np.nonzero(_hair("tied back"))[0].min() < np.nonzero(_hair("bob"))[0].min()
    assert _hair("fringe")[:45].sum() > _hair("parted")[:45].sum()


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="no hair is called mohawk: choose bald"):
        with_hair(sheets.plain_person(), "mohawk")


def test_a_share_of_a_range_reaches_both_ends():
    person = sheets.plain_person()
    assert at_share(person, "nose", "length", 0.0).nose.length == pytest.approx(0.140)
    assert at_share(person, "nose", "length", 1.0).nose.length == pytest.approx(0.235)


def test_a_sheet_shows_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(sheets, "_SHEETS", {"hair": (sheets.hair_sheet, 32)})
    (path,) = sheets.write_sheets(tmp_path / "new" / "folder")
    pixels = np.asarray(Image.open(path))
    assert path.name == "drawn-hair.jpg"
    assert pixels.shape[1] == 6 * (32 + 6) + 6
    assert pixels.std() > 20.0
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("draw", [sheets.people_sheet, sheets.truth_sheet, sheets.portrait_sheet])
def test_sheets_are_the_same_every_time(draw):
    assert np.array_equal(np.asarray(draw(16)), np.asarray(draw(16)))


def test_sweeps_show_change_in_every_row(monkeypatch):
    # freckles need larger pictures than a test should draw
    shown = tuple(sweep for sweep in sheets._SWEEPS if sweep != ("skin", "freckles"))
    monkeypatch.setattr(sheets, "_SWEEPS", shown)
    tiles = np.asarray(sheets.sweep_sheet(32)).astype(int)
    wide, tall = 32 + 6, 32 + 18 + 6
    for row in range((tiles.shape[0] - 6) // tall):
        for left in (0, 5):
            if row * 2 + left // 5 >= len(sheets._SWEEPS):
                continue
            top = 6 + row * tall
            first = tiles[top : top + 32, 6 + left * wide : 38 + left * wide]
            last = tiles[top : top + 32, 6 + (left + 4) * wide : 38 + (left + 4) * wide]
            assert np.abs(first - last).max() > 20, sheets._SWEEPS[row * 2 + left // 5]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write sheets"):
        sheets.write_sheets(tmp_path / "file")
