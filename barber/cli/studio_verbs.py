"""`compose` and `faces`: what needs no queue and no database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from barber.cli.method_options import noise_option, settings_option
from barber.cli.photograph_verbs import photograph_options
from barber.cli.pictures import Pictures
from barber.cli.preflight_options import finding_line, preflight_options, worth_telling
from barber.errors import InputError, StageError
from barber.faces.curves import draw_curves
from barber.faces.gallery import write_faces
from barber.faces.sheets import write_sheets
from barber.interrupts import loading
from barber.labels import Area, parse_region
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.portraits import AlignPolicy, PortraitReader
from barber.preflight.findings import Check
from barber.results import check_sidecar
from barber.settings import Settings, bundles_dir
from barber.spec import (
    JobSpec,
    NoiseMode,
    RegionEdit,
    apply_settings,
    default_preset,
    preset_params,
)
from barber.standalone.home import home_dir
from barber.standalone.preflight import bundle_preflight
from barber.table import KEEP, MAX_SEED
from barber.table_checks import accept_job, noteworthy

DEFAULT_BUNDLE = str(Settings.__dataclass_fields__["bundle"].default)
FILE = click.Path(path_type=Path)
Sources = tuple[Area, Path, Path]  # what is covered, shape, colour


@click.command()
@click.option("--identity", type=FILE, required=True, help="Portrait to change.")
@click.option("--hair", type=FILE, help="Portrait that gives the hair.")
@click.option(
    "--colour", type=FILE, help="Portrait that gives the hair's colour, if not --hair; or keep."
)
@click.option("--face", type=FILE, help="Portrait that gives the face.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="NAME=SHAPE[:COLOUR]",
    help="A region from a portrait, for example beard=B.png, lips=B.png:C.png for the shape from B "
    "and the colour from C, or hair=B.png:keep for the shape alone; repeatable.",
)
@click.option(
    "--labels",
    multiple=True,
    metavar="PORTRAIT=MAP",
    help="A portrait's own label map, a PNG of indices 0 to 15; the parser is not asked for it.",
)
@photograph_options
@click.option("--reconstruct", is_flag=True, help="Change nothing: the identity, reconstructed.")
@click.option("--out", type=FILE, required=True, help="Where the PNG goes.")
@click.option(
    "--into-original",
    type=FILE,
    help="Also write the identity's photograph as a PNG, with what changed put back into it.",
)
@click.option("--preset", help="Steps and weights: official, paper, or one of the bundle's.")
@settings_option
@noise_option
@preflight_options
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Seed of the noise.")
@click.option("--bundle", default=DEFAULT_BUNDLE, show_default=True, help="Name or path.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, ..")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="On the CPU; another number gives slightly other pixels.",
)
@click.option("--keep-artifacts", type=FILE, help="Directory for what each stage made.")
@click.option("--json", "as_json", is_flag=True, help="Tell the outcome as JSON.")
@click.pass_obj
def compose(
    environ: Mapping[str, str],
    identity: Path,
    hair: Path | None,
    colour: Path | None,
    face: Path | None,
    regions: tuple[str, ...],
    labels: tuple[str, ...],
    align: AlignPolicy,
    landmarks: Path | None,
    reconstruct: bool,
    out: Path,
    into_original: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    noise: NoiseMode,
    allow: frozenset[Check],
    parse: bool,
    seed: int,
    bundle: str,
    device: str,
    threads: int,
    keep_artifacts: Path | None,
    as_json: bool,
) -> None:
    """Compose one picture here and now.

    Hair comes first, then the face, then each --region as given, in whatever order the options
    stand; where regions overlap, the later one wins.
    """
    path = find_bundle(bundle, bundles_dir(environ))
    manifest = read_manifest(path)
    sources = _sources(identity, hair, colour, face, regions)
    if bool(sources) == reconstruct:
        raise InputError(
            "--reconstruct changes nothing: leave it out, or the regions"
            if reconstruct
            else "nothing to change: give --hair, --colour, --face or --region, or --reconstruct"
        )
    preset = preset or default_preset(manifest.presets)
    params = apply_settings(preset_params(preset, manifest.presets), settings)
    reader = PortraitReader(
        manifest.geometry.image_size,
        manifest.geometry.label_size,
        policy=align,
        landmarks=landmarks or landmarks_file(path, manifest),
    )
    pictures = Pictures(reader, labels)
    spec = JobSpec(
        identity=pictures.read(identity),
        regions=tuple(
            RegionEdit(
                labels=area.labels,
                zone=area.zone,
                structure=pictures.read(shape),
                appearance=pictures.read(look),
            )
            for area, shape, look in sources
        ),
        bundle=manifest.digest,
        params=params,
        noise=noise,
        seed=seed,
    )
    pictures.refuse_unused_maps()
    _check_writable(out)
    if into_original is not None:
        _check_original(into_original, out, identity)
        if pictures.by_key[spec.identity].crop is None:
            raise InputError(
                f"--into-original: the identity {identity} was taken as a portrait, so --out is "
                "the whole picture: give a photograph, or --align always"
            )
    if keep_artifacts is not None:
        keep_artifacts.mkdir(parents=True, exist_ok=True)

    preflight = bundle_preflight(path, manifest, home=home_dir(environ), allow=allow, parse=parse)
    findings = noteworthy(accept_job(spec, pictures.by_key.values(), preflight))
    for finding in () if as_json else worth_telling(findings):
        click.echo(finding_line(finding), err=True)

    with loading():
        from barber.cli import composing  # loads torch

    try:
        report = composing.compose_here(
            path,
            device,
            spec,
            pictures.by_key,
            out=out,
            artifacts=keep_artifacts,
            quiet=as_json,
            threads=threads,
            files=pictures.digests,
            original=into_original,
        )
    except StageError as error:
        raise error.naming(pictures.names) from error
    report["preset"] = preset
    report["findings"] = [finding.to_json() for finding in findings]
    told = f"{out} (preset {preset}, {report['seconds']:.0f} s)"
    click.echo(json.dumps(report) if as_json else told)
    if report["dropped"] and not as_json:
        names = ", ".join(report["dropped"])
        click.echo(f"dropped {names} (colour not compared: too small a region)", err=True)


def _sources(
    identity: Path,
    hair: Path | None,
    colour: Path | None,
    face: Path | None,
    texts: tuple[str, ...],
) -> list[Sources]:
    """The regions in the order in which they apply: hair, face, then --region as given.

    The word `keep` in place of a file stands for the identity's own.
    """

    def own(path: Path) -> Path:
        return identity if str(path).lower() == KEEP else path

    found: list[Sources] = []
    if hair or colour:
        shape = hair or identity
        found.append((parse_region("hair"), own(shape), own(colour or shape)))
    if face:
        found.append((parse_region("face"), own(face), own(face)))
    for text in texts:
        name, equals, files = text.partition("=")
        if not (name and equals and files):
            raise InputError(f"--region {text!r}: write NAME=SHAPE or NAME=SHAPE:COLOUR")
        shape, look = _shape_and_colour(files)
        found.append((parse_region(name), own(shape), own(look)))
    return found


def _shape_and_colour(files: str) -> tuple[Path, Path]:
    """`B.png` is both; `B.png:C.png` are two. A file that exists may have a colon in its name."""
    shape, colon, colour = files.rpartition(":")
    if Path(files).exists() or not (shape and colon and colour):
        return Path(files), Path(files)
    return Path(shape), Path(colour)


def _check_original(original: Path, out: Path, identity: Path) -> None:
    """Raises InputError when the photograph cannot be written there."""
    if original.resolve() in (out.resolve(), identity.resolve()):
        raise InputError(f"--into-original {original} would overwrite another file: name a new one")
    _check_writable(original)


def _check_writable(out: Path) -> None:
    """Raises InputError now rather than after minutes of work."""
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: results are PNG files, so give a name that ends in .png")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out {out}: give a file in a directory that exists")
    check_sidecar(out)
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


@faces.command("curves")
@click.argument("run", type=FILE)
@click.argument("out", type=FILE)
def curves(run: Path, out: Path) -> None:
    """Draw how the training in RUN went, as OUT.svg."""
    out.write_text(draw_curves(run), encoding="utf-8")
    click.echo(f"{out}")


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
@click.option(
    "--pictures",
    type=FILE,
    help="Folder of your own portraits, each NAME.png with NAME.labels.png beside it; a new run "
    "learns from them instead of from drawn people, and remembers it.",
)
@click.option("--export", "target", type=FILE, help="Write the bundle of the run here.")
@click.option("--replace", is_flag=True, help="Let --export take the place of a bundle.")
@click.option("--licence", help="Of a bundle made from your own pictures, in words; for --export.")
@click.option("--json", "as_json", is_flag=True, help="Tell what was done as JSON.")
def train(
    run: Path,
    part: str | None,
    minutes: float,
    painters: int,
    pictures: Path | None,
    target: Path | None,
    replace: bool,
    licence: str | None,
    as_json: bool,
) -> None:
    """Train a bundle's networks in RUN, slice by slice, and export what there is."""
    if part is None and target is None:
        raise click.UsageError("nothing to do: give --part, --export or both")
    from barber.faces.training import check_target, export, run_slice  # torch, only when needed

    if target is not None:
        check_target(target, replace=replace)  # before anything is trained
    if part is not None:
        run_slice(run, part, minutes, painters=painters, pictures=pictures)
    if target is not None:
        export(run, target, licence=licence, replace=replace)
    if as_json:
        bundle_path = None if target is None else str(target)
        click.echo(json.dumps({"run": str(run), "part": part, "bundle": bundle_path}))
        return
    if part is not None:
        click.echo(f"{part} trained in {run}; the same command goes on")
    if target is not None:
        click.echo(f"bundle written to {target}")
