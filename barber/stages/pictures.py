"""Between a portrait's pixels and the tensors that networks see.

Source: method section 4.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from barber import pixels as pictures
from barber.artifacts import Pixels, Portrait
from barber.geometry import Geometry
from barber.models.bundle import ModelBundle
from barber.models.segmenter import Segmenter
from barber.resample import photograph_to_parser, to_loss_size, to_parser_input
from barber.spec import LowTarget


def to_unit(pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 [H, W, 3] as float32 [1, 3, H, W] in [0, 1]."""
    return torch.tensor(pixels, device=device).permute(2, 0, 1)[None].float() / 255


def to_signed(pixels: Pixels, device: torch.device) -> Tensor:
    """uint8 [H, W, 3] as float32 [1, 3, H, W] in [-1, 1]."""
    return (to_unit(pixels, device) - 0.5) / 0.5


def to_pixels(signed: Tensor, *, truncate: bool = True) -> Pixels:
    """A signed, unclamped picture [1, 3, H, W] as uint8 [H, W, 3]: clamped, then truncated."""
    unit = (signed.detach()[0].permute(1, 2, 0) + 1) / 2
    return pictures.quantise(unit.cpu().numpy(), truncate=truncate)


def low_resolution(
    portrait: Portrait,
    geometry: Geometry,
    device: torch.device,
    how: LowTarget = LowTarget.LANCZOS,
) -> Tensor:
    """The signed target [1, 3, h, h] at the loss size, by 8-bit Lanczos as the method wants it."""
    if how is LowTarget.BICUBIC:
        return to_loss_size(to_signed(portrait.pixels, device), geometry)
    return to_signed(pictures.resize(portrait.pixels, geometry.loss_size), device)


def photograph_labels(bundle: ModelBundle, portrait: Portrait, *, clamp: bool = True) -> Tensor:
    """The label map int64 [1, H, W] of a portrait: its own, or else the parser's.

    Unclamped, the parser sees it as if it were a render.
    """
    if portrait.label_map is not None:
        side = bundle.geometry.label_size
        assert portrait.label_map.shape == (side, side), f"the own map is not {side}x{side}"
        return torch.tensor(portrait.label_map, device=bundle.device).long()[None]
    with torch.no_grad():
        unit = to_unit(portrait.pixels, bundle.device)
        seen = photograph_to_parser(unit, bundle.geometry, clamp=clamp)
        return Segmenter.label_map(bundle.segmenter(seen))


def label_logits(bundle: ModelBundle, signed: Tensor) -> Tensor:
    """Label logits [N, 16, H, W] of a generated picture [N, 3, R, R]; differentiable."""
    logits: Tensor = bundle.segmenter(to_parser_input(signed, bundle.geometry))
    return logits


def render_labels(bundle: ModelBundle, signed: Tensor) -> Tensor:
    """The label map int64 [N, H, W] of a generated picture."""
    with torch.no_grad():
        return Segmenter.label_map(label_logits(bundle, signed))
