"""`barber bundle ..` as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from barber import cli
from tests.support.system import write_tiny_bundle


class Said(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def barber(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def run(*arguments: object) -> Said:
        environ = {"BARBER_BUNDLES": str(tmp_path / "own")}
        code = cli.run(["bundle", *(str(argument) for argument in arguments)], environ)
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """One bundle of one's own."""
    write_tiny_bundle(tmp_path / "own" / "tiny")
    return tmp_path / "own" / "tiny"


def test_own_bundles_are_listed_after_the_shipped(barber: Callable[..., Said], tiny: Path) -> None:
    said = barber("list")
    shipped, own, where = said.out.splitlines()
    assert shipped.startswith("rendered-128") and "128 px" in shipped and "shipped" in shipped
    assert own.startswith("tiny") and "64 px" in own and "own" in own
    assert where == f"your own lie in {tiny.parent}"

    (tiny / "generator.safetensors").unlink()
    assert "damaged: generator.safetensors is missing" in barber("list").out
    rows = json.loads(barber("list", "--json").out)["bundles"]
    assert [(row["name"], row["shipped"], row["fault"]) for row in rows] == [
        ("rendered-128", True, ""),
        ("tiny", False, "generator.safetensors is missing"),
    ]
    (tiny / "manifest.json").write_text("{")
    assert "is not JSON" in barber("list").out


def test_without_own_bundles_the_shipped_are_listed(barber: Callable[..., Said]) -> None:
    assert [row["name"] for row in json.loads(barber("list", "--json").out)["bundles"]] == [
        "rendered-128"
    ]


def test_a_bundle_is_shown_by_name(barber: Callable[..., Said], tiny: Path) -> None:
    said = barber("show", "tiny")
    for words in ("tiny", "64x64 pixels", "F 16x16x16", "regions", str(tiny)):
        assert words in said.out
    assert json.loads(barber("show", "tiny", "--json").out)["path"] == str(tiny)
    assert barber("show", "teeny").code == 1


def test_verifying_ends_non_zero_where_something_is_damaged(
    barber: Callable[..., Said], tiny: Path
) -> None:
    said = barber("verify", "tiny")
    assert said.code == 0 and "tiny is sound" in said.out
    assert json.loads(barber("verify", tiny, "--json").out)["sound"] is True

    with (tiny / "statistics.safetensors").open("ab") as file:
        file.write(b"x")
    said = barber("verify", "tiny")
    assert said.code == 1
    assert "BAD  statistics.safetensors" in said.out
    told = barber("verify", "tiny", "--json")
    assert told.code == 1 and json.loads(told.out)["sound"] is False


def test_only_own_bundles_are_removed(barber: Callable[..., Said], tiny: Path) -> None:
    for name, words in (
        ("rendered-128", "ships with the software"),
        ("../own/tiny", "there is tiny"),
        ("teeny", "there is tiny"),
    ):
        said = barber("remove", name)
        assert said.code == 1 and words in said.err
    assert json.loads(barber("remove", "tiny", "--json").out) == {"removed": "tiny"}
    assert not tiny.exists()


def test_what_cannot_be_added_is_refused_in_one_sentence(
    barber: Callable[..., Said], tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "words.txt").write_text("words")
    files = ("--generator", tmp_path / "words.txt", "--parser", "none.pth", "--vgg", "none.pth")
    for name, words in (
        ("tiny", "there is a bundle 'tiny'"),
        ("a/b", "cannot be a bundle's name"),
        ("rendered-128", "ships with the software"),
        ("mine", "none.pth (--parser) does not exist"),
    ):
        said = barber("add", name, *files)
        assert said.code == 1 and words in said.err and len(said.err.splitlines()) == 1
    told = json.loads(barber("add", "mine", *files, "--json").err)
    assert told["error"]["code"] == "checkpoint_error"
    assert barber("add", "mine").code == 2
    assert [path.name for path in tiny.parent.iterdir()] == ["tiny"]
