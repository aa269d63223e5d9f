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

from barber.faces.ahead import BatchSource, Source
from barber.faces.batches import FaceBatch
from barber.faces.trainer import Part, Trainer, cosine_rate
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorPlan:
    """The schedule of one training; part of the checkpoint's provenance."""

    phases: tuple[tuple[int, int], ...]  # (picture side, steps) in order; sides from F's up
    batch: int = 8
    rate: float = 1.5e-2  # peak learning rate
    mapping_gain: float = 10.0  # times the rate, for the mapping network's stored weights
    code_gain: float = 1.0  # times the rate, for codes that are learnt
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
        return cosine_rate(
            step,
            steps=self.steps,
            rate=self.rate,
            warmup_steps=self.warmup_steps,
            hold=self.hold,
        )


class GeneratorTrainer(Trainer):
    """Generator, averaged copy and optimiser.

    Args:
        geometry: Of the generator.
        plan: The schedule.
        source: Where batches come from; drawn in this process by default.
    """

    def __init__(
        self, geometry: Geometry, plan: GeneratorPlan, source: Source | None = None
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self._source = plan, source or BatchSource()
        self.network = Generator(geometry)
        switch_off_low_rgb(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimiser = generator_optimiser(self.network, plan.rate, plan.mapping_gain)
        parts: dict[str, Part] = {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
        }
        codes = self._source.codes
        if codes is not None:
            group = {"params": list(codes.parameters()), "gain": plan.code_gain}
            self.optimiser.add_param_group(group)
            parts["codes"] = codes
        super().__init__(parts)

    def learn(self) -> Tensor:
        """Trains on the next batch; returns its loss."""
        plan, number = self.plan, self.steps_done
        side = plan.side_at(number)
        batch = self._source.get(plan.seed, number, plan.batch, side)
        set_rate(self.optimiser, plan.rate_at(number))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = draw_from_codes(self.network, batch, side)
        weights = torch.ones_like(batch.images[:, :1])
        if number >= plan.detail_from:
            weights = part_weights(batch.label_maps)
        loss = picture_loss(drawn.float(), batch.images, weights)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        follow(self.average, self.network, min(plan.ema, (2 + number) / (11 + number)))
        return loss.detach()


def generator_optimiser(network: Generator, rate: float, mapping_gain: float) -> torch.optim.Adam:
    """Adam with a rate of its own, `mapping_gain` times the other, for the mapping network."""
    mapping = [
        weight
        for module in network.modules()
        if isinstance(module, MappingLayer)
        for weight in module.parameters()
    ]
    known = {id(weight) for weight in mapping}
    others = [weight for weight in network.parameters() if id(weight) not in known]
    return torch.optim.Adam(
        [{"params": others, "gain": 1.0}, {"params": mapping, "gain": mapping_gain}],
        lr=rate,
        betas=(0.5, 0.99),
        foreach=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets every group's rate to its gain times this."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["gain"]


def follow(average: Generator, network: Generator, decay: float) -> None:
    """Moves the average towards the network."""
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1.0 - decay)


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
def validation_psnr(
    generator: Generator, source: Source, side: int, count: int, *, mixed: bool = False
) -> float:
    """Mean PSNR in dB over pictures of known codes, values on the 8-bit scale of [0, 255].

    Args:
        generator: Usually the averaged one.
        source: Of the pictures.
        side: Picture side, above F's.
        count: Pictures; a multiple of 16 is taken.
        mixed: Whether colours come from other codes than shapes.
    """
    values = []
    for number in range(math.ceil(count / 16)):
        batch = source.known(number, 16, side, mixed=mixed)
        drawn = draw_from_codes(generator, batch, side).clamp(-1.0, 1.0)
        error = (drawn - batch.images).square().mean(dim=(1, 2, 3)) / 4.0
        values.append(-10.0 * torch.log10(error))
    return float(torch.cat(values).mean())
