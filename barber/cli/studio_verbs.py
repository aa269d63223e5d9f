"""`compose`, `faces` and `bundle show`: what needs no queue and no database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from barber.errors import InputError
from barber.faces.gallery import write_faces
from barber.faces.sheets import write_sheets
from barber.labels import Region, parse_regions
from barber.manifest import find_bundle, read_manifest
from barber.pixels import Pixels, portrait_key, read_portrait
from barber.settings import Settings
from barber.spec import JobSpec, PortraitKey, RegionEdit, default_preset, preset_params
from barber.table import MAX_SEED

DEFAULT_BUNDLE = str(Settings.__dataclass_fields__["bundle"].default)
FILE = click.Path(path_type=Path)
Sources = tuple[tuple[Region, ...], Path, Path]  # labels, shape, colour


@click.command()
@click.option("--identity", type=FILE, required=True, help="Portrait to change.")
@click.option("--hair", type=FILE, help="Portrait that gives the hair.")
@click.option("--colour", type=FILE, help="Portrait that gives the hair's colour, if not --hair.")
@click.option("--face", type=FILE, help="Portrait that gives the face.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="NAME=SHAPE[:COLOUR]",
    help="A region from a portrait, for example lips=B.png or eyes+brows=B.png:C.png; repeatable.",
)
@click.option("--out", type=FILE, required=True, help="Where the PNG goes.")
@click.option("--preset", help="Steps and weights: official, paper, or one of the bundle's.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Seed of the noise.")
@click.option("--bundle", default=DEFAULT_BUNDLE, show_default=True, help="Name or path.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, ..")
@click.option("--keep-artifacts", type=FILE, help="Directory for what each stage made.")
@click.option("--json", "as_json", is_flag=True, help="Tell the outcome as JSON.")
def compose(
    identity: Path,
    hair: Path | None,
    colour: Path | None,
    face: Path | None,
    regions: tuple[str, ...],
    out: Path,
    preset: str | None,
    seed: int,
    bundle: str,
    device: str,
    keep_artifacts: Path | None,
    as_json: bool,
) -> None:
    """Compose one picture here and now; later regions win where they overlap."""
    path = find_bundle(bundle)
    manifest = read_manifest(path)
    sources = _sources(identity, hair, colour, face, regions)
    pictures = _Pictures(manifest.geometry.image_size)
    spec = JobSpec(
        identity=pictures.read(identity),
        regions=tuple(
            RegionEdit(
                labels=labels, structure=pictures.read(shape), appearance=pictures.read(look)
            )
            for labels, shape, look in sources
        ),
        bundle=manifest.digest,
        params=preset_params(preset or default_preset(manifest.presets), manifest.presets),
        seed=seed,
    )
    _check_writable(out)
    if keep_artifacts is not None:
        keep_artifacts.mkdir(parents=True, exist_ok=True)

    from barber.cli import composing  # loads torch

    report = composing.compose_here(
        path, device, spec, pictures.by_key, out=out, artifacts=keep_artifacts, quiet=as_json
    )
    click.echo(json.dumps(report) if as_json else f"{out} ({report['seconds']:.0f} s)")


def _sources(
    identity: Path,
    hair: Path | None,
    colour: Path | None,
    face: Path | None,
    texts: tuple[str, ...],
) -> list[Sources]:
    """The regions in the order in which they apply: hair, face, then --region as given."""
    found: list[Sources] = []
    if hair or colour:
        shape = hair or identity
        found.append((parse_regions("hair"), shape, colour or shape))
    if face:
        found.append((parse_regions("face"), face, face))
    for text in texts:
        name, equals, files = text.partition("=")
        if not (name and equals and files):
            raise InputError(f"--region {text!r}: write NAME=SHAPE or NAME=SHAPE:COLOUR")
        shape, look = _shape_and_colour(files)
        found.append((parse_regions(name), shape, look))
    if not found:
        raise InputError("nothing to change: give --hair, --colour, --face or --region")
    return found


def _shape_and_colour(files: str) -> tuple[Path, Path]:
    """`B.png` is both; `B.png:C.png` are two. A file that exists may have a colon in its name."""
    shape, colon, colour = files.rpartition(":")
    if Path(files).exists() or not (shape and colon and colour):
        return Path(files), Path(files)
    return Path(shape), Path(colour)


class _Pictures:
    """Portraits by content, each file read once."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: dict[Path, PortraitKey] = {}
        self.by_key: dict[PortraitKey, Pixels] = {}

    def read(self, path: Path) -> PortraitKey:
        if path not in self._keys:
            try:
                data = path.read_bytes()
            except OSError as error:
                raise InputError(f"the file {path} cannot be read: {error.strerror}") from error
            pixels = read_portrait(data, self._size, name=str(path))
            self._keys[path] = portrait_key(pixels)
            self.by_key[self._keys[path]] = pixels
        return self._keys[path]


def _check_writable(out: Path) -> None:
    """Raises InputError now rather than after minutes of work."""
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: results are PNG files, so give a name that ends in .png")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out {out}: give a file in a directory that exists")
    probe = out.with_name(f".{out.name}.part")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error.strerror}") from error


class DrawUnlessNamed(click.Group):
    """A group whose first verb is meant when no verb is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the first verb before arguments that start with none."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


@click.group(cls=DrawUnlessNamed)
def faces() -> None:
    """Draw people who do not exist, and train bundles on them; `barber faces OUT` draws."""


@faces.command("draw")
@click.argument("out", type=FILE)
@click.option("--count", type=click.IntRange(1, 10_000), default=8, show_default=True)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True)
@click.option(
    "--size", type=click.IntRange(16, 1024), default=128, show_default=True, help="In pixels."
)
@click.option("--json", "as_json", is_flag=True, help="Tell the files as JSON.")
def draw(out: Path, count: int, seed: int, size: int, as_json: bool) -> None:
    """Draw portraits of people who do not exist, with label maps, parameters and an index."""
    write_faces(out, count, seed, size)
    facts = {"directory": str(out), "index": str(out / "index.csv"), "count": count}
    click.echo(json.dumps(facts) if as_json else f"{count} portraits in {out}")


@faces.command("sheets")
@click.argument("folder", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Tell the files as JSON.")
def sheets(folder: Path, as_json: bool) -> None:
    """Draw contact sheets: people, kinds of hair, sweeps of parameters, true composites."""
    files = [str(path) for path in write_sheets(folder)]
    click.echo(json.dumps({"files": files}) if as_json else "\n".join(files))


@faces.command("train")
@click.argument("run", type=FILE)
@click.option(
    "--part",
    type=click.Choice(["generator", "sharp", "parser"]),
    help="Network to train: the generator, its sharpening, then the parser.",
)
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Of this slice.")
@click.option(
    "--painters",
    type=click.IntRange(0, 64),
    default=0,
    show_default=True,
    help="Processes that draw pictures ahead.",
)
@click.option("--export", "target", type=FILE, help="Write the bundle of the run here.")
@click.option("--json", "as_json", is_flag=True, help="Tell what was done as JSON.")
def train(
    run: Path,
    part: str | None,
    minutes: float,
    painters: int,
    target: Path | None,
    as_json: bool,
) -> None:
    """Train the shipped bundle's networks in RUN, slice by slice, and export what there is."""
    if part is None and target is None:
        raise click.UsageError("nothing to do: give --part, --export or both")
    from barber.faces.training import export, run_slice  # torch, only when it is needed

    if part is not None:
        run_slice(run, part, minutes, painters)
    if target is not None:
        export(run, target)
    if as_json:
        bundle_path = None if target is None else str(target)
        click.echo(json.dumps({"run": str(run), "part": part, "bundle": bundle_path}))
        return
    if part is not None:
        click.echo(f"{part} trained in {run}; the same command goes on")
    if target is not None:
        click.echo(f"bundle written to {target}")


@click.group()
def bundle() -> None:
    """Look at the networks that a job runs on."""


@bundle.command("show")
@click.argument("name", default=DEFAULT_BUNDLE)
@click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")
def bundle_show(name: str, as_json: bool) -> None:
    """Say what a bundle is: sizes, presets, origin, licence, scores."""
    path = find_bundle(name)
    manifest = read_manifest(path)
    facts: dict[str, Any] = {"path": str(path), "digest": manifest.digest, **manifest.to_json()}
    if as_json:
        click.echo(json.dumps(facts))
        return
    size = sum(record.bytes for record in manifest.files.values()) / 2**20
    click.echo(f"{manifest.name} ({manifest.digest[:12]}) in {path}, {size:.1f} MB")
    click.echo(f"portraits  {manifest.geometry.image_size}x{manifest.geometry.image_size} pixels")
    click.echo(f"presets    {', '.join(manifest.presets) or 'none of its own'}")
    click.echo(f"source     {manifest.source}")
    click.echo(f"licence    {manifest.licence}")
    for score, value in manifest.scores.items():
        click.echo(f"score      {score} {value:g}")
