"""`align`: portraits out of photographs, and the options by which other verbs take photographs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from barber.errors import InputError
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.crop import RECIPE_SIZE
from barber.photographs.gallery import Cut, cut_portraits
from barber.photographs.landmarks import open_finder
from barber.photographs.portraits import AlignPolicy
from barber.settings import bundles_dir

F = TypeVar("F", bound=Callable[..., object])
FILE = click.Path(path_type=Path)

landmarks_option = click.option(
    "--landmarks", type=FILE, help="Landmark predictor, if not the bundle's or the installed one."
)
_align_option = click.option(
    "--align",
    type=click.Choice(AlignPolicy, case_sensitive=False),
    default=AlignPolicy.AUTO,
    show_default=True,
    help="Find the face and cut it out: of pictures that are not square, of all, or of none.",
)


def photograph_options(verb: F) -> F:
    """The options of every verb that reads pictures: `align` and `landmarks`."""
    return _align_option(landmarks_option(verb))


@click.command()
@click.argument("photos", type=FILE, nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=FILE, required=True, help="Folder for the portraits.")
@click.option("--size", type=int, help=f"Side of a portrait in pixels.  [default: {RECIPE_SIZE}]")
@click.option("--bundle", help="Take the size, and the landmark predictor, from this bundle.")
@click.option("--face", type=click.IntRange(0), help="Which face; 0, the largest, is the default.")
@click.option("--all", "every", is_flag=True, help="Every face of a photograph.")
@landmarks_option
@click.option("--json", "as_json", is_flag=True, help="Tell the outcome as JSON.")
@click.pass_obj
def align(
    environ: Mapping[str, str],
    photos: tuple[Path, ...],
    out: Path,
    size: int | None,
    bundle: str | None,
    face: int | None,
    every: bool,
    landmarks: Path | None,
    as_json: bool,
) -> int:
    """Cut portraits out of photographs: the face found, turned upright, FFHQ's crop.

    Beside each portrait lies a JSON file that says where in the photograph it was cut.
    """
    if size is not None and bundle is not None:
        raise InputError("--size and --bundle both say how large a portrait is: leave one out")
    if every and face is not None:
        raise InputError(f"--all and --face {face} contradict each other: leave one out")
    if bundle is not None:
        path = find_bundle(bundle, bundles_dir(environ))
        manifest = read_manifest(path)
        size = manifest.geometry.image_size
        landmarks = landmarks or landmarks_file(path, manifest)
    size = RECIPE_SIZE if size is None else size
    if size < 1 or RECIPE_SIZE % size:
        raise InputError(f"--size {size}: give a divisor of {RECIPE_SIZE}, such as 256")
    finder = open_finder(landmarks)
    _make(out)
    cuts: list[Cut] = []
    failures: list[tuple[Path, str]] = []
    for photo in photos:
        try:
            found = cut_portraits(finder, photo, out, size=size, face=None if every else face or 0)
        except InputError as error:
            failures.append((photo, str(error)))
            if not as_json:
                click.echo(f"barber: {photo}: {error}", err=True)
            continue
        cuts += found
        if not as_json:
            for cut in found:
                click.echo(_line(cut))
    if as_json:
        refused = [{"photograph": str(photo), "reason": reason} for photo, reason in failures]
        facts = {"portraits": [cut.to_json() for cut in cuts], "failures": refused}
        click.echo(json.dumps(facts))
    return 1 if failures else 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {folder} cannot be made: {error.strerror}") from error


def _line(cut: Cut) -> str:
    side = round(cut.crop.side_px)
    which = "" if cut.face_count == 1 else f"face {cut.face} of {cut.face_count}, "
    larger = ", enlarged" if side < cut.crop.size else ""
    return f"{cut.portrait}  ({which}{side} pixels wide in {cut.photograph.name}{larger})"
