"""`barber compose` once its input is sound: the one module of the command that loads torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from barber.artifacts import Portrait
from barber.errors import InputError
from barber.models.bundle import ModelBundle
from barber.pipeline import Composition
from barber.pipeline import compose as compose_spec
from barber.pixels import Pixels, encode_png
from barber.plan import ArtifactKey, PlannedStage, plan
from barber.spec import JobSpec, PortraitKey
from barber.stages.descent import StepReport


def compose_here(
    bundle_path: Path,
    device: str,
    spec: JobSpec,
    pictures: Mapping[PortraitKey, Pixels],
    *,
    out: Path,
    artifacts: Path | None,
    quiet: bool,
) -> dict[str, Any]:
    """Runs a job in this process and writes its picture.

    Args:
        bundle_path: The bundle's folder.
        device: Where it runs.
        spec: What is composed.
        pictures: Every portrait of the spec.
        out: The PNG; it appears whole or not at all, and carries its recipe.
        artifacts: Directory for what each stage made; nowhere when None.
        quiet: Without progress bars.

    Returns:
        Plain JSON data on the outcome.

    Raises:
        InputError: There is no such device.
        CheckpointError: The bundle is damaged.
        StageError: The composition cannot be finished.
    """
    bundle = load_bundle(bundle_path, device)
    portraits = {key: Portrait(sha256=key, pixels=pixels) for key, pixels in pictures.items()}
    began = time.monotonic()
    with _Bars(plan(spec), quiet=quiet) as bars:
        composition = compose_spec(bundle, spec, portraits, on_step=bars.on_step)
    seconds = time.monotonic() - began
    recipe = {"spec": spec.to_json(), "bundle": {"name": bundle.name, "digest": bundle.digest}}
    _write_whole(out, encode_png(composition.blend.image, recipe=recipe))
    if artifacts is not None:
        _keep(artifacts, spec, composition)
    return {
        "out": str(out),
        "seconds": round(seconds, 2),
        "losses": dict(composition.blend.losses),
        "dropped": list(composition.blend.dropped),
        "stages": bars.seconds,
    }


def load_bundle(path: Path, device: str) -> ModelBundle:
    """The networks on a device that is there. Raises InputError or CheckpointError."""
    return ModelBundle.load(path, _device(device))


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda are known")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used ({reason}): try cpu") from error
    return device


def _keep(folder: Path, spec: JobSpec, composition: Composition) -> None:
    """Writes each stage's artifact and its pictures, numbered in the order of the plan."""
    for number, stage in enumerate(plan(spec)):
        artifact = composition.artifacts[stage.key]
        stem = f"{number:02d}-{stage.kind}-{stage.slot}"
        _write_whole(folder / f"{stem}.safetensors", artifact.to_bytes())
        for name, pixels in artifact.pictures().items():
            _write_whole(folder / f"{stem}-{name}.png", encode_png(pixels))


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


class _Bars:
    """One progress bar per stage on standard error; lines instead where nobody watches."""

    def __init__(self, stages: tuple[PlannedStage, ...], *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._progress = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._bars: dict[ArtifactKey, TaskID] = {
            stage.key: self._progress.add_task(_title(stage), total=1.0, start=False, note="")
            for stage in stages
        }
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}  # by stage

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_step(self, stage: PlannedStage, report: StepReport) -> None:
        bar = self._bars[stage.key]
        self._progress.start_task(bar)
        note = f"{report.phase} {report.step}/{report.steps}"
        self._progress.update(bar, completed=report.done, note=note)
        if report.done >= 1:
            self._finish(stage)

    def _finish(self, stage: PlannedStage) -> None:
        now = time.monotonic()
        self.seconds[_title(stage)] = round(now - self._began, 2)
        self._began = now
        if not self._console.is_terminal:
            self._console.print(f"{_title(stage)}: {self.seconds[_title(stage)]:.1f} s")


def _title(stage: PlannedStage) -> str:
    return f"{stage.kind} {stage.slot}"
