import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from barber.errors import InputError
from barber.labels import GROUPS, Region
from barber.photographs.landmarks import FaceFinder
from barber.photographs.picture import encode_labels
from barber.pixels import portrait_key, read_portrait
from barber.preflight.findings import Check
from barber.spec import PRESETS, NoiseMode
from barber.table import Table, TableSettings, read_table
from tests.support.photographs import file_of, finder, woman

__all__ = ["finder"]

SIZE = 32
SETTINGS = TableSettings(
    bundle_digest="b" * 64,
    size=SIZE,
    label_size=SIZE,
    presets={"demo": {"blend": {"steps": 7}}},
    default_preset="demo",
)


def picture(seed: int, side: int = SIZE) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(["a", "b", "c", "d"]):
        (tmp_path / f"{name}.png").write_bytes(picture(seed))
    (tmp_path / "broken.png").write_bytes(picture(9)[:200])
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def read(folder: Path, text: str | bytes) -> Table:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, SETTINGS)


def key(folder: Path, name: str) -> str:
    data = (folder / f"{name}.png").read_bytes()
    return portrait_key(read_portrait(data, SIZE, name=name))


def test_row_becomes_spec_with_portraits_by_content(folder: Path) -> None:
    table = read(
        folder, "name,identity,hair,colour,priority,seed,preset\none,a.png,b.png,c.png,5,9,official"
    )
    (row,) = table.rows
    assert (row.name, row.line, row.priority) == ("one", 2, 5)
    assert row.spec.identity == key(folder, "a")
    (region,) = row.spec.regions
    assert region.labels == (Region.HAIR,)
    assert (region.structure, region.appearance) == (key(folder, "b"), key(folder, "c"))
    assert row.spec.seed == 9
    assert row.spec.params == PRESETS["official"]
    assert set(table.pictures) == {key(folder, name) for name in "abc"}
    assert table.errors == ()


def test_default_preset_comes_from_settings(folder: Path) -> None:
    assert read(folder, "identity,hair\na.png,b.png").rows[0].spec.params.blend.steps == 7


def test_shape_alone_gives_its_own_colour_and_colour_alone_keeps_the_shape(folder: Path) -> None:
    shape, colour = read(folder, "identity,hair,hair-colour\na.png,b.png,\na.png,,c.png").rows
    assert shape.spec.regions[0].appearance == key(folder, "b")
    assert colour.spec.regions[0].structure == key(folder, "a")
    assert colour.spec.regions[0].appearance == key(folder, "c")


def test_columns_give_the_order_of_regions(folder: Path) -> None:
    text = "identity,lips,hair,eyes+brows-colour\na.png,b.png,c.png,d.png"
    regions = read(folder, text).rows[0].spec.regions
    assert [region.labels for region in regions] == [
        GROUPS["lips"].labels,
        (Region.HAIR,),
        (Region.EYES, Region.BROWS),
    ]
    swapped = read(folder, "identity,hair,lips\na.png,c.png,b.png").rows[0].spec.regions
    assert swapped[0].labels == (Region.HAIR,)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfidentity,hair\r\na.png,b.png\r\n",
        b"identity;hair\na.png;b.png",
        b"identity\thair\na.png\tb.png",
        b'\n"Identity","HAIR"\n\n" a.png ","b.png"\n,\n',
    ],
    ids=["bom-crlf", "semicolon", "tab", "quotes-case-blank-lines"],
)
def test_spreadsheet_dialects_read_the_same(folder: Path, text: bytes) -> None:
    table = read(folder, text)
    assert len(table.rows) == 1
    assert table.errors == ()
    assert table.digest == read(folder, text).digest
    assert table.rows[0].spec == read(folder, "identity,hair\na.png,b.png").rows[0].spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("identity,hair\n", "no rows"),
        ("identity,hair\n,\n", "no rows"),
        ("identity,hare\na.png,b.png", "unknown column 'hare'"),
        ("identity,hair,\na.png,b.png", "unknown column ''"),
        ("identity,background\na.png,b.png", "unknown column 'background'"),
        ("hair\nb.png", "no column 'identity'"),
        ("name,identity\nx,a.png", "no region column"),
        ("identity,hair,hair\na.png,b.png,c.png", "'hair' twice"),
        ("identity,hair,colour,hair-colour\na.png,b.png,c.png,c.png", "'hair-colour' twice"),
        (b"identity,hair\n\xff\xfe", "not UTF-8"),
        ("identity,hair\n".encode("utf-16"), "not UTF-8"),
        ('identity,hair\n"a.png,b.png', "line"),
    ],
)
def test_unusable_table_is_refused_whole(folder: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(folder, text)


def test_unknown_column_lists_what_is_allowed(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(folder, "identity,hare\na.png,b.png")
    for word in ("identity", "priority", "hair", "lips", "upper-lip", "<region>-colour"):
        assert word in str(caught.value)
    assert "background" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (",b.png,,,,", "no identity"),
        ("a.png,,,,,", "changes nothing"),
        ("a.png,gone.png,,,,", "gone.png cannot be read: No such file"),
        ("a.png,.,,,,", "cannot be read: Is a directory"),
        ("a.png,broken.png,,,,", "broken.png"),
        ("a.png,notes.txt,,,,", "notes.txt is not a picture"),
        ("a.png,b\0.png,,,,", "cannot be the name of a file"),
        ("a.png,b.png,,high,,", "priority is 'high'"),
        ("a.png,b.png,,1.5,,", "priority is '1.5'"),
        ("a.png,b.png,,1001,,", "priority is '1001'"),
        ("a.png,b.png,,,-1,", "seed is '-1'"),
        ("a.png,b.png,,,,swift", "unknown preset 'swift'"),
        ("a.png,b.png,,,,,surplus", "7 cells under 6 columns"),
    ],
)
def test_bad_row_is_named_with_its_line_and_the_others_stand(
    folder: Path, cells: str, said: str
) -> None:
    header = "identity,hair,colour,priority,seed,preset"
    table = read(folder, f"{header}\na.png,b.png,,,,\n{cells}\nc.png,d.png,,,,")
    assert [row.line for row in table.rows] == [2, 4]
    (error,) = table.errors
    assert error.line == 3
    assert said in error.reason
    assert "line 3" in str(error)


def test_every_bad_row_is_listed(folder: Path) -> None:
    text = "name,identity,hair\nx,gone.png,b.png\ny,a.png,broken.png\nz,a.png,b.png\nz,a.png,c.png"
    table = read(folder, text)
    assert [(error.line, error.name) for error in table.errors] == [(2, "x"), (3, "y"), (5, "z")]
    assert "used on line 4" in table.errors[2].reason


def test_name_that_would_write_to_the_terminal_is_refused(folder: Path) -> None:
    table = read(folder, "name,identity,hair\n\x1b[2Jx,a.png,b.png")
    assert "cannot be shown" in table.errors[0].reason
    assert "\x1b" not in str(table.errors[0])


def test_too_small_and_oblong_pictures_are_refused(folder: Path) -> None:
    (folder / "small.png").write_bytes(picture(1, SIZE - 1))
    Image.new("RGB", (SIZE, SIZE * 2)).save(folder / "tall.png")
    table = read(folder, "identity,hair\nsmall.png,b.png\ntall.png,b.png")
    assert [f"{SIZE}x{SIZE}" in table.errors[0].reason, "square" in table.errors[1].reason] == [
        True,
        True,
    ]


def test_digest_follows_content_not_file_names(folder: Path) -> None:
    text = "name,identity,hair\nx,a.png,b.png"
    digest = read(folder, text).digest
    (folder / "copy.png").write_bytes((folder / "b.png").read_bytes())
    assert read(folder, "name,identity,hair\nx,a.png,copy.png").digest == digest
    assert read(folder, "name,identity,hair\nx,a.png,c.png").digest != digest
    assert read(folder, "name,identity,hair\ny,a.png,b.png").digest != digest


def test_unknown_default_preset_is_refused_before_any_row(folder: Path) -> None:
    path = folder / "table.csv"
    path.write_text("identity,hair\na.png,b.png")
    settings = TableSettings(
        bundle_digest="b" * 64, size=SIZE, label_size=SIZE, presets={}, default_preset="swift"
    )
    with pytest.raises(InputError, match="unknown preset 'swift'"):
        read_table(path, settings)


def label_map(value: int) -> bytes:
    return encode_labels(np.full((SIZE, SIZE), value, dtype=np.uint8))


def test_label_map_of_its_own_makes_another_portrait_in_the_whole_row(folder: Path) -> None:
    (folder / "map.png").write_bytes(label_map(10))
    header = "identity,hair,hair-labels,lips,identity-labels"
    table = read(folder, f"{header}\na.png,b.png,map.png,b.png,\na.png,b.png,,,")
    assert not table.errors
    mapped, plain = (row.spec for row in table.rows)
    assert plain.regions[0].structure == key(folder, "b")
    assert mapped.regions[0].structure != key(folder, "b")
    assert mapped.regions[1].structure == mapped.regions[0].structure
    assert mapped.identity == plain.identity
    own = table.pictures[mapped.regions[0].structure].label_map()
    assert own is not None
    assert own.tolist() == [[10] * SIZE] * SIZE


def test_label_map_that_cannot_be_meant_refuses_its_row(folder: Path) -> None:
    (folder / "map.png").write_bytes(label_map(10))
    (folder / "skin.png").write_bytes(label_map(1))
    Image.new("L", (SIZE, SIZE), 17).save(folder / "wrong.png")
    table = read(
        folder,
        "identity,hair,hair-labels,lips,lips-labels\n"
        "a.png,,map.png,b.png,\n"
        "a.png,b.png,map.png,b.png,skin.png\n"
        "a.png,b.png,wrong.png,,\n"
        "a.png,b.png,none.png,,\n",
    )
    reasons = [error.reason for error in table.errors]
    assert "hair-labels is given and hair is not" in reasons[0]
    assert "two label maps" in reasons[1]
    assert "wrong.png has the value 17" in reasons[2]
    assert "none.png cannot be read" in reasons[3]


def test_labels_column_needs_its_portraits_column(folder: Path) -> None:
    with pytest.raises(InputError, match="no 'face'"):
        read(folder, "identity,hair,face-labels\na.png,b.png,m.png")


def test_photograph_in_a_row_is_cut_around_its_face(folder: Path, finder: FaceFinder) -> None:
    photo = file_of(woman(), "JPEG")
    (folder / "photo.jpg").write_bytes(photo)
    table = read(folder, "identity,hair\nphoto.jpg,a.png")
    assert not table.errors
    picture = table.pictures[table.rows[0].spec.identity]
    assert picture.photo == photo
    assert picture.size == SIZE


def test_settings_of_a_row_come_over_the_tables_which_come_over_the_preset(folder: Path) -> None:
    path = folder / "table.csv"
    path.write_text(
        "identity,hair,preset,set\na.png,b.png,,blend.steps=9 align.rate=0.5\nb.png,c.png,paper,\n"
    )
    defaults = replace(SETTINGS, settings=("blend.steps=8", "target.steps=5"), noise=NoiseMode.ZERO)
    own, plain = (row.spec for row in read_table(path, defaults).rows)
    assert (own.params.blend.steps, own.params.target.steps, own.params.align.rate) == (9, 5, 0.5)
    assert (plain.params.blend.steps, plain.params.target.steps) == (8, 5)
    assert plain.params.reconstruct == PRESETS["paper"].reconstruct
    assert own.noise is NoiseMode.ZERO and plain.noise is NoiseMode.ZERO


def test_setting_that_cannot_be_is_the_rows_error_or_the_whole_tables(folder: Path) -> None:
    path = folder / "table.csv"
    path.write_text("identity,hair,set\na.png,b.png,blend.stepz=9\n")
    (error,) = read_table(path, SETTINGS).errors
    assert "blend.stepz: use one of" in error.reason
    with pytest.raises(InputError, match=r"align\.rat"):
        read_table(path, replace(SETTINGS, settings=("align.rat=1",)))


def test_a_row_error_lists_all_that_stands_against_it(folder: Path) -> None:
    (folder / "small.png").write_bytes(picture(1, SIZE - 1))
    header = "name,identity,hair,colour,priority,seed,preset"
    (error,) = read(folder, f"{header}\nx,gone.png,small.png,notes.txt,high,-1,swift").errors
    for said in (
        "gone.png cannot be read",
        f"small.png is {SIZE - 1}x{SIZE - 1} pixels",
        "notes.txt is not a picture",
        "priority is 'high'",
        "seed is '-1'",
        "unknown preset 'swift'",
    ):
        assert said in error.reason
    assert [f.check for f in error.findings] == [Check.PICTURE_SIZE, Check.FORMAT]
    assert error.to_json()["findings"][0]["number"] == SIZE - 1


def test_row_without_identity_still_tells_what_else_is_wrong(folder: Path) -> None:
    (error,) = read(folder, "identity,hair\n,notes.txt").errors
    assert "has no identity" in error.reason
    assert "notes.txt is not a picture" in error.reason


def test_one_bad_picture_is_one_problem_of_its_row(folder: Path) -> None:
    (error,) = read(folder, "identity,hair,colour\nnotes.txt,notes.txt,notes.txt").errors
    assert error.reason.count("notes.txt") == 1
    assert len(error.findings) == 1
