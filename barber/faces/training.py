"""Trains the bundle that ships, in slices: `python -m barber.faces.training --run DIR --minutes M`.

A run folder holds one checkpoint and one curve per network. A slice goes on from the checkpoint,
stops when its minutes are over or its plan is done, and leaves a checkpoint again; batches and
learning rates follow from the step alone, so slices of any length give the same weights.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import click
import torch

from barber.errors import BarberError, InputError
from barber.faces.export import TrainedNetworks, export_bundle
from barber.faces.generator_training import GeneratorPlan, GeneratorTrainer, validation_psnr
from barber.faces.parser_training import WIDTHS, ParserPlan, ParserTrainer, region_ious
from barber.geometry import Geometry
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator

GEOMETRY = Geometry(
    image_size=128,
    style_dim=96,
    mapping_layers=4,
    channels=((4, 128), (8, 128), (16, 128), (32, 96), (64, 48), (128, 24)),
    f_size=32,
    label_size=128,
    loss_size=64,
)
GENERATOR_PLAN = GeneratorPlan(phases=((64, 9000), (128, 15000)), detail_from=2000)
PARSER_PLAN = ParserPlan(steps=1900)
# Stage params that suit this bundle, tuned on held-out pairs: its w spreads wider than FFHQ's, so
# rates are higher and steps fewer; random features hold colours badly, so blend adds a pixel term.
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "reconstruct": {
            "w_plus_steps": 60,
            "fs_steps": 60,
            "w_plus_rate": 0.1,
            "fs_rate": 0.05,
        },
        "target": {"mask_mode": "fidelity", "steps": 30, "rate": 0.1},
        "align": {"identity_steps": 40, "reference_steps": 40, "rate": 0.1},
        "blend": {
            "steps": 40,
            "rate": 0.1,
            "mix_smoothing": 1,
            "mask_smoothing": 1,
            "pixel_weight": 2.0,
        },
    }
}
_SAVE_EVERY_S = 60.0
_REPORT_EVERY = 500  # steps


class Trainer(Protocol):
    """What a slice needs of a network's trainer."""

    steps_done: int

    def step(self) -> float:
        """Trains on the next batch; returns its loss."""

    def state(self) -> dict[str, object]:
        """Everything that `load_state` needs."""

    def load_state(self, state: dict[str, object]) -> None:
        """Continues from a state."""


def save_checkpoint(path: Path, trainer: Trainer) -> None:
    """Writes the trainer's state so that a crash leaves the old file or the new one."""
    fresh = path.with_suffix(".new")
    torch.save(trainer.state(), fresh)
    fresh.replace(path)


def resume(path: Path, trainer: Trainer) -> None:
    """Loads the checkpoint if there is one."""
    if path.exists():
        trainer.load_state(torch.load(path, weights_only=True))


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


def train_generator(folder: Path, minutes: float, plan: GeneratorPlan, geometry: Geometry) -> None:
    """One slice of the generator's training; see the module's docstring."""
    trainer = GeneratorTrainer(geometry, plan)

    def measure() -> dict[str, Any]:
        side = plan.side_at(trainer.steps_done - 1)
        return {
            "images": trainer.steps_done * plan.batch,
            "side": side,
            "psnr_db": round(validation_psnr(trainer.average, side, 64), 3),
            "mixed_psnr_db": round(validation_psnr(trainer.average, side, 64, mixed=True), 3),
        }

    _slice(trainer, folder / "generator", minutes, plan.steps, measure)


def train_parser(
    folder: Path, minutes: float, plan: ParserPlan, geometry: Geometry, widths: SegmenterWidths
) -> None:
    """One slice of the parser's training, with the generator's drawings if there is one."""
    generator = load_generator(folder, geometry)[0] if (folder / "generator.pt").exists() else None
    trainer = ParserTrainer(widths, plan, generator)

    def measure() -> dict[str, Any]:
        ious = region_ious(trainer.network, plan.side, 64)
        return {
            "images": trainer.steps_done * plan.batch,
            "hair": ious["hair"],
            "mean": ious["mean"],
        }

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


def load_generator(folder: Path, geometry: Geometry) -> tuple[Generator, int]:
    """The averaged generator of a run, frozen, and the steps behind it.

    Raises:
        InputError: The run has no generator yet.
    """
    generator = Generator(geometry)
    state = _state_of(folder, "generator")
    generator.load_state_dict(state["average"])
    return generator.requires_grad_(False).eval(), int(state["steps_done"])


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
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except OSError as error:
        raise InputError(f"{path} cannot be read: train the {part} in this run first") from error
    return state


def export(folder: Path, target: Path) -> None:
    """Writes the bundle of a run's networks as they are now."""
    generator, generator_steps = load_generator(folder, GEOMETRY)
    parser, parser_steps = load_parser(folder, WIDTHS)
    networks = TrainedNetworks(
        geometry=GEOMETRY,
        generator=generator,
        generator_plan=GENERATOR_PLAN,
        generator_steps=generator_steps,
        parser=parser,
        parser_plan=PARSER_PLAN,
        parser_steps=parser_steps,
    )
    export_bundle(target, networks, PRESETS)


@click.command()
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of checkpoints and curves.",
)
@click.option("--part", type=click.Choice(["generator", "parser"]), help="Network to train.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Length of the slice.")
@click.option("--export", "target", type=click.Path(path_type=Path), help="Write the bundle here.")
def main(folder: Path, part: str | None, minutes: float, target: Path | None) -> None:
    """Trains one network of the shipped bundle for some minutes, and exports what there is."""
    torch.set_num_threads(1)  # steps are small; more threads change the rounding, not the speed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if part == "generator":
            train_generator(folder, minutes, GENERATOR_PLAN, GEOMETRY)
        elif part == "parser":
            train_parser(folder, minutes, PARSER_PLAN, GEOMETRY, WIDTHS)
        if target is not None:
            export(folder, target)
    except OSError as error:
        raise click.ClickException(f"the run folder {folder} cannot be used: {error}") from error
    except BarberError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
