"""Trains a small StyleGAN2 to draw what the renderer draws from the same latent code.

Source: our own recipe. The codes are known, so the loss is a plain regression. Style mixing is
supervised: rows of W+ that make F come from the code of the shapes, the rows above from the codes
of the colours, and within those rows the first entries of w come from the code of the hair's
colour, so that hair colour can be moved alone. The RGB outputs up to F stay off: a render that
starts from F then equals the whole pass.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from barber.faces.batches import FaceBatch, draw_batch
from barber.geometry import Geometry
from barber.labels import Region
from barber.models.stylegan2 import Generator, MappingLayer, Noise

HAIR_ENTRIES = 16  # entries of w that carry the hair's colour
_PART_WEIGHTS = {
    Region.NOSE: 2.0,
    Region.EYEGLASSES: 6.0,
    Region.EYES: 6.0,
    Region.BROWS: 4.0,
    Region.MOUTH: 6.0,
    Region.UPPER_LIP: 6.0,
    Region.LOWER_LIP: 6.0,
    Region.HAT: 1.5,
    Region.EARRING: 3.0,
    Region.NECKLACE: 3.0,
}
_VALIDATION_SEED = 900_001


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorPlan:
    """The schedule of one training; part of the checkpoint's provenance."""

    phases: tuple[tuple[int, int], ...]  # (picture side, steps) in order; sides from F's up
    batch: int = 8
    rate: float = 1.5e-2  # peak learning rate
    mapping_gain: float = 10.0  # times the rate, for the mapping network's stored weights
    warmup_steps: int = 100  # at the start, and a tenth of it after each change of side
    hold: float = 0.45  # share of the steps at the peak; a half cosine to zero follows
    ema: float = 0.998  # decay of the averaged weights per step
    detail_from: int = 0  # step from which small parts of the face weigh more
    seed: int = 1

    @property
    def steps(self) -> int:
        return sum(count for _, count in self.phases)

    def side_at(self, step: int) -> int:
        """Side of the pictures that a step trains on."""
        for side, count in self.phases:
            if step < count:
                return side
            step -= count
        return self.phases[-1][0]

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        share = max(step / max(self.steps, 1) - self.hold, 0.0) / (1.0 - self.hold)
        decay = 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))
        return self.rate * min(1.0, (step + 1) / max(self.warmup_steps, 1)) * decay


class GeneratorTrainer:
    """Generator, averaged copy and optimiser; one call of `step` per batch."""

    def __init__(self, geometry: Geometry, plan: GeneratorPlan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.network = Generator(geometry)
        switch_off_low_rgb(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        mapping = [
            weight
            for module in self.network.modules()
            if isinstance(module, MappingLayer)
            for weight in module.parameters()
        ]
        known = {id(weight) for weight in mapping}
        others = [weight for weight in self.network.parameters() if id(weight) not in known]
        self.optimiser = torch.optim.Adam(
            [{"params": others, "gain": 1.0}, {"params": mapping, "gain": plan.mapping_gain}],
            lr=plan.rate,
            betas=(0.5, 0.99),
            foreach=True,
        )
        self.steps_done = 0

    def step(self) -> float:
        """Trains on the next batch; returns its loss."""
        side = self.plan.side_at(self.steps_done)
        batch = draw_batch(self.plan.seed, self.steps_done, self.plan.batch, side)
        rate = self.plan.rate_at(self.steps_done)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["gain"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = draw_from_codes(self.network, batch, side)
        weights = torch.ones_like(batch.images[:, :1])
        if self.steps_done >= self.plan.detail_from:
            weights = part_weights(batch.label_maps)
        loss = picture_loss(drawn.float(), batch.images, weights)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.steps_done += 1
        self._follow()
        return float(loss.detach())

    def _follow(self) -> None:
        decay = min(self.plan.ema, (1 + self.steps_done) / (10 + self.steps_done))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.parameters()), list(self.network.parameters()), 1.0 - decay
            )

    def state(self) -> dict[str, object]:
        """Everything that `load_state` needs to go on as if never interrupted."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "steps_done": self.steps_done,
        }

    def load_state(self, state: dict[str, object]) -> None:
        """Continues from a state of the same geometry."""
        self.network.load_state_dict(state["network"])  # type: ignore[arg-type]
        self.average.load_state_dict(state["average"])  # type: ignore[arg-type]
        self.optimiser.load_state_dict(state["optimiser"])  # type: ignore[arg-type]
        self.steps_done = int(state["steps_done"])  # type: ignore[call-overload]


def switch_off_low_rgb(generator: Generator) -> None:
    """Zeroes and freezes the RGB outputs of all layers up to F's."""
    low: list[nn.Module] = [generator.to_rgb1]
    low += list(generator.to_rgbs)[: generator.geometry.f_layer]
    for module in low:
        for weight in module.parameters():
            weight.requires_grad_(False)
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.zeros_(module.conv.weight)  # type: ignore[union-attr,arg-type]


def mixed_w_plus(generator: Generator, batch: FaceBatch) -> Tensor:
    """W+ [N, L, D] of a batch: shapes below the split row, colours from it on."""
    w = generator.map(torch.cat([batch.shape_z, batch.scene_z, batch.hair_z]))
    shape, scene, hair = w.chunk(3)
    upper = torch.cat([hair[:, :HAIR_ENTRIES], scene[:, HAIR_ENTRIES:]], dim=1)
    split, rows = generator.geometry.split_row, generator.geometry.rows
    return torch.cat(
        [shape[:, None].expand(-1, split, -1), upper[:, None].expand(-1, rows - split, -1)], dim=1
    )


def draw_from_codes(generator: Generator, batch: FaceBatch, side: int) -> Tensor:
    """The generator's pictures [N, 3, side, side] of a batch's codes, up to a layer above F."""
    w_plus = mixed_w_plus(generator, batch)
    x = generator.structure(w_plus, Noise.zero())
    skip: Tensor | None = None
    for layer in range(generator.geometry.f_layer + 1, side.bit_length() - 2):
        for row in (2 * layer - 1, 2 * layer):
            x = generator.convs[row - 1](x, w_plus[:, row], None)
        skip = generator.to_rgbs[layer - 1](x, w_plus[:, 2 * layer + 1], skip)
    assert skip is not None, f"side {side} must exceed F's"
    return skip


def part_weights(label_maps: Tensor) -> Tensor:
    """Loss weights [N, 1, H, W] of mean 1: eyes and lips would else be learnt last of all."""
    table = torch.tensor([_PART_WEIGHTS.get(region, 1.0) for region in Region])
    weights = table[label_maps][:, None]
    return weights / weights.mean()


def picture_loss(drawn: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Absolute and squared error, absolute error of halved pictures, and of their gradients.

    Args:
        drawn: [N, 3, H, W].
        truth: Likewise.
        weights: Of the absolute errors, [N, 1, H, W] of mean 1.
    """
    difference = drawn - truth
    loss = (weights * difference.abs()).mean() + 0.5 * difference.square().mean()
    for factor in (2, 4):
        small = functional.avg_pool2d(difference, factor)
        loss = loss + 0.5 * (functional.avg_pool2d(weights, factor) * small.abs()).mean()
    across = (weights[..., 1:] * (difference[..., 1:] - difference[..., :-1]).abs()).mean()
    down = weights[..., 1:, :] * (difference[..., 1:, :] - difference[..., :-1, :]).abs()
    return loss + 0.5 * (across + down.mean())


@torch.no_grad()
def validation_psnr(generator: Generator, side: int, count: int, *, mixed: bool = False) -> float:
    """Mean PSNR in dB over held-out codes, values on the 8-bit scale of [0, 255].

    Args:
        generator: Usually the averaged one.
        side: Picture side, above F's.
        count: Held-out portraits; a multiple of 16 is drawn.
        mixed: Whether colours come from other codes than shapes.
    """
    values = []
    for number in range(math.ceil(count / 16)):
        batch = draw_batch(_VALIDATION_SEED, number, 16, side, mixed=mixed)
        drawn = draw_from_codes(generator, batch, side).clamp(-1.0, 1.0)
        error = (drawn - batch.images).square().mean(dim=(1, 2, 3)) / 4.0
        values.append(-10.0 * torch.log10(error))
    return float(torch.cat(values).mean())
