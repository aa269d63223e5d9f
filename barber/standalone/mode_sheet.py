"""Runs every mode on a bundle in this process and sets the results beside the truth.

Modes share portraits, so a stage that several of them need runs once, as in the queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from barber.artifacts import Artifact, Blend, Portrait, TargetMask, colour_labels
from barber.evaluation.metrics import psnr
from barber.models.bundle import ModelBundle
from barber.pipeline import run_stage
from barber.pixels import Pixels, encode_png, portrait_key
from barber.plan import ArtifactKey, StageKind, plan
from barber.spec import JobSpec, PortraitKey, StageParams
from barber.standalone.modes import PEOPLE, Mode
from barber.standalone.sheet import SheetRow, draw_sheet

TILE = 112  # side of a picture on the sheet; small, so that it fits into documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One mode, run."""

    mode: Mode
    spec: JobSpec
    portraits: Mapping[str, Pixels]  # by person
    mask: Pixels | None  # the structure's target mask in colours; None when nothing is edited
    result: Blend
    truth: Pixels
    seconds: float  # of the stages that no earlier mode had run

    @property
    def changed(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Bool [R, R]: where the truth differs from the identity's portrait."""
        before = self.portraits[self.mode.identity]
        differs: np.ndarray[Any, np.dtype[np.bool_]] = (before != self.truth).any(axis=2)
        return differs

    def figures(self) -> dict[str, float]:
        """PSNR to the truth in dB: of the whole picture, and of the part that shall change."""
        found = {"psnr": psnr(self.result.image, self.truth)}
        if self.changed.any():
            there = self.changed[:, :, None].repeat(3, axis=2)
            before = self.portraits[self.mode.identity]
            wanted = self.truth[there]
            found["psnr_changed_part"] = psnr(self.result.image[there], wanted)
            found["psnr_changed_part_untouched"] = psnr(before[there], wanted)
        return found


def run_modes(
    bundle: ModelBundle,
    params: StageParams,
    modes: Sequence[Mode],
    *,
    told: Callable[[Shown], None],
    seed: int = 0,
) -> list[Shown]:
    """Composes every mode.

    Args:
        bundle: The networks.
        params: Of every stage.
        modes: What to compose.
        told: Called after each mode.
        seed: Of the noise.

    Raises:
        StageError: A mode cannot be composed.
    """
    size = bundle.geometry.image_size
    names = dict.fromkeys(name for mode in modes for name in mode.people)
    pictures = {name: PEOPLE[name].portrait(size) for name in names}
    keys = {name: portrait_key(pixels) for name, pixels in pictures.items()}
    by_key = {keys[n]: Portrait(sha256=keys[n], pixels=pixels) for n, pixels in pictures.items()}
    done: dict[ArtifactKey, Artifact] = {}
    shown: list[Shown] = []
    for mode in modes:
        began = time.monotonic()
        spec = mode.spec(keys, bundle=bundle.digest, params=params, seed=seed)
        mask, result = _composed(bundle, spec, by_key, done)
        shown.append(
            Shown(
                mode=mode,
                spec=spec,
                portraits=pictures,
                mask=mask,
                result=result,
                truth=mode.truth(size),
                seconds=time.monotonic() - began,
            )
        )
        told(shown[-1])
    return shown


def _composed(
    bundle: ModelBundle,
    spec: JobSpec,
    portraits: Mapping[PortraitKey, Portrait],
    done: dict[ArtifactKey, Artifact],
) -> tuple[Pixels | None, Blend]:
    """Runs what `done` lacks of a job, adds it there; the structure's mask and the result."""
    mask: Pixels | None = None
    for stage in plan(spec):
        if stage.key not in done:
            done[stage.key] = run_stage(
                bundle,
                spec,
                stage,
                portraits=portraits.__getitem__,
                artifacts=done.__getitem__,
            )
        if stage.kind is StageKind.TARGET and mask is None:
            artifact = done[stage.key]
            assert isinstance(artifact, TargetMask)
            mask = colour_labels(artifact.label_map[0].cpu().numpy())
    result = done[stage.key]
    assert isinstance(result, Blend)
    return mask, result


def sheet_row(shown: Shown) -> SheetRow:
    """A mode as a row: identity, references, mask, result, truth, figures."""
    mode = shown.mode
    inputs: list[tuple[str, Pixels | None]] = [
        (f"identity: {mode.identity}", shown.portraits[mode.identity])
    ]
    for name in mode.people[1:]:
        inputs.append((f"{mode.gives(name)}: {name}", shown.portraits[name]))
    results = [] if shown.mask is None else [("target mask", shown.mask)]
    results += [("result", shown.result.image), ("truth", shown.truth)]
    figures = shown.figures()
    lines = [f"PSNR {figures['psnr']:.1f} dB"]
    if "psnr_changed_part" in figures:
        lines.append(f"changed part {figures['psnr_changed_part']:.1f} dB")
        lines.append(f"untouched {figures['psnr_changed_part_untouched']:.1f} dB")
    lines += [f"left out {name}" for name in shown.result.dropped]
    return SheetRow(title=mode.title, inputs=inputs, results=results, figures=lines)


def write_modes(folder: Path, heading: str, shown: Sequence[Shown]) -> dict[str, Any]:
    """Writes the sheet, `modes.png`, and one PNG per mode; returns the figures as plain JSON data.

    Args:
        folder: Made when missing.
        heading: Stands on the sheet.
        shown: What was run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts: list[dict[str, Any]] = []
    for number, each in enumerate(shown, start=1):
        name = f"{number:02d}-{_file_name(each.mode.title)}.png"
        recipe = {"spec": each.spec.to_json()}
        (folder / name).write_bytes(encode_png(each.result.image, recipe=recipe))
        facts.append(
            {
                "mode": each.mode.title,
                "file": name,
                "seconds": round(each.seconds, 1),
                "dropped": list(each.result.dropped),
                **{key: round(value, 2) for key, value in each.figures().items()},
            }
        )
    sheet = draw_sheet(heading, [sheet_row(each) for each in shown], tile=TILE)
    (folder / "modes.png").write_bytes(encode_png(sheet))
    return {"sheet": str(folder / "modes.png"), "modes": facts}


def _file_name(title: str) -> str:
    kept = (letter if letter.isalnum() else " " for letter in title.lower())
    return "-".join("".join(kept).split())
