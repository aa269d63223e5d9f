import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from barber.labels import Region
from barber.photographs.picture import Crop, Picture, encode_labels
from barber.pixels import Pixels, encode_png, portrait_key
from barber.preflight.findings import Check, Refused, Verdict
from barber.preflight.measures import LabelMap
from barber.spec import JobSpec, RegionEdit
from barber.table import Table, TableSettings, read_table
from barber.table_checks import (
    Preflight,
    accept_job,
    check_table,
    noteworthy,
    subject_of,
    summary,
    warnings_in,
)
from tests.support.drawn import bald, drawn
from tests.support.tiny_bundle import GEOMETRY

SETTINGS = TableSettings(
    bundle_digest="b" * 64, size=128, label_size=128, presets={}, default_preset="official"
)
ADA, BEA = 8, 35


def parse(portraits: Sequence[Pixels]) -> list[LabelMap]:
    """The label maps that the pictures were drawn with."""
    people = [drawn(ADA), drawn(BEA), bald(BEA)]
    known = {portrait_key(person.pixels): person.label_map for person in people}
    return [known[portrait_key(pixels)] for pixels in portraits]


PREFLIGHT = Preflight(geometry=GEOMETRY, parse=parse)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, person in (("ada", drawn(ADA)), ("bea", drawn(BEA)), ("bald", bald(BEA))):
        (tmp_path / f"{name}.png").write_bytes(encode_png(person.pixels))
    return tmp_path


def checked(folder: Path, *rows: str, preflight: Preflight = PREFLIGHT) -> Table:
    path = folder / "table.csv"
    path.write_text("\n".join(["name,identity,hair", *rows]))
    return check_table(read_table(path, SETTINGS), preflight)


def test_rows_that_a_check_refuses_are_errors_in_the_order_of_the_file(folder: Path) -> None:
    table = checked(
        folder,
        "a,ada.png,bald.png",
        "b,ada.png,bea.png",
        "c,ada.png,gone.png",
        "d,bald.png,bald.png",
    )
    assert [row.name for row in table.rows] == ["b"]
    assert [(error.line, error.name) for error in table.errors] == [(2, "a"), (4, "c"), (5, "d")]
    assert table.errors[0].reason.startswith("bald.png shows no hair to take")
    refusals = [f.check for f in table.errors[0].findings if f.verdict is Verdict.REFUSE]
    assert refusals == [Check.REGION]


def test_accepted_row_carries_every_number_and_keeps_what_did_not_pass(folder: Path) -> None:
    (row,) = checked(folder, "a,ada.png,bea.png").rows
    assert {Check.FILE_SIZE, Check.BLUR, Check.POSE, Check.REGION} <= {
        f.check for f in row.findings
    }
    assert noteworthy(row.findings) == ()


def test_row_that_asks_for_the_same_is_warned_of(folder: Path) -> None:
    table = checked(folder, "a,ada.png,bea.png", "b,bea.png,ada.png", "c,ada.png,bea.png")
    (finding,) = noteworthy(table.rows[2].findings)
    assert (finding.check, finding.number) == (Check.DUPLICATE, 2)
    assert summary(table.rows) == "1 of 3 rows has warnings: duplicate 1"
    assert warnings_in(table.rows) == {"duplicate": 1}
    assert summary(table.rows[:2]) == ""


def test_allowed_refusal_lets_the_row_pass_with_a_warning(folder: Path) -> None:
    preflight = replace(PREFLIGHT, allow=frozenset({Check.REGION}))
    (row,) = checked(folder, "a,ada.png,bald.png", preflight=preflight).rows
    (finding,) = noteworthy(row.findings)
    assert (finding.verdict, finding.allowed) == (Verdict.WARN, True)


def picture(number: int, **changes: object) -> Picture:
    pixels = drawn(number).pixels
    made = Picture(
        key=portrait_key(pixels),
        name=f"{number}.png",
        width=128,
        height=128,
        size=128,
        png=encode_png(pixels),
    )
    return replace(made, **changes)


def test_job_that_a_check_refuses_is_not_accepted() -> None:
    hairless = bald(BEA)
    giver = picture(BEA, key=portrait_key(hairless.pixels), png=encode_png(hairless.pixels))
    ada = picture(ADA)
    edit = RegionEdit(labels=(Region.HAIR,), structure=giver.key, appearance=giver.key)
    spec = JobSpec(identity=ada.key, regions=(edit,), bundle="b" * 64)
    with pytest.raises(Refused, match="shows no hair to take"):
        accept_job(spec, [ada, giver], PREFLIGHT)


def test_own_label_map_reaches_the_checks() -> None:
    mine = drawn(ADA).label_map
    subject = subject_of(picture(ADA, labels_png=encode_labels(mine)))
    assert subject.label_map is not None
    assert np.array_equal(subject.label_map(), mine)
    assert subject.photograph is None


@pytest.mark.parametrize("turned", [0, 25])
def test_pose_of_a_photograph_is_that_of_the_upright_portrait(turned: float) -> None:
    """A head that is tilted in its photograph is cut out upright."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-31.5, 0), (31.5, 0)
    points[48:60], points[30] = (0, 70), (5, 42)
    angle = np.radians(turned)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-100, -100], [-100, 100], [100, 100], [100, -100]]) @ turn.T + 400
    crop = Crop(
        quad=tuple((float(x), float(y)) for x, y in corners), width=800, height=800, size=128
    )
    photo = io.BytesIO()
    Image.new("RGB", (800, 800)).save(photo, "PNG")
    subject = subject_of(
        picture(
            ADA, photo=photo.getvalue(), crop=crop, face_count=2, landmarks=points @ turn.T + 399.5
        )
    )
    assert subject.photograph is not None
    assert (subject.photograph.faces, subject.photograph.side_px) == (2, pytest.approx(200))
    pose = subject.photograph.pose
    assert pose is not None
    assert pose.roll == pytest.approx(0, abs=0.1)
    assert pose.yaw == pytest.approx(np.degrees(np.arctan(5 / 26)), abs=0.5)
