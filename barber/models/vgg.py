"""VGG16 features, shared by LPIPS and the style loss.

Source: method 9. Parameter names are those of torchvision's `vgg16().features`, so its state dict
loads once the classifier's entries are left out. Narrower networks have the same five blocks with
fewer channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional

from barber.errors import CheckpointError
from barber.manifest import Manifest


@dataclass(frozen=True, slots=True)
class VGGWidths:
    """Channels and convolutions of each block; the default is VGG16."""

    blocks: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))

    def __post_init__(self) -> None:
        if not self.blocks or any(c < 1 or count < 1 for c, count in self.blocks):
            raise CheckpointError(f"VGG blocks must be (channels, convolutions), not {self.blocks}")

    def to_json(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return {"blocks": [list(block) for block in self.blocks]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises CheckpointError when the manifest's entry cannot be read."""
        try:
            return cls(tuple((int(c), int(count)) for c, count in data["blocks"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the manifest's VGG widths cannot be read: {error}") from error


def has_imagenet(manifest: Manifest) -> bool:
    """Whether the bundle's features and heads were made of the public files that LPIPS names."""
    brought = {"vgg", "lpips"} <= manifest.origins.keys()
    return brought and VGGWidths.from_json(manifest.vgg) == VGGWidths()


class VGGFeatures(nn.Module):
    """The convolutional part of VGG16, read at the last ReLU of each block."""

    def __init__(self, widths: VGGWidths | None = None) -> None:
        super().__init__()
        self.widths = widths or VGGWidths()
        self.features = nn.ModuleDict(dict(self._convolutions()))
        self._blocks = self._numbering()

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each tap."""
        return tuple(c for c, _ in self.widths.blocks)

    def forward(self, x: Tensor, taps: int) -> list[Tensor]:
        """The first `taps` feature maps of x [N, 3, H, W], finest first; deeper blocks do not run.

        Tap k is [N, channels[k], H / 2**k, W / 2**k], after its ReLU, so never negative.
        """
        found = []
        # Plain layout, though channels-last is a little faster: it runs the reference's kernels,
        # and a ReLU or a pooling tie that falls the other way shows in the gradient.
        x = x.contiguous()
        for k, block in enumerate(self._blocks[:taps]):
            if k > 0:
                x = functional.max_pool2d(x, 2)
            for name in block:
                x = functional.relu(self.features[name](x))
            found.append(x)
        return found

    def _numbering(self) -> list[list[str]]:
        """Names of the convolutions per block; torchvision also counts each ReLU and pooling."""
        blocks, position = [], 0
        for _, count in self.widths.blocks:
            blocks.append([str(position + 2 * i) for i in range(count)])
            position += 2 * count + 1
        return blocks

    def _convolutions(self) -> Iterator[tuple[str, nn.Module]]:
        inputs = 3
        for names, (channels, _) in zip(self._numbering(), self.widths.blocks, strict=True):
            for name in names:
                yield name, nn.Conv2d(inputs, channels, 3, padding=1)
                inputs = channels
