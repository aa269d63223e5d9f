"""Trains the bundle that ships, in slices: `barber faces train RUN --minutes M`.

A run folder holds one checkpoint and one curve per network. A slice goes on from the checkpoint,
stops when its minutes are over or its plan is done, and leaves a checkpoint again; batches and
learning rates follow from the step alone, so slices of any length give the same weights.
"""

from __future__ import annotations

import csv
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from barber.errors import CheckpointError, InputError
from barber.faces.ahead import BatchSource
from barber.faces.export import TrainedNetworks, export_bundle
from barber.faces.generator_training import GeneratorPlan, GeneratorTrainer, validation_psnr
from barber.faces.parser_training import WIDTHS, ParserPlan, ParserTrainer, region_ious
from barber.faces.recipe import (
    GENERATOR_PLAN,
    GEOMETRY,
    PARSER_PLAN,
    PRESETS,
    SHARPENING_PLAN,
)
from barber.faces.sharpening import SharpeningPlan, SharpeningTrainer
from barber.faces.trainer import Trainer
from barber.geometry import Geometry
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator

PARTS = ("generator", "sharp", "parser")
_SAVE_EVERY_S = 60.0
_REPORT_EVERY = 500  # steps


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Writes the trainer's state so that a crash leaves the old file or the new one."""
    fresh = path.with_suffix(".new")
    torch.save(trainer.state(), fresh)
    fresh.replace(path)


def resume(path: Path, trainer: Trainer) -> None:
    """Loads the checkpoint if there is one.

    Raises:
        CheckpointError: It is damaged, or of another training.
    """
    if path.exists():
        trainer.load_state(_read(path))


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is damaged: remove it to train from the beginning"
        ) from error
    return state


class Curve:
    """A CSV file that grows by one line per report."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, row: dict[str, Any]) -> None:
        """Appends one line, with a header if the file is new."""
        new = not self._path.exists()
        with self._path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


def train_generator(
    folder: Path, minutes: float, plan: GeneratorPlan, geometry: Geometry, painters: int = 0
) -> None:
    """One slice of the generator's supervised training; see the module's docstring."""
    with BatchSource(painters) as source:
        trainer = GeneratorTrainer(geometry, plan, source)

        def measure() -> dict[str, Any]:
            side = plan.side_at(trainer.steps_done - 1)
            return _generator_scores(trainer.average, side, trainer.steps_done * plan.batch)

        _slice(trainer, folder / "generator", minutes, plan.steps, measure)


def sharpen_generator(
    folder: Path, minutes: float, plan: SharpeningPlan, geometry: Geometry, painters: int = 0
) -> None:
    """One slice of the sharpening, which starts from the run's supervised generator.

    Raises:
        InputError: The run has no generator yet.
    """
    start, _ = load_generator(folder, geometry, sharp=False)
    with BatchSource(painters) as source:
        trainer = SharpeningTrainer(start, plan, source)

        def measure() -> dict[str, Any]:
            return _generator_scores(trainer.average, plan.side, trainer.steps_done * plan.batch)

        _slice(trainer, folder / "sharp", minutes, plan.steps, measure)


def _generator_scores(generator: Generator, side: int, images: int) -> dict[str, Any]:
    return {
        "images": images,
        "side": side,
        "psnr_db": round(validation_psnr(generator, side, 64), 3),
        "mixed_psnr_db": round(validation_psnr(generator, side, 64, mixed=True), 3),
    }


def train_parser(
    folder: Path,
    minutes: float,
    plan: ParserPlan,
    geometry: Geometry,
    widths: SegmenterWidths,
    painters: int = 0,
) -> None:
    """One slice of the parser's training, with the generator's drawings if there is one."""
    generator = load_generator(folder, geometry)[0] if (folder / "generator.pt").exists() else None
    with BatchSource(painters) as source:
        trainer = ParserTrainer(widths, plan, generator, source)

        def measure() -> dict[str, Any]:
            ious = region_ious(trainer.network, plan.side, 64)
            return {"images": trainer.steps_done * plan.batch} | ious

        _slice(trainer, folder / "parser", minutes, plan.steps, measure)


def _slice(
    trainer: Trainer, stem: Path, minutes: float, steps: int, measure: Callable[[], dict[str, Any]]
) -> None:
    """Trains until the plan's steps or the minutes are over; reports and saves on the way."""
    path, curve = stem.with_suffix(".pt"), Curve(stem.with_suffix(".csv"))
    resume(path, trainer)
    end, saved, losses = time.monotonic() + 60.0 * minutes, time.monotonic(), []
    while trainer.steps_done < steps and time.monotonic() < end:
        losses.append(trainer.step())
        if trainer.steps_done % _REPORT_EVERY == 0 or trainer.steps_done == steps:
            loss = round(sum(losses) / len(losses), 5)
            curve.add(measure() | {"loss": loss, "time": round(time.time())})
            losses = []
        if time.monotonic() - saved > _SAVE_EVERY_S:
            save_checkpoint(path, trainer)
            saved = time.monotonic()
    save_checkpoint(path, trainer)


def load_generator(
    folder: Path, geometry: Geometry, *, sharp: bool = True
) -> tuple[Generator, dict[str, int]]:
    """The averaged generator of a run, frozen, and the steps behind it by training.

    Args:
        folder: The run.
        geometry: Of the generator.
        sharp: Whether to take the sharpened one, if there is one.

    Raises:
        InputError: The run has no generator yet.
    """
    state = _state_of(folder, "generator")
    steps = {"supervised": int(state["steps_done"])}
    if sharp and (folder / "sharp.pt").exists():
        state = _state_of(folder, "sharp")
        steps["sharpening"] = int(state["steps_done"])
    generator = Generator(geometry)
    try:
        generator.load_state_dict(state["average"])
    except RuntimeError as error:
        raise InputError(
            f"the generator in {folder} has other sizes than the recipe: name another run"
        ) from error
    return generator.requires_grad_(False).eval(), steps


def load_parser(folder: Path, widths: SegmenterWidths) -> tuple[Segmenter, int]:
    """The parser of a run, frozen, and the steps behind it.

    Raises:
        InputError: The run has no parser yet.
    """
    parser = Segmenter(widths)
    state = _state_of(folder, "parser")
    parser.load_state_dict(state["network"])
    return parser.requires_grad_(False).eval(), int(state["steps_done"])


def _state_of(folder: Path, part: str) -> dict[str, Any]:
    path = folder / f"{part}.pt"
    try:
        return _read(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: train the {part} in this run first") from error


def export(folder: Path, target: Path) -> None:
    """Writes the bundle of a run's networks as they are now."""
    generator, generator_steps = load_generator(folder, GEOMETRY)
    parser, parser_steps = load_parser(folder, WIDTHS)
    networks = TrainedNetworks(
        geometry=GEOMETRY,
        generator=generator,
        generator_plan=GENERATOR_PLAN,
        sharpening_plan=SHARPENING_PLAN,
        generator_steps=generator_steps,
        parser=parser,
        parser_plan=PARSER_PLAN,
        parser_steps=parser_steps,
    )
    export_bundle(target, networks, PRESETS)


def run_slice(folder: Path, part: str, minutes: float, painters: int = 0) -> None:
    """Trains one network of the shipped recipe for some minutes.

    Args:
        folder: The run: checkpoints and curves; made if missing.
        part: "generator", "sharp" or "parser", best in this order.
        minutes: Length of the slice, above 0.
        painters: Processes that draw pictures ahead; 0 draws between the steps.

    Raises:
        InputError: An argument is out of range, or the folder cannot be used.
    """
    if part not in PARTS:
        raise InputError(f"there is no training of {part}: choose {', '.join(PARTS)}")
    if not minutes > 0.0:
        raise InputError(f"a slice of {minutes:g} minutes trains nothing: give more than 0")
    torch.set_num_threads(1)  # steps are small; more threads change the rounding, not the speed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if part == "generator":
            train_generator(folder, minutes, GENERATOR_PLAN, GEOMETRY, painters)
        elif part == "sharp":
            sharpen_generator(folder, minutes, SHARPENING_PLAN, GEOMETRY, painters)
        else:
            train_parser(folder, minutes, PARSER_PLAN, GEOMETRY, WIDTHS, painters)
    except OSError as error:
        raise InputError(f"the run folder {folder} cannot be used: {error}") from error
