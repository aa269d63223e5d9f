"""Portraits, codes, masks and specs that fit the tiny bundle, for tests of stages and pipeline."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from barber.artifacts import FSCode, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.models.stylegan2 import Noise
from barber.pixels import portrait_key
from barber.spec import (
    AlignParams,
    BlendParams,
    JobSpec,
    NoiseMode,
    PortraitKey,
    ReconstructParams,
    RegionEdit,
    StageParams,
    TargetParams,
)
from tests.support.tiny_bundle import tiny_bundle

__all__ = ["QUICK", "job", "portraits", "random_code", "random_mask", "tiny_bundle"]

CELLS = 8  # a portrait is a chequer of so many coloured cells on each side

# The fewest steps with which every part of a stage still leaves its trace.
QUICK = StageParams(
    reconstruct=ReconstructParams(w_plus_steps=2, fs_steps=2),
    target=TargetParams(steps=1),
    align=AlignParams(identity_steps=2, reference_steps=2),
    blend=BlendParams(steps=2, mix_smoothing=1, mask_smoothing=1),
)


def portraits(count: int) -> list[Portrait]:
    """The first portraits of an endless row, each of its own coloured cells."""
    return [_portrait(number) for number in range(count)]


@cache
def _portrait(number: int) -> Portrait:
    size = tiny_bundle().geometry.image_size
    cells = np.random.default_rng(number).integers(0, 256, (CELLS, CELLS, 3), dtype=np.uint8)
    pixels = cells.repeat(size // CELLS, axis=0).repeat(size // CELLS, axis=1)
    return Portrait(sha256=portrait_key(pixels), pixels=pixels)


@cache
def random_code(number: int) -> Reconstruction:
    """A code near the mean latent, as if reconstructed: W+ and S differ, F is its own."""
    bundle, source = tiny_bundle(), torch.Generator().manual_seed(number)
    shape = (1, bundle.geometry.rows, bundle.geometry.style_dim)
    w_plus = bundle.w_avg + 0.5 * torch.randn(shape, generator=source)
    s = w_plus + 0.1 * torch.randn(shape, generator=source)
    f = bundle.generator.structure(w_plus, Noise.zero())
    f = f + 0.1 * torch.randn(f.shape, generator=source)
    side = bundle.geometry.image_size
    blank = np.zeros((side, side, 3), np.uint8)
    return Reconstruction(w_plus=w_plus, fs=FSCode(f=f, s=s), preview=blank)


def random_mask(number: int = 0, regions: int = 1) -> TargetMask:
    """A target mask of coarse random labels; what sources show is random as well."""
    side, source = tiny_bundle().geometry.label_size, torch.Generator().manual_seed(number)
    cells = torch.randint(0, len(Region), (CELLS, CELLS), generator=source)
    times = side // CELLS
    labels = cells.repeat_interleave(times, 0).repeat_interleave(times, 1)[None]
    shown = torch.rand(1, regions, side, side, generator=source) > 0.5
    return TargetMask(label_map=labels, removed=labels[:, None] == Region.HAIR, shown=shown)


def job(*regions: tuple[tuple[Region, ...], int, int], **facts: Any) -> JobSpec:
    """A spec on the tiny bundle: portrait 0 is the identity, each region (labels, shape, colour).

    Args:
        regions: Labels, then the numbers of the structure and of the appearance portrait.
        facts: Other fields of the spec; without noise and quick by default.
    """
    last = max((max(structure, appearance) for _, structure, appearance in regions), default=0)
    keys: list[PortraitKey] = [portrait.sha256 for portrait in portraits(last + 1)]
    edits = tuple(
        RegionEdit(labels=labels, structure=keys[structure], appearance=keys[appearance])
        for labels, structure, appearance in regions
    )
    given: dict[str, Any] = {"params": QUICK, "noise": NoiseMode.FRESH} | facts
    return JobSpec(identity=keys[0], regions=edits, bundle=tiny_bundle().digest, **given)
