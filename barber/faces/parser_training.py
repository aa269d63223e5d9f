"""Trains the face parser on drawn portraits, whose label maps are exact.

Source: our own recipe. The parser must also read the generator's soft pictures, so half of the
batches are blurred or are the generator's own drawings of the same codes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from barber.faces.ahead import BatchSource, Source
from barber.faces.batches import FaceBatch
from barber.faces.generator_training import draw_from_codes
from barber.faces.trainer import Trainer, cosine_rate
from barber.labels import REGION_COUNT, Region
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator

# 16 channels where the trunk first halves: with 8 or 12, torch 2.15 crashes on the CPU in the
# backward pass of a strided 1x1 convolution in channels-last layout.
WIDTHS = SegmenterWidths(
    trunk=(16, 24, 40, 64),
    context=32,
    fusion=32,
    fusion_mid=16,
    head=32,
    aux_head=16,
    stem_kernel=3,
    stem_stride=1,
    pool=False,
)
# Small or thin parts, which plain cross-entropy gives up for the large ones.
_WEIGHTS = {
    Region.EYEGLASSES: 3.0,
    Region.EYES: 2.0,
    Region.BROWS: 2.0,
    Region.EARS: 2.0,
    Region.MOUTH: 3.0,
    Region.UPPER_LIP: 2.5,
    Region.LOWER_LIP: 2.5,
    Region.HAIR: 1.2,
    Region.HAT: 2.0,
    Region.EARRING: 4.0,
    Region.NECKLACE: 3.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserPlan:
    """The schedule of one training; part of the checkpoint's provenance."""

    steps: int
    side: int = 64  # the bundle's label size
    batch: int = 16
    rate: float = 3e-3
    decay: float = 0.01  # AdamW's
    warmup_steps: int = 50
    drawn_share: float = 0.25  # of the later batches, when there is a generator
    drawn_from: int = 1000  # step from which the generator is taken as good enough
    seed: int = 2

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: warm-up, then half a cosine."""
        return cosine_rate(
            step, steps=self.steps, rate=self.rate, warmup_steps=self.warmup_steps, hold=0.0
        )


class ParserTrainer(Trainer):
    """The parser and its optimiser.

    Args:
        widths: Of the parser.
        plan: The schedule.
        generator: Its drawings mix into the later batches.
        source: Where batches come from; drawn in this process by default.
    """

    def __init__(
        self,
        widths: SegmenterWidths,
        plan: ParserPlan,
        generator: Generator | None = None,
        source: Source | None = None,
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self.generator, self._source = plan, generator, source or BatchSource()
        self.network = Segmenter(widths)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.rate, weight_decay=plan.decay, foreach=True
        )
        self._weights = torch.tensor([_WEIGHTS.get(region, 1.0) for region in Region])
        super().__init__({"network": self.network, "optimiser": self.optimiser})

    def learn(self) -> Tensor:
        """Trains on the next batch; returns its loss."""
        plan = self.plan
        batch = self._source.get(plan.seed, self.steps_done, plan.batch, plan.side)
        chances = torch.Generator().manual_seed(plan.seed * 1_000_003 + self.steps_done)
        pictures, label_maps = self._disturbed(batch, chances)
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate_at(self.steps_done)
        self.network.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            heads = self.network.all_logits(Segmenter.normalise(pictures))
        loss = sum(
            (
                weight * functional.cross_entropy(logits.float(), label_maps, self._weights)
                for weight, logits in zip((1.0, 0.2, 0.2), heads, strict=True)
            ),
            start=torch.zeros(()),
        )
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return loss.detach()

    def _disturbed(self, batch: FaceBatch, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Unit pictures as a camera or the generator might give them, and their label maps."""
        pictures = batch.images
        if self._draws(source):
            assert self.generator is not None
            pictures = drawn_pictures(self.generator, batch, self.plan.side)
        elif _chance(source) < 0.5:
            pictures = _softened(pictures, source)
        unit = pictures * 0.5 + 0.5
        count = unit.shape[0]
        gain = 1.0 + 0.15 * torch.randn((count, 1, 1, 1), generator=source)
        tint = 0.05 * torch.randn((count, 3, 1, 1), generator=source)
        grain = 0.04 * _chance(source) * torch.randn(unit.shape, generator=source)
        unit, label_maps = (unit * gain + tint + grain).clamp(0.0, 1.0), batch.label_maps
        if _chance(source) < 0.5:
            return unit.flip(3), label_maps.flip(2)
        return unit, label_maps

    def _draws(self, source: torch.Generator) -> bool:
        ready = self.generator is not None and self.steps_done >= self.plan.drawn_from
        return ready and _chance(source) < self.plan.drawn_share


@torch.no_grad()
def drawn_pictures(generator: Generator, batch: FaceBatch, side: int) -> Tensor:
    """The generator's own pictures of a batch's codes, brought to the parser's side."""
    drawn = draw_from_codes(generator, batch, generator.geometry.image_size)
    return functional.interpolate(drawn, size=side, mode="area").clamp(-1.0, 1.0)


def _chance(source: torch.Generator) -> float:
    return float(torch.rand((), generator=source))


def _softened(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Halves or blurs the pictures: fine texture goes, outlines stay."""
    side = pictures.shape[-1]
    if _chance(source) < 0.5:
        small = functional.avg_pool2d(pictures, 2)
        return functional.interpolate(small, size=side, mode="bilinear", align_corners=False)
    sigma = 0.5 + 1.2 * _chance(source)
    taps = torch.exp(-torch.arange(-3.0, 4.0).square() / (2.0 * sigma**2))
    taps = (taps / taps.sum()).expand(3, 1, 1, 7)
    padded = functional.pad(pictures, (3, 3, 3, 3), mode="replicate")
    across = functional.conv2d(padded, taps, groups=3)
    return functional.conv2d(across, taps.transpose(2, 3), groups=3)


@torch.no_grad()
def region_ious(
    parser: Segmenter, source: Source, side: int, count: int, generator: Generator | None = None
) -> dict[str, float]:
    """Intersection over union per region over unseen pictures, and "mean" over those present.

    Args:
        parser: Set to evaluation mode here.
        source: Of the pictures.
        side: Picture side.
        count: Pictures; a multiple of 16 is taken.
        generator: If given, the parser reads its drawings of known codes instead.
    """
    parser.eval()
    counts = torch.zeros(REGION_COUNT, REGION_COUNT, dtype=torch.int64)
    for number in range(math.ceil(count / 16)):
        if generator is None:
            batch = source.unseen(number, 16, side)
            pictures = batch.images
        else:
            batch = source.known(number, 16, side, mixed=False)
            pictures = drawn_pictures(generator, batch, side)
        found = parser.label_map(parser(parser.normalise(pictures * 0.5 + 0.5)))
        pairs = batch.label_maps.flatten() * REGION_COUNT + found.flatten()
        counts += torch.bincount(pairs, minlength=REGION_COUNT**2).view(REGION_COUNT, -1)
    hits = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - hits
    present = counts.sum(1) > 0
    ious = {
        region.word: round(float(hits[region] / union[region]), 4)
        for region in Region
        if present[region]
    }
    return ious | {"mean": round(sum(ious.values()) / len(ious), 4)}
