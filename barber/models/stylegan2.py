"""The StyleGAN2 generator, able to stop at the structure tensor F and to resume from it.

Source: method 5; parameter names and layout are those of the public PyTorch port by rosinality, so
its `g_ema` state dict loads strictly. As in the official Barbershop code, a render from F starts
with an empty RGB skip: the contributions of the layers up to F's are missing (method 5.5), unless
the skip was asked for; then it travels as three more channels of F, so that whatever mixes F mixes
it alike.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from barber.geometry import Geometry
from barber.models import ops
from barber.spec import NoiseMode

MAPPING_RATE = 0.01  # learning-rate multiplier of the mapping network


class Noise:
    """Where the noise planes of a run come from.

    Fresh planes are drawn on the CPU from this object's own generator, so that a run repeats
    itself on any device; buffers are the checkpoint's planes; zero adds none.
    """

    def __init__(self, mode: NoiseMode, seed: int = 0) -> None:
        self.mode = mode
        self._source = torch.Generator().manual_seed(seed)

    @classmethod
    def fresh(cls, seed: int) -> Self:
        """New standard-normal planes for every pass, drawn in the order the layers run."""
        return cls(NoiseMode.FRESH, seed)

    @classmethod
    def buffers(cls) -> Self:
        """The checkpoint's fixed planes."""
        return cls(NoiseMode.BUFFERS)

    @classmethod
    def zero(cls) -> Self:
        """No noise; costs nothing."""
        return cls(NoiseMode.ZERO)

    def plane(self, buffer: Tensor, batch: int) -> Tensor | None:
        """The plane for one layer: [batch or 1, 1, r, r], or None for no noise.

        Args:
            buffer: The checkpoint's plane [1, 1, r, r]; gives size, device and dtype.
            batch: N of the pass.
        """
        if self.mode is NoiseMode.ZERO:
            return None
        if self.mode is NoiseMode.BUFFERS:
            return buffer
        return torch.randn((batch, *buffer.shape[1:]), generator=self._source).to(buffer)

    def state(self) -> Tensor:
        """The source's state, uint8 [K]: load it elsewhere to continue the same sequence."""
        return self._source.get_state()

    def load_state(self, state: Tensor) -> None:
        """Continues from a state that `state` returned."""
        self._source.set_state(state.cpu())


class PixelNorm(nn.Module):
    """Brings z to unit mean square; the first entry of the mapping network."""

    def forward(self, z: Tensor) -> Tensor:
        """[N, D] to [N, D]."""
        return ops.pixel_norm(z)


class EqualLinear(nn.Module):
    """A linear layer with run-time weight scaling.

    Args:
        inputs: Entries of the input.
        outputs: Entries of the output.
        bias: Initial bias.
        rate: Learning-rate multiplier; the stored weight is 1/rate times larger.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: float, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale = rate / math.sqrt(inputs)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs]."""
        return functional.linear(x, self.weight * self.scale, self.bias * self.rate)


class MappingLayer(EqualLinear):
    """One layer of the mapping network: linear, then activation."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size, bias=0.0, rate=MAPPING_RATE)

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] to [N, D]."""
        return ops.activate(super().forward(x))


class ConstantInput(nn.Module):
    """The learned 4x4 picture that every synthesis starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, batch: int) -> Tensor:
        """The input repeated: [batch, C, 4, 4]."""
        return self.input.expand(batch, -1, -1, -1)


class Blur(nn.Module):
    """Holder of the low-pass kernel under the name the checkpoint gives it."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", ops.fir_kernel(4.0))


class ModulatedConv(nn.Module):
    """A convolution whose input channels are scaled by one row of W+."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, style_dim: int, *, upsample: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style_dim, inputs, bias=1.0)
        self.blur = Blur() if upsample else None
        self.scale = 1.0 / math.sqrt(inputs * kernel * kernel)

    def style(self, row: Tensor) -> Tensor:
        """The scaled input factors [N, I] for one row of W+ [N, D]."""
        scaled: Tensor = self.modulation(row) * self.scale
        return scaled

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[N, I, H, W] to [N, O, H, W], or twice the size when it upsamples; not demodulated."""
        kernel = None if self.blur is None else self.blur.kernel
        return ops.modulated_conv(x, self.weight[0], style, kernel)


class NoiseInjection(nn.Module):
    """Holder of a layer's noise strength."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class ChannelBias(nn.Module):
    """Holder of the bias that precedes a layer's activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class StyledConv(nn.Module):
    """Modulated, demodulated 3x3 convolution, noise, bias, activation."""

    def __init__(
        self, inputs: int, outputs: int, style_dim: int, *, upsample: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style_dim, upsample=upsample)
        self.noise = NoiseInjection()
        self.activate = ChannelBias(outputs)

    def forward(
        self, x: Tensor, row: Tensor, plane: Tensor | None, shares: Tensor | None = None
    ) -> Tensor:
        """[N, I, H, W] with a row [N, D] and a noise plane to [N, O, H', W'].

        With shares [1, K, h, h] the row is [K, D], one for each part of the picture.
        """
        style = self.conv.style(row)
        factor = ops.demodulation(self.conv.weight[0], style)
        if shares is not None:
            side = x.shape[-1]
            style = ops.spread(style, shares, side)
            factor = ops.spread(factor, shares, side if self.conv.blur is None else 2 * side)
        noise = None if plane is None else plane * self.noise.weight
        return ops.finish(self.conv(x, style), factor, noise, self.activate.bias)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, added to the upsampled skip."""

    def __init__(self, channels: int, style_dim: int, *, upsample: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.upsample = Blur() if upsample else None
        self.conv = ModulatedConv(channels, 3, 1, style_dim)

    def forward(
        self, x: Tensor, row: Tensor, skip: Tensor | None, shares: Tensor | None = None
    ) -> Tensor:
        """[N, C, r, r], row [N, D] and skip [N, 3, r/2, r/2] or None to [N, 3, r, r].

        Shares as in `StyledConv`.
        """
        style = self.conv.style(row)
        if shares is not None:
            style = ops.spread(style, shares, x.shape[-1])
        rgb: Tensor = self.conv(x, style) + self.bias
        if skip is None or self.upsample is None:
            return rgb
        return rgb + ops.upsample_skip(skip, self.upsample.kernel)


class NoisePlanes(nn.Module):
    """The checkpoint's noise buffers `noise_0`, `noise_1`, ..; two per resolution, one for 4x4."""

    def __init__(self, count: int) -> None:
        super().__init__()
        for k in range(count):
            side = 2 ** ((k + 5) // 2)
            self.register_buffer(f"noise_{k}", torch.randn(1, 1, side, side))

    def __getitem__(self, k: int) -> Tensor:
        buffer: Tensor = getattr(self, f"noise_{k}")
        return buffer


class Generator(nn.Module):
    """StyleGAN2: z -> w, W+ -> picture, W+ -> F, (F, W+) -> picture.

    Args:
        geometry: Sizes and channels; FFHQ's is `Geometry.official()`.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        dim, channels = geometry.style_dim, [count for _, count in geometry.channels]
        self.style = nn.Sequential(
            PixelNorm(), *(MappingLayer(dim) for _ in range(geometry.mapping_layers))
        )
        self.input = ConstantInput(channels[0])
        self.conv1 = StyledConv(channels[0], channels[0], dim)
        self.to_rgb1 = ToRGB(channels[0], dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for below, here in pairwise(channels):
            self.convs.append(StyledConv(below, here, dim, upsample=True))
            self.convs.append(StyledConv(here, here, dim))
            self.to_rgbs.append(ToRGB(here, dim, upsample=True))
        self.noises = NoisePlanes(geometry.rows - 1)

    def map(self, z: Tensor) -> Tensor:
        """The mapping network: [N, D] to [N, D]."""
        w: Tensor = self.style(z)
        return w

    def synthesize(self, w_plus: Tensor, noise: Noise) -> Tensor:
        """The whole pass: W+ [N, L, D] to a signed, unclamped picture [N, 3, R, R]."""
        self._check(w_plus, self.geometry.rows)
        x, skip = self._first_block(w_plus, noise)
        for layer in range(1, self.geometry.last_layer + 1):
            x = self._convolve(layer, x, w_plus, noise)
            skip = self._to_rgb(layer, x, w_plus, skip)
        return skip

    def structure(self, w_plus: Tensor, noise: Noise, *, carry_skip: bool = False) -> Tensor:
        """The activation after the second convolution of F's layer: F [N, C, f, f].

        Args:
            w_plus: [N, L, D]; rows from `geometry.split_row` on may be missing, the first of them
                only without the skip.
            noise: Where the planes come from.
            carry_skip: Append the RGB of the layers up to F's: [N, C + 3, f, f].
        """
        self._check(w_plus, self.geometry.split_row + carry_skip)
        x = self._first_activation(w_plus, noise)
        skip = self.to_rgb1(x, w_plus[:, 1], None) if carry_skip else None
        for layer in range(1, self.geometry.f_layer + 1):
            x = self._convolve(layer, x, w_plus, noise)
            skip = self._to_rgb(layer, x, w_plus, skip) if carry_skip else None
        return x if skip is None else torch.cat([x, skip], dim=1)

    def render(
        self, f: Tensor, w_plus: Tensor, noise: Noise, shares: Tensor | None = None
    ) -> Tensor:
        """Continues from F: a signed, unclamped picture [N, 3, R, R].

        Args:
            f: [N, C, f, f], or [N, C + 3, f, f] with the RGB skip, as `structure` returns it.
            w_plus: [N, L, D]; only rows from `geometry.split_row` on have an influence. With
                shares [K, L, D], one code for each part of one picture.
            noise: Where the planes come from.
            shares: [1, K, h, h], what each part has of every place, summing to one; None when one
                code holds everywhere. Inside a part the picture is that of its code.
        """
        self._check(w_plus, self.geometry.rows)
        channels = self.geometry.f_channels
        x = f[:, :channels].contiguous(memory_format=torch.channels_last)
        skip: Tensor | None = f[:, channels:] if f.shape[1] > channels else None
        for layer in range(self.geometry.f_layer + 1, self.geometry.last_layer + 1):
            x = self._convolve(layer, x, w_plus, noise, shares)
            skip = self._to_rgb(layer, x, w_plus, skip, shares)
        assert skip is not None  # Geometry keeps F below the image size
        return skip

    def forward(self, w_plus: Tensor, noise: Noise) -> Tensor:
        """The whole pass, as `synthesize`."""
        return self.synthesize(w_plus, noise)

    def _check(self, w_plus: Tensor, rows: int) -> None:
        assert w_plus.ndim == 3 and w_plus.shape[1] >= rows, (
            f"W+ must be [N, {rows}, {self.geometry.style_dim}], not {tuple(w_plus.shape)}"
        )

    def _first_activation(self, w_plus: Tensor, noise: Noise) -> Tensor:
        batch = w_plus.shape[0]
        x = self.input(batch).contiguous(memory_format=torch.channels_last)
        first: Tensor = self.conv1(x, w_plus[:, 0], noise.plane(self.noises[0], batch))
        return first

    def _first_block(self, w_plus: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        x = self._first_activation(w_plus, noise)
        return x, self.to_rgb1(x, w_plus[:, 1], None)

    def _convolve(
        self, layer: int, x: Tensor, w_plus: Tensor, noise: Noise, shares: Tensor | None = None
    ) -> Tensor:
        """Both convolutions of a layer (1 is 8x8): rows 2*layer - 1 and 2*layer."""
        for row in (2 * layer - 1, 2 * layer):
            plane = noise.plane(self.noises[row], x.shape[0])
            x = self.convs[row - 1](x, w_plus[:, row], plane, shares)
        return x

    def _to_rgb(
        self,
        layer: int,
        x: Tensor,
        w_plus: Tensor,
        skip: Tensor | None,
        shares: Tensor | None = None,
    ) -> Tensor:
        """The layer's RGB: row 2*layer + 1, shared with the next layer's upsampling."""
        rgb: Tensor = self.to_rgbs[layer - 1](x, w_plus[:, 2 * layer + 1], skip, shares)
        return rgb
