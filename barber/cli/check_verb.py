"""`check`: a table through pre-flight, without queueing anything and without a running system."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from barber.cli.catalogue import home_option, json_option
from barber.cli.method_options import settings_option
from barber.cli.photograph_verbs import photograph_options
from barber.cli.preflight_options import (
    measuring,
    number_line,
    preflight_options,
    warning_lines,
)
from barber.errors import SettingsError
from barber.manifest import find_bundle, landmarks_file, read_manifest
from barber.photographs.portraits import AlignPolicy
from barber.preflight.findings import Check, Finding, Verdict
from barber.settings import Settings, bundles_dir
from barber.standalone.home import Home, home_dir
from barber.standalone.preflight import bundle_preflight
from barber.table import Table, TableSettings, read_table
from barber.table_checks import check_table, noteworthy, warnings_in

DEFAULT_BUNDLE = str(Settings.__dataclass_fields__["bundle"].default)


@click.command()
@click.argument("table", type=click.Path(path_type=Path))
@click.option("--bundle", help="Name or path. [default: that of the running system, else yours]")
@click.option("--preset", help="Steps and weights of rows that name none.")
@settings_option
@photograph_options
@preflight_options
@click.option("--all", "every", is_flag=True, help="Show what passed as well, with its numbers.")
@home_option
@json_option
@click.pass_obj
def check(
    environ: Mapping[str, str],
    table: Path,
    bundle: str | None,
    preset: str | None,
    settings: tuple[str, ...],
    align: AlignPolicy,
    landmarks: Path | None,
    allow: frozenset[Check],
    parse: bool,
    every: bool,
    home: Path | None,
    as_json: bool,
) -> int:
    """Check the portraits and rows of a table and queue nothing; the code is 1 if any is refused.

    Needs no running system: `barber submit` checks the same before it queues.
    """
    place = home_dir(environ, home)
    path = find_bundle(bundle or _bundle_of(place, environ), bundles_dir(environ))
    manifest = read_manifest(path)
    defaults = TableSettings.for_bundle(
        manifest,
        preset=preset,
        settings=settings,
        align=align,
        landmarks=landmarks or landmarks_file(path, manifest),
    )
    found = read_table(table, defaults)
    with measuring(quiet=as_json) as on_progress:
        preflight = bundle_preflight(
            path, manifest, home=place, allow=allow, parse=parse, on_progress=on_progress
        )
        checked = check_table(found, preflight)
    if as_json:
        click.echo(json.dumps(_facts(checked, every=every)))
    else:
        _tell(checked, every=every)
    return 1 if checked.errors else 0


def _bundle_of(place: Path, environ: Mapping[str, str]) -> str:
    """The bundle of the system that runs there; without one, that of the environment."""
    try:
        return Home(place).find_running().bundle
    except SettingsError:
        return environ.get("BARBER_BUNDLE") or DEFAULT_BUNDLE


def _facts(table: Table, *, every: bool) -> dict[str, Any]:
    return {
        "accepted": len(table.rows),
        "refused": [error.to_json() for error in table.errors],
        "rows": [
            {"line": row.line, "name": row.name, "findings": _shown(row.findings, every)}
            for row in table.rows
        ],
        "warnings": dict(warnings_in(table.rows)),
    }


def _shown(findings: tuple[Finding, ...], every: bool) -> list[dict[str, Any]]:
    return [finding.to_json() for finding in (findings if every else noteworthy(findings))]


def _tell(table: Table, *, every: bool) -> None:
    for error in table.errors:
        click.echo(f"refused {error}")
    if every:
        for row in table.rows:
            click.echo(f"line {row.line} ({row.name})")
            for finding in row.findings:
                click.echo(f"  {number_line(finding)}")
    for line in warning_lines(table.rows):
        click.echo(line)
    sound = sum(all(f.verdict is Verdict.PASS for f in row.findings) for row in table.rows)
    total = len(table.rows) + len(table.errors)
    click.echo(
        f"{total:,} rows: {sound:,} sound, {len(table.rows) - sound:,} with remarks, "
        f"{len(table.errors):,} refused"
    )
