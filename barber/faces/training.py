"""Trains a bundle in slices, on drawn people or on one's own: `barber faces train RUN --minutes M`.

A run folder holds one checkpoint and one curve per network. A slice goes on from the checkpoint,
stops when its minutes are over or its plan is done, and leaves a checkpoint again; batches and
learning rates follow from the step alone, so slices of any length give the same weights.
"""

from __future__ import annotations

import csv
import json
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from barber.errors import CheckpointError, InputError
from barber.faces.ahead import BatchSource, Source
from barber.faces.export import TrainedNetworks, export_bundle
from barber.faces.generator_training import GeneratorTrainer, validation_psnr
from barber.faces.own_batches import OwnSource
from barber.faces.own_pictures import read_own_pictures
from barber.faces.parser_training import WIDTHS, ParserTrainer, region_ious
from barber.faces.recipe import DRAWN, PRESETS, Recipe, recipe_for
from barber.faces.sharpening import SharpeningTrainer
from barber.faces.trainer import Trainer
from barber.manifest import MANIFEST_NAME
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run folder that is open for work."""

    folder: Path
    recipe: Recipe
    source: Source
    pictures: Path | None  # one's own; None for drawn people


@contextmanager
def open_run(folder: Path, *, pictures: Path | None = None, painters: int = 0) -> Iterator[Run]:
    """Opens a run folder, new or begun.

    Args:
        folder: Checkpoints and curves; made if missing.
        pictures: Folder of portraits and label maps, needed once: the run remembers it. Drawn
            people when None.
        painters: Processes that draw people ahead; 0 draws between the steps.

    Raises:
        InputError: The pictures will not do, or are others than the run began with.
    """
    known = _remember(folder, pictures, painters)
    if known is None:
        with BatchSource(painters) as source:
            yield Run(folder=folder, recipe=DRAWN, source=source, pictures=None)
        return
    own = read_own_pictures(known)
    recipe = recipe_for(own.side)
    torch.manual_seed(recipe.generator.seed)
    source_of_own = OwnSource(own, recipe.geometry.style_dim)
    yield Run(folder=folder, recipe=recipe, source=source_of_own, pictures=known)


def _remember(folder: Path, pictures: Path | None, painters: int) -> Path | None:
    """The pictures that the run learns from; written down when it begins."""
    note = folder / "run.json"
    begun = note.exists() or any((folder / f"{part}.pt").exists() for part in PARTS)
    if begun:
        known = _noted(note) if note.exists() else None
        if pictures is not None and (known is None or known != pictures.absolute()):
            raise InputError(
                f"the run {folder} learns from {known or 'drawn people'}, not from {pictures}: "
                "name another run folder, or leave the pictures out"
            )
        _check_painters(known, painters)
        return known
    if pictures is None:
        return None
    _check_painters(pictures, painters)
    read_own_pictures(pictures)  # refused before the run is begun
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"pictures": str(pictures.absolute())}) + "\n")
    return pictures.absolute()


def _noted(note: Path) -> Path:
    try:
        return Path(json.loads(note.read_text())["pictures"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{note} is damaged: write the pictures' folder into it, or name another run"
        ) from error


def _check_painters(pictures: Path | None, painters: int) -> None:
    if pictures is not None and painters:
        raise InputError(f"--painters {painters}: pictures of one's own are read, not painted")


def train_generator(run: Run, minutes: float) -> None:
    """One slice of the generator's supervised training; see the module's docstring."""
    plan = run.recipe.generator
    trainer = GeneratorTrainer(run.recipe.geometry, plan, run.source)

    def measure() -> dict[str, Any]:
        side = plan.side_at(trainer.steps_done - 1)
        return _scores(trainer.average, run, side, trainer.steps_done * plan.batch)

    _slice(trainer, run.folder / "generator", minutes, plan.steps, measure)


def sharpen_generator(run: Run, minutes: float) -> None:
    """One slice of the sharpening, which starts from the run's supervised generator.

    Raises:
        InputError: The run has no generator yet.
    """
    plan = run.recipe.sharpening
    start, _ = load_generator(run, sharp=False)
    trainer = SharpeningTrainer(start, plan, run.source)

    def measure() -> dict[str, Any]:
        return _scores(trainer.average, run, plan.side, trainer.steps_done * plan.batch)

    _slice(trainer, run.folder / "sharp", minutes, plan.steps, measure)


def _scores(generator: Generator, run: Run, side: int, images: int) -> dict[str, Any]:
    return {
        "images": images,
        "side": side,
        "psnr_db": round(validation_psnr(generator, run.source, side, 64), 3),
        "mixed_psnr_db": round(validation_psnr(generator, run.source, side, 64, mixed=True), 3),
    }


def train_parser(run: Run, minutes: float, widths: SegmenterWidths) -> None:
    """One slice of the parser's training, with the generator's drawings if there is one."""
    plan = run.recipe.parser
    generator = load_generator(run)[0] if (run.folder / "generator.pt").exists() else None
    trainer = ParserTrainer(widths, plan, generator, run.source)

    def measure() -> dict[str, Any]:
        ious = region_ious(trainer.network, run.source, plan.side, 64)
        return {"images": trainer.steps_done * plan.batch} | ious

    _slice(trainer, run.folder / "parser", minutes, plan.steps, measure)


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


def load_generator(run: Run, *, sharp: bool = True) -> tuple[Generator, dict[str, int]]:
    """The averaged generator of a run, frozen, and the steps behind it by training.

    Learnt codes come with it: the run's source has them afterwards.

    Args:
        run: The run.
        sharp: Whether to take the sharpened one, if there is one.

    Raises:
        InputError: The run has no generator yet.
    """
    state = _state_of(run.folder, "generator")
    steps = {"supervised": int(state["steps_done"])}
    if run.source.codes is not None:
        run.source.codes.load_state_dict(state["codes"])
        run.source.codes.requires_grad_(False)
    if sharp and (run.folder / "sharp.pt").exists():
        state = _state_of(run.folder, "sharp")
        steps["sharpening"] = int(state["steps_done"])
    generator = Generator(run.recipe.geometry)
    try:
        generator.load_state_dict(state["average"])
    except RuntimeError as error:
        raise InputError(
            f"the generator in {run.folder} has other sizes than the recipe: name another run"
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


def check_target(target: Path, *, replace: bool) -> None:
    """Raises InputError when the export would take the place of something it should not."""
    if not target.exists():
        return
    if not (target / MANIFEST_NAME).is_file():
        raise InputError(
            f"{target} is there and is no bundle: an export takes the place of a whole folder, so "
            "name a new one"
        )
    if not replace:
        raise InputError(
            f"{target} holds a bundle: name another folder and compare both (`barber evaluate "
            "--bundle`); --replace puts the new one in its place"
        )


def export(
    folder: Path, target: Path, *, licence: str | None = None, replace: bool = False
) -> None:
    """Writes the bundle of a run's networks as they are now.

    Args:
        folder: The run.
        target: The bundle's folder; its name becomes the bundle's.
        licence: Of a bundle made from one's own pictures, in words for whoever gets it.
        replace: Whether it may take the place of a bundle that is there.

    Raises:
        InputError: A network is missing, or something else is where the bundle shall be.
    """
    check_target(target, replace=replace)
    with open_run(folder) as run:
        generator, generator_steps = load_generator(run)
        parser, parser_steps = load_parser(folder, WIDTHS)
        networks = TrainedNetworks(
            recipe=run.recipe,
            source=run.source,
            pictures=run.pictures,
            generator=generator,
            generator_steps=generator_steps,
            parser=parser,
            parser_steps=parser_steps,
        )
        export_bundle(target, networks, PRESETS, licence=licence)


def run_slice(
    folder: Path, part: str, minutes: float, *, painters: int = 0, pictures: Path | None = None
) -> None:
    """Trains one network for some minutes.

    Args:
        folder: The run: checkpoints and curves; made if missing.
        part: "generator", "sharp" or "parser", best in this order.
        minutes: Length of the slice, above 0.
        painters: Processes that draw pictures ahead; 0 draws between the steps.
        pictures: One's own, as in `open_run`.

    Raises:
        InputError: An argument is out of range, or a folder cannot be used.
    """
    if part not in PARTS:
        raise InputError(f"there is no training of {part}: choose {', '.join(PARTS)}")
    if not minutes > 0.0:
        raise InputError(f"a slice of {minutes:g} minutes trains nothing: give more than 0")
    is_new = not folder.exists()
    torch.set_num_threads(1)  # steps are small; more threads change the rounding, not the speed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open_run(folder, pictures=pictures, painters=painters) as run:
            if part == "generator":
                train_generator(run, minutes)
            elif part == "sharp":
                sharpen_generator(run, minutes)
            else:
                train_parser(run, minutes, WIDTHS)
    except OSError as error:
        raise InputError(f"the run folder {folder} cannot be used: {error}") from error
    finally:
        if is_new:
            with suppress(OSError):  # not empty: the run has begun
                folder.rmdir()
