"""`barber evaluate` from its options to the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from barber.catalogue.store import Store
from barber.errors import InputError
from barber.evaluation.batch import (
    Finished,
    Installation,
    installation,
    planned,
    run_batch,
    running_system,
)
from barber.evaluation.cases import Counts, Material, draw_material
from barber.evaluation.features import Distances, check_features, check_inception
from barber.evaluation.measure import Studio, measure
from barber.evaluation.methods import Chosen, choose
from barber.evaluation.outcome import Facts, Report
from barber.evaluation.own_pairs import read_pairs
from barber.evaluation.report import FIGURES, write_report
from barber.evaluation.sheets import draw_sheets
from barber.manifest import Manifest, find_bundle, landmarks_file, read_manifest
from barber.models.parsing import PortraitParser
from barber.photographs.portraits import PortraitReader
from barber.provenance import software
from barber.results import write_whole
from barber.settings import Settings, bundles_dir
from barber.spec import NoiseMode, apply_settings, default_preset, preset_params
from barber.standalone.supervisor import UpOptions, check_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What was asked for."""

    out: Path
    counts: Counts
    pairs_file: Path | None
    methods: tuple[str, ...]  # all when empty
    preset: str | None  # the bundle's own when None
    settings: tuple[str, ...]  # over the preset, as `--set` takes them
    noise: NoiseMode
    seed: int
    inception: Path | None
    up: UpOptions  # where, and how to start a system when none runs there


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """Everything that was checked before any work."""

    path: Path  # the bundle's folder
    manifest: Manifest
    material: Material
    chosen: Chosen
    facts: Facts


def evaluate(
    options: EvaluationOptions, environ: Mapping[str, str], console: Console
) -> dict[str, Any]:
    """Composes, measures and reports; plain JSON data on where the report is.

    Args:
        options: What was asked for.
        environ: The process environment.
        console: Told of everything on the way.

    Raises:
        InputError: An option, a pair or a picture cannot be used; nothing was started.
        CheckpointError: So it is with the bundle or the network of FID.
        SettingsError: The system cannot start.
        KeyboardInterrupt: Somebody stopped it; the same command goes on from there.
    """
    prepared = _prepare(options, environ)
    jobs = planned(
        prepared.material,
        prepared.chosen,
        bundle=prepared.manifest.digest,
        noise=options.noise,
        seed=options.seed,
    )
    with installation(options.up, environ, console) as system:
        finished = run_batch(system, prepared.material, jobs, console)
        studio = _studio(options, prepared, system, finished)
        return _report(options, prepared, studio, console)


def _prepare(options: EvaluationOptions, environ: Mapping[str, str]) -> _Prepared:
    """Checks everything that can be checked before a process starts or a stage runs."""
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"--out {options.out} is a file: give a folder")
    path = find_bundle(_bundle(options, environ), bundles_dir(environ))
    manifest = read_manifest(path)
    check_features(path, manifest)
    check_bundle(str(path))
    if options.inception is not None:
        check_inception(options.inception)
    preset = options.preset or default_preset(manifest.presets)
    params = apply_settings(preset_params(preset, manifest.presets), options.settings)
    chosen = choose(options.methods, params)
    return _Prepared(
        path=path,
        manifest=manifest,
        material=_material(options, path, manifest),
        chosen=chosen,
        facts=Facts(
            bundle=manifest.name,
            digest=manifest.digest,
            preset=preset,
            settings=options.settings,
            seed=options.seed,
            noise=str(options.noise),
            software=software(),
        ),
    )


def _bundle(options: EvaluationOptions, environ: Mapping[str, str]) -> str:
    """The bundle asked for, else that of the system that runs, else the usual one."""
    running, _ = running_system(options.up.home, environ)
    given = options.up.bundle or (running.bundle if running else environ.get("BARBER_BUNDLE"))
    return given or str(Settings.__dataclass_fields__["bundle"].default)


def _material(options: EvaluationOptions, path: Path, manifest: Manifest) -> Material:
    geometry = manifest.geometry
    if options.pairs_file is None:
        return draw_material(options.seed, options.counts, geometry.image_size)
    reader = PortraitReader(
        geometry.image_size, geometry.label_size, landmarks=landmarks_file(path, manifest)
    )
    return read_pairs(options.pairs_file, reader)


def _studio(
    options: EvaluationOptions, prepared: _Prepared, system: Installation, finished: Finished
) -> Studio:
    return Studio(
        material=prepared.material,
        chosen=prepared.chosen,
        finished=finished,
        size=prepared.manifest.geometry.image_size,
        load=Store(system.settings.store_dir).get,
        parser=PortraitParser(prepared.path),
        distances=Distances(prepared.path, prepared.manifest, options.inception),
    )


def _report(
    options: EvaluationOptions, prepared: _Prepared, studio: Studio, console: Console
) -> dict[str, Any]:
    def told(done: int, total: int) -> None:
        if done == total or done % 20 == 0:
            console.print(f"measured {done} of {total} cases", highlight=False)

    measured = measure(studio, told)
    stamp = prepared.facts.stamp(f"n = {len(studio.material.cases)}")
    sheets = draw_sheets(studio, measured.rows, stamp)
    (options.out / FIGURES).mkdir(parents=True, exist_ok=True)
    if sheets:
        write_whole(
            {options.out / FIGURES / f"{name}.jpg": jpeg for name, (jpeg, _) in sheets.items()}
        )
    report = Report(
        facts=prepared.facts,
        material=studio.material,
        chosen=studio.chosen,
        finished=studio.finished,
        measured=measured,
        titles=studio.distances.titles,
        sheets={name: count for name, (_, count) in sheets.items()},
    )
    page, text = write_report(options.out, report)
    return {
        "report": str(page),
        "markdown": str(text),
        "batch": studio.finished.batch_id,
        "jobs": len(studio.finished.results) + len(studio.finished.failures),
        "failed": len(studio.finished.failures),
    }
