import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from sqlalchemy.exc import OperationalError, ProgrammingError

from barber import cli
from barber.cli.failures import explain
from barber.cli.studio_verbs import _sources
from barber.errors import Conflict, NotFound
from barber.geometry import Geometry
from barber.manifest import MANIFEST_NAME, FileRecord, Manifest
from barber.pixels import decode
from barber.table import RowError, TableError

SIZE = 32


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def barber(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: object, **environ: str) -> Said:
        code = cli.run([str(argument) for argument in arguments], environ)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle whose manifest is sound and whose weights are missing."""
    manifest = Manifest(
        name="small",
        geometry=Geometry(
            image_size=SIZE,
            style_dim=8,
            mapping_layers=1,
            channels=((4, 4), (8, 4), (16, 4), (32, 4)),
            f_size=8,
            label_size=32,
            loss_size=32,
        ),
        segmenter={},
        vgg={},
        presets={"demo": {}},
        licence="MIT",
        source="a test",
        scores={"psnr": 12.5},
        files={"generator.safetensors": FileRecord(sha256="0" * 64, bytes=3)},
    )
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest.to_json()))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(["a", "b"]):
        pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    return tmp_path


def test_verbs_are_listed_in_the_order_of_a_day(barber: Callable[..., Said]) -> None:
    said = barber("--help")
    assert said.code == 0
    places = [said.out.index(f"\n  {verb} ") for verb in ("up", "submit", "retry", "compose")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dance"], "No such command 'dance'"),
        (["jobs", "--limit", "0"], "--limit"),
        (["show", "one"], "'one' is not a valid integer"),
        (["jobs", "--status", "asleep"], "asleep"),
        (["compose", "--hair", "x.png"], "--identity"),
        (["faces"], "OUT"),
        (["faces", "train"], "RUN"),
        (["faces", "train", "x"], "give --part, --export or both"),
        (["faces", "train", "x", "--part", "nose"], "nose"),
        (["up", "--port", "70000"], "70000"),
        (["demo", "--workers", "0"], "--workers"),
    ],
)
def test_misuse_is_one_sentence_and_code_2(
    barber: Callable[..., Said], arguments: list[str], words: str
) -> None:
    said = barber(*arguments)
    assert said.code == 2
    assert words in said.err
    assert said.err.startswith("barber: ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_barber_alone_shows_its_help_as_misuse(barber: Callable[..., Said]) -> None:
    said = barber()
    assert said.code == 2
    assert said.err.startswith("Usage: barber")


COMPOSE = [
    "compose",
    "--no-parse",
    "--bundle",
    "{bundle}",
    "--identity",
    "{f}/a.png",
    "--out",
    "{f}/r.png",
]


BAD_INPUT: list[tuple[list[str], str]] = [
    (["bundle", "show", "{f}"], "no bundle at"),
    (["bundle", "show", "missing"], "no bundle at 'missing'"),
    (COMPOSE, "nothing to change"),
    ([*COMPOSE, "--reconstruct", "--hair", "{f}/b.png"], "--reconstruct changes nothing"),
    ([*COMPOSE, "--region", "beard+hair={f}/b.png"], "make them two regions"),
    (["modes", "--bundle", "{bundle}", "--only", "wigs"], "unknown mode 'wigs'"),
    (["modes", "--bundle", "{bundle}", "--out", "{f}/a.png"], "is a file: give a folder"),
    ([*COMPOSE, "--hair", "{f}/gone.png"], "gone.png cannot be read: No such file"),
    ([*COMPOSE, "--hair", "{f}/bad.png"], "bad.png is damaged or cut short"),
    ([*COMPOSE, "--hair", "{f}"], "Is a directory"),
    ([*COMPOSE, "--region", "lips"], "write NAME=SHAPE"),
    ([*COMPOSE, "--region", "lipz={f}/b.png"], "unknown region 'lipz'"),
    ([*COMPOSE, "--region", "background={f}/b.png"], "unknown region 'background'"),
    ([*COMPOSE, "--hair", "{f}/b.png", "--preset", "swift"], "unknown preset 'swift'"),
    (
        [*COMPOSE, "--hair", "{f}/b.png", "--set", "blend.stepz=3"],
        "unknown parameter blend.stepz: use one of base_weight,",
    ),
    ([*COMPOSE, "--hair", "{f}/b.png", "--set", "steps=3"], "write STAGE.NAME=VALUE"),
    ([*COMPOSE, "--hair", "{f}/b.png", "--set", "blend.steps=0"], "give from 1 to"),
    ([*COMPOSE, "--hair", "{f}/b.png", "--out", "{f}/r.jpg"], "ends in .png"),
    ([*COMPOSE, "--hair", "{f}/b.png", "--out", "{f}/no/r.png"], "a directory that exists"),
    (["faces", "{f}/a.png"], "cannot be made or read"),
    (["faces", "{f}"], "is not empty"),
    (["faces", "draw", "{f}"], "is not empty"),
    (["faces", "sheets", "{f}/a.png"], "cannot write sheets"),
    (["faces", "train", "{f}/a.png", "--part", "parser"], "cannot be used"),
    (["faces", "train", "{f}/new", "--part", "sharp"], "train the generator in this run first"),
    (["faces", "train", "{f}/new", "--part", "parser", "--minutes", "0"], "more than 0"),
    (["faces", "train", "{f}/new", "--export", "{f}/b"], "train the generator in this run first"),
    (["jobs", "--home", "{f}/nowhere"], "nothing runs on"),
    (["submit", "{f}/t.csv", "--home", "{f}/nowhere"], "nothing runs on"),
    (["up", "--home", "{f}/h", "--bundle", "missing"], "no bundle at 'missing'"),
    (
        ["up", "--home", "{f}/h", "--bundle", "{bundle}"],
        "generator.safetensors of the bundle {bundle} does not match its manifest",
    ),
    (["demo", "--home", "{f}/h", "--out", "{f}/o", "--bundle", "missing"], "no bundle at"),
]
CASES = [
    (arguments, words, as_json)
    for arguments, words in BAD_INPUT
    for as_json in (False, True)
    if not (as_json and arguments[0] in ("up", "demo"))  # these have no answer in JSON
]


@pytest.mark.parametrize(("arguments", "words", "as_json"), CASES)
def test_bad_input_is_one_sentence_and_code_1(
    barber: Callable[..., Said],
    bundle: Path,
    folder: Path,
    arguments: list[str],
    words: str,
    as_json: bool,
) -> None:
    names = {"f": str(folder), "bundle": str(bundle)}
    filled = [argument.format(**names) for argument in arguments]
    said = barber(*filled, *(["--json"] if as_json else []))
    assert said.code == 1
    if as_json:
        error = json.loads(said.err)["error"]
        assert words.format(**names) in error["message"]
        assert error["code"].endswith("_error")
    else:
        assert words.format(**names) in said.err
        assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (folder / "r.png").exists()
    assert not (folder / "h").exists(), "a refused `up` leaves no home behind"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"BARBER_DATABASE_URL": "postgresql://x"}, "must name its driver"),
        ({"BARBER_DATABASE_URL": "sqlite:///x"}, "must name its driver"),
        (
            {"BARBER_DATABASE_URL": "postgresql+psycopg2://u:secret@127.0.0.1:1/x"},
            "the catalogue cannot be reached",
        ),
        (
            {"BARBER_DATABASE_URL": "postgresql+psycopg2://x", "BARBER_LEASE_S": "soon"},
            "BARBER_LEASE_S is 'soon'",
        ),
    ],
)
def test_environment_at_fault_is_named(
    barber: Callable[..., Said], environ: dict[str, str], words: str
) -> None:
    said = barber("jobs", **environ)
    assert said.code == 1
    assert words in said.err
    assert "secret" not in said.err


def test_bundle_show_tells_sizes_presets_and_scores(
    barber: Callable[..., Said], bundle: Path
) -> None:
    said = barber("bundle", "show", bundle)
    assert said.code == 0
    for words in ("small", "32x32", "demo", "MIT", "psnr 12.5"):
        assert words in said.out
    facts = json.loads(barber("bundle", "show", bundle, "--json").out)
    assert facts["presets"] == {"demo": {}}
    assert len(facts["digest"]) == 64


def test_faces_are_the_same_for_the_same_seed(barber: Callable[..., Said], tmp_path: Path) -> None:
    def first_face(folder: str, *words: object) -> bytes:
        said = json.loads(barber("faces", tmp_path / folder, *words, "--json").out)
        rows = (tmp_path / folder / "index.csv").read_text().splitlines()
        assert len(rows) == said["count"] + 1
        return (tmp_path / folder / "face-0000.png").read_bytes()

    one = first_face("1", "--count", 2, "--seed", 3)
    assert one == first_face("2", "--count", 3, "--seed", 3)
    assert decode(one, name="face").shape == (128, 128, 3)
    assert one != first_face("3", "--count", 1)


def test_command_line_does_not_load_torch_until_it_composes() -> None:
    code = "import sys, barber.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0


class Driver(Exception):
    """What a database driver raises."""


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NotFound("no job 3"), "not_found", "no job 3"),
        (Conflict("already"), "conflict", "already"),
        (
            OperationalError("SELECT", {}, Driver("server closed\nmore")),
            "operational_error",
            "cannot be reached (server closed)",
        ),
        (
            ProgrammingError("SELECT", {}, Driver('relation "job" does not exist\nLINE 1')),
            "programming_error",
            "not this version's catalogue",
        ),
        (OSError(28, "No space left on device", "x.png"), "oserror", "x.png: No space left"),
        (KeyboardInterrupt(), "interrupted", "interrupted"),
    ],
)
def test_failures_have_a_code_and_a_sentence(error: BaseException, code: str, words: str) -> None:
    failure = explain(error)
    assert failure is not None
    assert failure.code == code
    assert words in failure.message
    assert failure.exit_code == (130 if code == "interrupted" else 1)


def test_a_fault_of_ours_keeps_its_trace() -> None:
    assert explain(ZeroDivisionError()) is None


def test_table_error_lists_rows_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    failure = explain(TableError("bad rows", [RowError(line=3, name="x", reason="is gone")]))
    assert failure is not None
    failure.show(as_json=True)
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["rows"] == [{"line": 3, "name": "x", "reason": "is gone", "findings": []}]


def test_keep_and_order_of_regions_on_the_command_line() -> None:
    a, b, c = Path("a.png"), Path("b.png"), Path("c.png")
    keep = Path("keep")
    found = _sources(a, b, keep, None, ("beard=c.png:keep", "lips=keep:b.png"))
    assert [(area.words, shape, colour) for area, shape, colour in found] == [
        ("hair", b, a),
        ("beard", c, a),
        ("lips", a, b),
    ]
    assert _sources(a, None, None, None, ()) == []


def test_keep_stands_for_the_identity_at_every_option_and_regions_come_in_the_told_order() -> None:
    a, b, keep = Path("a.png"), Path("b.png"), Path("keep")
    found = _sources(a, b, None, keep, ("nose=b.png", "hair=a.png"))
    assert [area.words for area, _, _ in found] == ["hair", "face", "nose", "hair"]
    assert found[1][1:] == (a, a)


@pytest.mark.parametrize("option", ["pairs", "triples", "images"])
def test_an_evaluation_of_ones_own_table_draws_nobody(
    barber: Callable[..., Said], option: str
) -> None:
    said = barber("evaluate", "--pairs-file", "mine.csv", f"--{option}", 3)
    assert said.code == 1 and f"--{option} draws people" in said.err
