"""The method follows the bundle's device: nothing is made elsewhere and left there."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import barber
from barber.artifacts import numbers
from barber.labels import Region
from barber.models.bundle import ModelBundle
from barber.pipeline import Composition, compose
from barber.spec import JobSpec, NoiseMode
from tests.support.compositions import job, portraits, tiny_bundle
from tests.support.tiny_bundle import coarse_bundle

WIDE = tuple(region for region in Region if region is not Region.BACKGROUND)
HAIR = (Region.HAIR,)
FACTORIES = {
    torch.arange,
    torch.empty,
    torch.eye,
    torch.full,
    torch.linspace,
    torch.ones,
    torch.rand,
    torch.randn,
    torch.tensor,
    torch.zeros,
}
# Made on the CPU on purpose, and brought to the device of what they meet.
BROUGHT_OVER = {
    "stylegan2.py:plane",  # so that a seed draws the same noise on every device
    "resample.py:downsample_taps",
}


class Homeless(TorchFunctionMode):
    """Remembers where our code makes a tensor without saying on which device."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: Iterable[Any] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        if func in FACTORIES and named.get("device") is None:
            self._remember()
        return func(*args, **named)

    def _remember(self) -> None:
        ours, frame = str(Path(barber.__file__).parent), sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.startswith(ours):
            frame = frame.f_back  # type: ignore[assignment]
        if frame is not None:
            name = Path(frame.f_code.co_filename).name
            self.places.add(f"{name}:{frame.f_code.co_name}")


def test_every_tensor_is_made_on_a_named_device() -> None:
    # Two references, so that the simplex is projected onto as well.
    spec, bundle = job((WIDE, 1, 2), (HAIR, 2, 1)), coarse_bundle()
    with Homeless() as found:
        composed(bundle, replace(spec, bundle=bundle.digest))
    assert found.places == BROUGHT_OVER


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@cache
def cuda_bundle() -> ModelBundle:
    """The tiny bundle's copy on the first CUDA device."""
    bundle = tiny_bundle()
    return ModelBundle.assemble(
        bundle.manifest,
        generator=deepcopy(bundle.generator),
        segmenter=deepcopy(bundle.segmenter),
        perceptual=deepcopy(bundle.perceptual),
        pca=bundle.pca,
        w_avg=bundle.w_avg.clone(),
        device="cuda",
    )


def composed(bundle: ModelBundle, spec: JobSpec) -> Composition:
    return compose(bundle, spec, {p.sha256: p for p in portraits(3)})


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("noise", list(NoiseMode))
def test_composition_on_cuda_repeats_itself_and_agrees_with_the_cpu(noise: NoiseMode) -> None:
    spec = job((WIDE, 1, 2), noise=noise)
    once, again = (composed(cuda_bundle(), spec).blend.to_bytes() for _ in range(2))
    assert once == again
    here, there = composed(tiny_bundle(), spec).blend, composed(cuda_bundle(), spec).blend
    difference = np.abs(here.image.astype(int) - there.image.astype(int))
    assert float((difference > 2).mean()) < 0.02


@pytest.mark.gpu
@needs_cuda
def test_every_tensor_of_every_artifact_lies_on_the_bundles_device() -> None:
    found = composed(cuda_bundle(), job((WIDE, 1, 2), (HAIR, 2, 1)))
    for artifact in found.artifacts.values():
        for name, value in numbers(artifact).items():
            assert not isinstance(value, Tensor) or value.device.type == "cuda", name
