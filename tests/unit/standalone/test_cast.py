import csv
from pathlib import Path

import numpy as np
import pytest

from barber.errors import InputError
from barber.pixels import read_portrait
from barber.plan import StageKind, plan
from barber.standalone import cast
from barber.standalone.sheet import SheetRow, draw_sheet
from barber.table import TableSettings, read_table

SIZE = 32
SETTINGS = TableSettings(
    bundle_digest="b" * 64, size=SIZE, label_size=SIZE, presets={}, default_preset="official"
)


def test_table_has_eight_jobs_of_which_one_is_refused(tmp_path: Path) -> None:
    table = read_table(cast.write_demo(tmp_path, SIZE), SETTINGS)
    assert [row.name for row in table.rows] == [job.name for job in cast.JOBS[:-1]]
    (refused,) = table.errors
    assert refused.name == "bea-with-a-broken-picture"
    assert "broken.png" in refused.reason


def test_jobs_share_references_and_one_takes_colour_elsewhere(tmp_path: Path) -> None:
    table = read_table(cast.write_demo(tmp_path, SIZE), SETTINGS)
    stages = [stage for row in table.rows for stage in plan(row.spec)]
    reconstructs = [stage.key for stage in stages if stage.kind is StageKind.RECONSTRUCT]
    assert len(set(reconstructs)) == len(cast.PEOPLE) < len(reconstructs)
    colours = [r for row in table.rows for r in row.spec.regions if r.structure != r.appearance]
    assert len(colours) == 2


def test_table_is_plain_csv_with_paths_beside_it(tmp_path: Path) -> None:
    with cast.write_demo(tmp_path, SIZE).open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["identity"] == "portraits/ada.png"
    assert (tmp_path / rows[3]["colour"]).is_file()


def test_broken_picture_is_a_picture_cut_short(tmp_path: Path) -> None:
    cast.write_demo(tmp_path, SIZE)
    with pytest.raises(InputError, match="damaged or cut short"):
        read_portrait((tmp_path / "portraits/broken.png").read_bytes(), SIZE, name="broken.png")


def test_truth_differs_from_the_identity_and_keeps_its_surroundings() -> None:
    for job in cast.JOBS[:-1]:
        before, truth = cast.portrait(job.identity, 64), job.truth(64)
        changed = (before != truth).any(axis=2)
        assert changed.any(), job.name
        assert not changed[:, 0].any(), f"{job.name} changes the edge of the picture"


def test_sheet_shows_every_picture_and_every_row() -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    full = SheetRow(
        title="job", inputs=[("identity", red)], results=[("result", red)], figures=["1 dB"]
    )
    refused = SheetRow(title="bad", inputs=[("identity", None)], refusal="it is broken")
    one, two = draw_sheet("Sheet", [full]), draw_sheet("Sheet", [full, refused])
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] == one.shape[1]
    assert (one == (255, 0, 0)).all(axis=2).sum() == 2 * 160 * 160
