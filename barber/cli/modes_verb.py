"""`modes`: every way of composing side by side, on people who are drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from barber.cli.studio_verbs import DEFAULT_BUNDLE
from barber.errors import InputError
from barber.manifest import find_bundle, read_manifest
from barber.settings import bundles_dir
from barber.spec import default_preset, preset_params
from barber.standalone.modes import MODES, Mode


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("modes-out"),
    show_default=True,
    help="Results and contact sheet.",
)
@click.option("--only", "chosen", multiple=True, metavar="MODE", help="Only this; repeatable.")
@click.option("--preset", help="Steps and weights: official, paper, or one of the bundle's.")
@click.option("--bundle", default=DEFAULT_BUNDLE, show_default=True, help="Name or path.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda:0, ..")
@click.option("--json", "as_json", is_flag=True, help="Tell the outcome as JSON.")
@click.pass_obj
def modes(
    environ: Mapping[str, str],
    out: Path,
    chosen: tuple[str, ...],
    preset: str | None,
    bundle: str,
    device: str,
    as_json: bool,
) -> None:
    """Run every mode on drawn people and set the results beside the truth; some minutes."""
    path = find_bundle(bundle, bundles_dir(environ))
    manifest = read_manifest(path)
    params = preset_params(preset or default_preset(manifest.presets), manifest.presets)
    wanted = _wanted(chosen)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder")

    from barber.cli.composing import load_bundle  # loads torch
    from barber.standalone.mode_sheet import Shown, run_modes, write_modes

    def told(shown: Shown) -> None:
        click.echo(f"{shown.mode.title}: {shown.seconds:.0f} s", err=True)

    networks = load_bundle(path, device)
    facts = write_modes(
        out,
        f"Every mode on {manifest.name}",
        run_modes(networks, params, wanted, told=told),
    )
    click.echo(json.dumps(facts) if as_json else facts["sheet"])


def _wanted(chosen: tuple[str, ...]) -> list[Mode]:
    by_title = {mode.title: mode for mode in MODES}
    unknown = [title for title in chosen if title not in by_title]
    if unknown:
        known = ", ".join(repr(title) for title in by_title)
        raise InputError(f"unknown mode {unknown[0]!r}: use one of {known}")
    return [by_title[title] for title in chosen] or list(MODES)
