"""Sharpens a trained generator: a feature loss and a critic bring back what regression blurs.

Source: our own recipe; the adversarial part as in the StyleGAN2 paper (non-saturating loss, lazy R1
on real pictures, minibatch deviation), beside the supervised loss, which keeps faces in place. The
critic sees pictures at full size only.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from barber.faces.ahead import BatchSource, Source
from barber.faces.batches import FaceBatch
from barber.faces.features import even_heads, random_features
from barber.faces.generator_training import (
    draw_from_codes,
    follow,
    generator_optimiser,
    part_weights,
    picture_loss,
    set_rate,
)
from barber.faces.trainer import Trainer, cosine_rate
from barber.losses.perceptual import Perceptual
from barber.models.stylegan2 import Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpeningPlan:
    """The schedule of one sharpening; part of the checkpoint's provenance."""

    steps: int
    side: int = 128
    batch: int = 8
    rate: float = 2e-3  # of the generator
    mapping_gain: float = 1.0
    critic_rate: float = 2e-3
    warmup_steps: int = 200
    hold: float = 0.5
    critic_alone: int = 200  # steps before the critic's verdict counts
    feature_weight: float = 0.6
    critic_weight: float = 0.02
    r1: float = 4.0  # weight of the gradient penalty
    r1_every: int = 16  # steps
    ema: float = 0.998
    critic_channels: tuple[int, ...] = (16, 32, 48, 64, 96, 96)  # full size down to side / 32
    seed: int = 3

    def rate_at(self, step: int, rate: float) -> float:
        """What becomes of a plateau's rate at a step."""
        return cosine_rate(
            step, steps=self.steps, rate=rate, warmup_steps=self.warmup_steps, hold=self.hold
        )


class Critic(nn.Module):
    """Tells drawn pictures from generated ones: convolutions and halvings down to one number.

    Halving is by averaging: strided 1x1 convolutions with few channels crash torch 2.15 on the CPU.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in pairwise(channels))
        self.last = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
        self.verdict = nn.Linear(channels[-1], 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to [N], high for pictures taken as drawn."""
        x = functional.leaky_relu(self.first(pictures), 0.2)
        for block in self.blocks:
            x = functional.avg_pool2d(functional.leaky_relu(block(x), 0.2), 2)
        deviation = (x.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        x = torch.cat([x, deviation.expand(x.shape[0], 1, *x.shape[2:])], dim=1)
        x = functional.leaky_relu(self.last(x), 0.2).mean(dim=(2, 3))
        found: Tensor = self.verdict(x).squeeze(1)
        return found


class SharpeningTrainer(Trainer):
    """Generator and critic in turns, one batch each per step.

    Args:
        generator: The supervised one's average; it is copied.
        plan: The schedule.
        source: Where batches come from; drawn in this process by default.
    """

    def __init__(
        self, generator: Generator, plan: SharpeningPlan, source: Source | None = None
    ) -> None:
        torch.manual_seed(plan.seed)
        self.plan, self._source = plan, source or BatchSource()
        self.network = _trainable(generator)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.critic = Critic(plan.critic_channels)
        vgg = random_features(plan.side)
        self._features = Perceptual(vgg, even_heads(vgg, plan.side)).requires_grad_(False)
        self.optimiser = generator_optimiser(self.network, plan.rate, plan.mapping_gain)
        self.critic_optimiser = torch.optim.Adam(
            [{"params": list(self.critic.parameters()), "gain": 1.0}],
            lr=plan.critic_rate,
            betas=(0.0, 0.99),
        )
        super().__init__(
            {
                "network": self.network,
                "average": self.average,
                "optimiser": self.optimiser,
                "critic": self.critic,
                "critic_optimiser": self.critic_optimiser,
            }
        )

    def learn(self) -> Tensor:
        """Trains critic, then generator, on the next batch; returns the generator's loss."""
        plan, number = self.plan, self.steps_done
        batch = self._source.get(plan.seed, number, plan.batch, plan.side)
        set_rate(self.optimiser, plan.rate_at(number, plan.rate))
        set_rate(self.critic_optimiser, plan.rate_at(number, plan.critic_rate))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = draw_from_codes(self.network, batch, plan.side)
        drawn = drawn.float()
        self._teach_critic(batch.images, drawn.detach())
        loss = self._generator_loss(batch, drawn)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        follow(self.average, self.network, plan.ema)
        return loss.detach()

    def _teach_critic(self, real: Tensor, drawn: Tensor) -> None:
        of_real, of_drawn = self._verdicts(torch.cat([real, drawn])).chunk(2)
        loss = functional.softplus(-of_real).mean() + functional.softplus(of_drawn).mean()
        if self.steps_done % self.plan.r1_every == 0:
            loss = loss + self._penalty(real)
        self.critic_optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.critic_optimiser.step()

    def _verdicts(self, pictures: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            verdicts: Tensor = self.critic(pictures)
        return verdicts.float()

    def _penalty(self, real: Tensor) -> Tensor:
        """R1: the squared gradient of the verdict at real pictures, scaled up for its rarity."""
        seen = real.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.critic(seen).sum(), seen, create_graph=True)
        weight = 0.5 * self.plan.r1 * self.plan.r1_every
        return weight * slope.square().sum(dim=(1, 2, 3)).mean()

    def _generator_loss(self, batch: FaceBatch, drawn: Tensor) -> Tensor:
        plan = self.plan
        loss = picture_loss(drawn, batch.images, part_weights(batch.label_maps))
        with torch.no_grad():
            wanted = self._features.features(batch.images)
        loss = loss + plan.feature_weight * self._features.distance(drawn, wanted).mean()
        if self.steps_done >= plan.critic_alone:
            verdict = functional.softplus(-self._verdicts(drawn)).mean()
            loss = loss + plan.critic_weight * verdict
        return loss


def _trainable(generator: Generator) -> Generator:
    """A copy that learns, but for the RGB outputs up to F, which stay off."""
    network = copy.deepcopy(generator).requires_grad_(True)
    low = [network.to_rgb1, *list(network.to_rgbs)[: network.geometry.f_layer]]
    for module in low:
        module.requires_grad_(False)
    return network
