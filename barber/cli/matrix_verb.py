"""`barber matrix`: every face with every style, as the console's "New jobs" makes them."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from barber.cli.queue_verbs import submit, submit_options
from barber.errors import InputError
from barber.looks import LOOKS, Look, Slot, check_picked, find_look, matrix, matrix_size
from barber.table_rows import KEEP

F = TypeVar("F", bound=Callable[..., object])

MOST: Final = 10_000  # as the console
PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
FILE: Final = click.Path(path_type=Path)
OPTIONS: Final = {
    "identity": "--identity",
    Slot.HAIR: "--hair",
    Slot.COLOUR: "--colour",
    Slot.FACE: "--face",
    Slot.DETAIL: "--detail",
}
HELP: Final = {
    "identity": "Who is changed",
    Slot.HAIR: "Whose hair",
    Slot.COLOUR: "Whose hair's colour",
    Slot.FACE: "Whose face",
    Slot.DETAIL: "Whose beard, lips, .. as --look says",
}


def picture_options(verb: F) -> F:
    """An option for the faces and for each slot; a picture or a folder of them, repeatable."""
    for name, option in reversed(OPTIONS.items()):
        told = f"{HELP[name]}: a picture, or a folder of them; repeatable."
        verb = click.option(option, name, type=FILE, multiple=True, help=told)(verb)
    return verb


@click.command("matrix")
@picture_options
@click.option(
    "--look",
    "word",
    type=click.Choice([look.word for look in LOOKS]),
    help="What is taken of them.  [default: as the options given say]",
)
@click.option("--name", default="matrix", show_default=True, help="Of the batch.")
@click.option("--out", type=FILE, help="Only write the table, for `barber submit` later.")
@submit_options
@click.pass_context
def matrix_verb(
    context: click.Context,
    /,
    identity: tuple[Path, ...],
    word: str | None,
    name: str,
    out: Path | None,
    **rest: Any,
) -> int:
    """Queue every face with every style.

    barber matrix --identity faces/ --hair styles/
    """
    if not identity:
        raise InputError("nobody is to be changed: give --identity, a picture or a folder")
    picked = {slot: _pictures(rest.pop(str(slot))) for slot in Slot}
    look = _look(word, {slot for slot, found in picked.items() if found})
    faces = _pictures(identity)
    check_picked(look, picked)
    count = matrix_size(faces, look, picked)
    if count > MOST:
        raise InputError(f"that would be {count:,} jobs: give pictures for at most {MOST:,}")
    rows = list(_rows(faces, look, picked))
    if not rows:
        raise InputError("no face has a style but its own: give other pictures")
    if out is not None:
        write_table(out, rows)
        click.echo(f"{len(rows)} rows in {out}")
        return 0
    with tempfile.TemporaryDirectory(prefix="barber-matrix-") as folder:
        table = Path(folder) / f"{_file_name(name)}.csv"
        write_table(table, rows)
        code: int = context.invoke(submit, table=table, **rest)
    return code


def write_table(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The rows as CSV; all have the same columns."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"--out {path} cannot be written: {error.strerror}") from error


def _look(word: str | None, given: set[Slot]) -> Look:
    """The look that was named, or the first that takes exactly what was given."""
    if word is None:
        for look in LOOKS:
            if set(look.slots) == given and Slot.DETAIL not in given:
                return look
        raise InputError("what is taken of them? give --hair, --colour or --face, or --look")
    look = find_look(word)
    for slot in given - set(look.slots):
        raise InputError(f"--look {word} takes no {OPTIONS[slot]}: leave it out")
    return look


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """The pictures of files and folders, in order, each once. Raises InputError."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = (
            sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
            if (path.is_dir())
            else [path]
        )
        if not inside:
            raise InputError(f"{path} has no pictures: there are {', '.join(PICTURES)}")
        found |= dict.fromkeys(each.absolute() for each in inside)
    return list(found)


def _rows(
    faces: Sequence[Path], look: Look, picked: Mapping[Slot, Sequence[Path]]
) -> Iterator[dict[str, str]]:
    taken: dict[str, int] = {}
    for face, chosen in matrix(faces, look, picked):
        others = [path for path in dict.fromkeys(chosen.values()) if path != face]
        name = " × ".join(path.stem[:60] for path in (face, *others))
        taken[name] = taken.get(name, 0) + 1
        row = {
            "name": name if taken[name] == 1 else f"{name} ({taken[name]})",
            "identity": str(face),
        }
        for edit in look.edits:
            colour = "colour" if edit.region == "hair" else f"{edit.region}-colour"
            row[edit.region] = KEEP if edit.shape is None else str(chosen[edit.shape])
            if edit.colour != edit.shape:
                row[colour] = KEEP if edit.colour is None else str(chosen[edit.colour])
        yield row


def _file_name(name: str) -> str:
    """The table's name is the batch's. Raises InputError for one that no file can have."""
    if not name.strip() or "/" in name or "\0" in name or len(name.encode()) > 200:
        raise InputError(f"--name {name[:40]!r} cannot be a batch's: give some letters, no '/'")
    return name
