"""The modes of the sheet: their truth, their specs, and a run on the tiny bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from barber.faces.renderer import render
from barber.labels import Region
from barber.pixels import decode
from barber.spec import PortraitKey, StageParams
from barber.standalone.mode_sheet import Shown, run_modes, write_modes
from barber.standalone.modes import MODES, PEOPLE, Mode, edit
from tests.support.compositions import QUICK, tiny_bundle

SIZE = 64


def titled(start: str) -> Mode:
    return next(mode for mode in MODES if mode.title.startswith(start))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.title)
def test_every_mode_has_a_truth_that_changes_what_it_should(mode: Mode) -> None:
    before, truth = PEOPLE[mode.identity].portrait(SIZE), mode.truth(SIZE)
    changed = (before != truth).any(axis=2)
    assert changed.any() == bool(mode.edits)
    assert not changed[:, :2].any(), "the edge of the picture stays"
    keys = {name: PortraitKey(f"{n:064x}") for n, name in enumerate(PEOPLE)}
    spec = mode.spec(keys, bundle="b" * 64, params=StageParams())
    assert [region.area for region in spec.regions] == [each.area for each in mode.edits]
    assert spec.portraits == tuple(keys[name] for name in mode.people)
    assert all(mode.gives(name) for name in mode.people[1:])


def test_the_modes_of_the_method_are_there() -> None:
    regions = {each.region for mode in MODES for each in mode.edits}
    wanted = {"hair", "eyes-and-brows", "features", "face", "face+ears", "face+glasses"}
    assert wanted | {"brows", "eyes", "mouth", "beard"} <= regions
    assert max(len(mode.people) for mode in MODES) == 6  # five references
    assert len({mode.title for mode in MODES}) == len(MODES)


def test_single_features_change_in_their_place_only() -> None:
    for word, region in (("eyes", Region.EYES), ("brows", Region.BROWS), ("mouth", Region.MOUTH)):
        mode = Mode(title=word, identity="ada", edits=(edit(word, "eve"),))
        rows = (PEOPLE["ada"].portrait(128) != mode.truth(128)).any(axis=2).nonzero()[0]
        labels = render(PEOPLE["ada"].params, 128).label_map
        place = np.isin(labels, [region, Region.UPPER_LIP] if word == "mouth" else [region])
        middle = place.nonzero()[0].mean()
        assert rows.min() < middle < rows.max() and rows.max() - rows.min() < 48, word


def test_beard_is_labelled_skin_and_lies_below_the_nose() -> None:
    bearded = PEOPLE["fred"]
    shaved = replace(bearded, beard=None)
    labels = render(bearded.params, 128).label_map
    moved = labels != render(shaved.params, 128).label_map
    assert set(labels[moved]) <= {Region.SKIN}  # what hangs below the chin
    changed = (bearded.portrait(128) != shaved.portrait(128)).any(axis=2)
    assert changed.sum() > 400
    assert changed.nonzero()[0].min() > (labels == Region.NOSE).nonzero()[0].max() - 10
    # The rest are pixels at its edges and where it hangs thinly over the neck.
    assert (labels[changed] == Region.SKIN).mean() > 0.75


def test_beard_of_another_can_be_taken_dyed_and_taken_off() -> None:
    own = PEOPLE["ada"].portrait(SIZE)
    beard, dyed = (
        Mode(title="b", identity="ada", edits=(edit("beard", "fred", colour),)).truth(SIZE)
        for colour in ("fred", "gus")
    )
    assert (own != beard).any() and (beard != dyed).any()
    assert np.array_equal(
        titled("beard removed").truth(SIZE), replace(PEOPLE["fred"], beard=None).portrait(SIZE)
    )


def test_modes_run_and_share_stages_and_are_written(tmp_path: Path) -> None:
    told: list[str] = []
    chosen = [titled("nothing"), titled("hair")]
    shown = run_modes(tiny_bundle(), QUICK, chosen, told=lambda each: told.append(each.mode.title))
    assert told == [mode.title for mode in chosen]
    assert shown[0].mask is None and shown[1].mask is not None
    facts = write_modes(tmp_path / "out", "Modes", shown)
    assert json.loads(json.dumps(facts)) == facts
    nothing, hair = facts["modes"]
    assert "psnr_changed_part" not in nothing and hair["psnr_changed_part"] < 40
    for fact in facts["modes"]:
        picture = decode((tmp_path / "out" / fact["file"]).read_bytes(), name=fact["file"])
        assert picture.shape == (SIZE, SIZE, 3)
    sheet = decode(Path(facts["sheet"]).read_bytes(), name="sheet")
    assert sheet.shape[0] > 2 * 112


def test_changed_part_is_where_truth_and_identity_differ() -> None:
    (shown,) = run_modes(tiny_bundle(), QUICK, [titled("nothing")], told=lambda _: None)
    truth = shown.truth.copy()
    truth[:10, :10] = 255 - truth[:10, :10]
    other: Shown = replace(shown, truth=truth)
    assert other.changed.sum() == 100
    perfect = replace(other, result=replace(other.result, image=truth))
    assert perfect.figures()["psnr_changed_part"] == float("inf")
    untouched = other.figures()["psnr_changed_part_untouched"]
    assert untouched < 20
