"""`bundle add`, `list`, `show`, `verify`, `remove`: the networks that a job runs on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from barber import shelf
from barber.errors import CheckpointError
from barber.manifest import SHIPPED, Manifest, find_bundle, read_manifest
from barber.settings import Settings, bundles_dir

if TYPE_CHECKING:  # it loads torch
    from barber.models.adding import OnProgress

DEFAULT_BUNDLE = str(Settings.__dataclass_fields__["bundle"].default)
FILE = click.Path(path_type=Path)
MEGABYTE = 2**20
json_option = click.option("--json", "as_json", is_flag=True, help="Tell it as JSON.")


@click.group()
def bundle() -> None:
    """Look at the networks that a job runs on, and bring your own."""


@bundle.command("add")
@click.argument("name")
@click.option("--generator", type=FILE, required=True, help="StyleGAN2 of the PyTorch port.")
@click.option("--parser", type=FILE, required=True, help="Face parser, of 16 or 19 classes.")
@click.option("--pca", type=FILE, help="Statistics of w; computed when left out.")
@click.option("--vgg", type=FILE, help="VGG16 of torchvision. [default: the one in its cache]")
@click.option("--lpips", type=FILE, help="LPIPS heads. [default: those of the lpips package]")
@click.option("--landmarks", type=FILE, help="dlib's predictor of 68 landmarks, for photographs.")
@click.option("--licence", help="What the weights may be used for.")
@click.option("--source", help="Where the files come from.")
@click.option("--force", is_flag=True, help="Replace a bundle of that name.")
@click.option(
    "--pca-samples",
    type=click.IntRange(1000),
    default=1_000_000,
    show_default=True,
    help="Codes that missing statistics are computed from; fewer are less exact.",
)
@json_option
@click.pass_obj
def bundle_add(
    environ: Mapping[str, str],
    name: str,
    generator: Path,
    parser: Path,
    pca: Path | None,
    vgg: Path | None,
    lpips: Path | None,
    landmarks: Path | None,
    licence: str | None,
    source: str | None,
    force: bool,
    pca_samples: int,
    as_json: bool,
) -> None:
    """Make a bundle of the public weight files; it is checked whole before it is written."""
    shelf.check_name(name)
    path = bundles_dir(environ).absolute() / name
    if not force:
        shelf.check_absent(path)

    from barber.models import adding, official  # load torch

    brought = adding.Brought(
        generator=generator,
        parser=parser,
        vgg=vgg or official.cached_vgg_file(),
        lpips=lpips or official.lpips_package_file(),
        pca=pca,
        landmarks=landmarks,
    )
    request = adding.Request(
        path=path,
        brought=brought,
        licence=licence or adding.LICENCE,
        source=source or "",
        replace=force,
        pca_samples=pca_samples,
    )
    with _progress(quiet=as_json) as on_progress:
        added = adding.add_bundle(request, on_progress)
    if as_json:
        click.echo(json.dumps({**_facts(path, added.manifest), "notes": list(added.notes)}))
        return
    for note in added.notes:
        click.echo(f"note: {note}", err=True)
    _tell(path, added.manifest)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[OnProgress]:
    """A bar on standard error for as long as the block runs; none where no terminal shows it."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None)

        def on_progress(what: str, done: int, total: int) -> None:
            known = total if total > 1 else None
            progress.update(task, description=what, completed=done, total=known)

        yield on_progress


@bundle.command("list")
@json_option
@click.pass_obj
def bundle_list(environ: Mapping[str, str], as_json: bool) -> None:
    """List the bundles that can be asked for by name."""
    own = bundles_dir(environ)
    found = shelf.entries(own)
    if as_json:
        click.echo(json.dumps({"bundles_dir": str(own), "bundles": [_row(e) for e in found]}))
        return
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        what = entry.fault and f"damaged: {entry.fault}"
        if entry.manifest is not None:
            size = entry.manifest.geometry.image_size
            facts = f"{entry.manifest.digest[:12]}  {size:4} px  {entry.bytes / MEGABYTE:6.1f} MB"
            what = f"{facts}  {'shipped' if entry.shipped else 'own'}  {what}".rstrip()
        click.echo(f"{entry.name:{width}}  {what}")
    click.echo(f"your own lie in {own}")


def _row(entry: shelf.Entry) -> dict[str, Any]:
    manifest = entry.manifest
    return {
        "name": entry.name,
        "path": str(entry.path),
        "shipped": entry.shipped,
        "digest": manifest and manifest.digest,
        "image_size": manifest and manifest.geometry.image_size,
        "bytes": entry.bytes,
        "fault": entry.fault,
    }


@bundle.command("show")
@click.argument("name", default=DEFAULT_BUNDLE)
@json_option
@click.pass_obj
def bundle_show(environ: Mapping[str, str], name: str, as_json: bool) -> None:
    """Say what a bundle is: sizes, presets, origin, licence, scores."""
    path = find_bundle(name, bundles_dir(environ))
    manifest = read_manifest(path)
    if as_json:
        click.echo(json.dumps(_facts(path, manifest)))
    else:
        _tell(path, manifest)


def _facts(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {"path": str(path), "digest": manifest.digest, **manifest.to_json()}


def _tell(path: Path, manifest: Manifest) -> None:
    size = sum(record.bytes for record in manifest.all_files.values()) / MEGABYTE
    geometry = manifest.geometry
    click.echo(f"{manifest.name} ({manifest.digest[:12]}) in {path}, {size:.1f} MB")
    click.echo(f"portraits  {geometry.image_size}x{geometry.image_size} pixels")
    click.echo(f"structure  F {geometry.f_size}x{geometry.f_size}x{geometry.f_channels}")
    click.echo(f"labels     {manifest.segmenter.get('labels', 'regions')}")
    click.echo(f"presets    {', '.join(manifest.presets) or 'none of its own'}")
    click.echo(f"landmarks  {'in the bundle' if manifest.landmarks else 'none'}")
    click.echo(f"source     {manifest.source}")
    click.echo(f"licence    {manifest.licence}")
    for part, origin in manifest.origins.items():
        click.echo(f"{part:10} {origin.file} ({origin.sha256[:12]}), {origin.licence}")
    for score, value in manifest.scores.items():
        click.echo(f"score      {score} {value:g}")


@bundle.command("verify")
@click.argument("name", default=DEFAULT_BUNDLE)
@click.option("--device", default="cpu", show_default=True, help="Where the networks are tried.")
@json_option
@click.pass_obj
def bundle_verify(environ: Mapping[str, str], name: str, device: str, as_json: bool) -> int:
    """Check every file's digest, load every network strictly, and try each on noise."""
    path = find_bundle(name, bundles_dir(environ))

    from barber.models.verification import verify  # loads torch

    findings = []
    for finding in verify(path, device):
        findings.append(finding)
        if not as_json:
            mark = "ok  " if finding.sound else "BAD "
            click.echo(f"{mark} {finding.what:25} {finding.said} ({finding.seconds:.1f} s)")
    sound = all(finding.sound for finding in findings)
    if as_json:
        facts = {"path": str(path), "sound": sound, "findings": [asdict(f) for f in findings]}
        click.echo(json.dumps(facts))
    else:
        click.echo(f"{name} is {'sound' if sound else 'damaged: add it or copy it again'}")
    return 0 if sound else 1


@bundle.command("remove")
@click.argument("name")
@json_option
@click.pass_obj
def bundle_remove(environ: Mapping[str, str], name: str, as_json: bool) -> None:
    """Delete one of your own bundles."""
    own = bundles_dir(environ)
    if (SHIPPED / name).exists():
        raise CheckpointError(f"{name!r} ships with the software and stays")
    if not shelf.NAME.fullmatch(name) or not (own / name).is_dir():
        known = ", ".join(e.name for e in shelf.entries(own) if not e.shipped) or "none"
        raise CheckpointError(f"no bundle {name!r} of your own in {own}: there is {known}")
    shelf.remove(own / name)
    click.echo(json.dumps({"removed": name}) if as_json else f"{name} removed from {own}")
