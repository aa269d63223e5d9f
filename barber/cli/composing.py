"""`barber compose` and `barber replay` once their input is sound: the module that loads torch."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from barber.artifacts import Portrait
from barber.errors import InputError
from barber.models.bundle import ModelBundle
from barber.models.machine import environment
from barber.photographs.picture import Picture
from barber.pipeline import Composition
from barber.pipeline import compose as compose_spec
from barber.pixels import encode_png
from barber.plan import ArtifactKey, PlannedStage, plan
from barber.recipe import PortraitOrigin, Recipe, Sidecar
from barber.results import sidecar_path, write_result, write_whole
from barber.spec import JobSpec, PortraitKey
from barber.stages.descent import StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """A job that ran in this process."""

    png: bytes  # the result with its recipe
    recipe: dict[str, Any]  # as in the PNG
    composition: Composition
    seconds: float
    stages: Mapping[str, float]  # seconds by stage


def compose_here(
    bundle_path: Path,
    device: str,
    spec: JobSpec,
    pictures: Mapping[PortraitKey, Picture],
    *,
    out: Path,
    artifacts: Path | None,
    quiet: bool,
    threads: int = 1,
    files: Mapping[PortraitKey, str] | None = None,
) -> dict[str, Any]:
    """Runs a job in this process and writes its picture, with its recipe in it and beside it.

    Args:
        bundle_path: The bundle's folder.
        device: Where it runs.
        spec: What is composed.
        pictures: Every portrait of the spec.
        out: The PNG; it and its JSON appear whole or not at all.
        artifacts: Directory for what each stage made; nowhere when None.
        quiet: Without progress bars.
        threads: Of torch on the CPU; another number rounds sums in another way.
        files: Digests of the portraits' files, for the JSON.

    Returns:
        Plain JSON data on the outcome.

    Raises:
        InputError: There is no such device, or a file cannot be written.
        CheckpointError: The bundle is damaged.
        StageError: The composition cannot be finished.
    """
    made = make(bundle_path, device, spec, pictures, threads=threads, quiet=quiet)
    origins = tuple(_origin(picture, files or {}) for picture in pictures.values())
    facts = {"seconds": round(made.seconds, 2)}
    write_result(out, made.png, Sidecar(recipe=made.recipe, origins=origins, made=facts))
    if artifacts is not None:
        _keep(artifacts, spec, made.composition)
    return {
        "out": str(out),
        "recipe": str(sidecar_path(out)),
        "seconds": round(made.seconds, 2),
        "losses": dict(made.composition.blend.losses),
        "dropped": list(made.composition.blend.dropped),
        "stages": dict(made.stages),
    }


def make(
    bundle_path: Path,
    device: str,
    spec: JobSpec,
    pictures: Mapping[PortraitKey, Picture],
    *,
    threads: int,
    quiet: bool,
) -> Making:
    """Runs a job in this process; the arguments and errors are those of `compose_here`."""
    torch.set_num_threads(threads)
    bundle = load_bundle(bundle_path, device)
    portraits = {
        key: Portrait(sha256=key, pixels=picture.pixels(), label_map=picture.label_map())
        for key, picture in pictures.items()
    }
    began = time.monotonic()
    with _Bars(plan(spec), quiet=quiet) as bars:
        composition = compose_spec(bundle, spec, portraits, on_step=bars.on_step)
    seconds = time.monotonic() - began
    here = environment(bundle.device)
    recipe = Recipe.assemble(
        spec,
        bundle=bundle.name,
        bundle_files={name: record.sha256 for name, record in bundle.manifest.files.items()},
        label_maps={
            key: hashlib.sha256(picture.labels_png).hexdigest()
            for key, picture in pictures.items()
            if picture.labels_png is not None
        },
        outcomes={key: (found.losses, here) for key, found in composition.artifacts.items()},
    ).to_json()
    return Making(
        png=encode_png(composition.blend.image, recipe=recipe),
        recipe=recipe,
        composition=composition,
        seconds=seconds,
        stages=bars.seconds,
    )


def _origin(picture: Picture, files: Mapping[PortraitKey, str]) -> PortraitOrigin:
    return PortraitOrigin(
        key=picture.key,
        name=picture.name,
        sha256=files.get(picture.key),
        crop=None if picture.crop is None else picture.crop.to_json(),
    )


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
        write_whole({folder / f"{stem}.safetensors": artifact.to_bytes()})
        for name, pixels in artifact.pictures().items():
            write_whole({folder / f"{stem}-{name}.png": encode_png(pixels)})


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
        self._open = deque(stages)
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}  # by stage

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish_until(None)
        self._progress.stop()

    def on_step(self, stage: PlannedStage, report: StepReport) -> None:
        self._finish_until(stage)
        bar = self._bars[stage.key]
        self._progress.start_task(bar)
        note = f"{report.phase} {report.step}/{report.steps}"
        self._progress.update(bar, completed=report.done, note=note)

    def _finish_until(self, current: PlannedStage | None) -> None:
        """Completes the bars before the stage at hand; some stages have no steps to tell of."""
        while self._open and (current is None or self._open[0].key != current.key):
            stage = self._open.popleft()
            now = time.monotonic()
            self.seconds[_title(stage)] = round(now - self._began, 2)
            self._began = now
            self._progress.start_task(self._bars[stage.key])
            self._progress.update(self._bars[stage.key], completed=1.0)
            self._progress.stop_task(self._bars[stage.key])
            if not self._console.is_terminal:
                self._console.print(f"{_title(stage)}: {self.seconds[_title(stage)]:.1f} s")


def _title(stage: PlannedStage) -> str:
    return f"{stage.kind} {stage.slot}"
