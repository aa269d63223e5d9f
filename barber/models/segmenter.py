"""The face parser: a bilateral segmentation network with a ResNet-18 trunk and 16 labels.

Source: method 8. Parameter names are those of the official `seg.pth` (191 entries at the default
widths), so it loads strictly. The two auxiliary heads exist for that and for training; inference
uses the first head only. Narrower networks, and a stem that keeps more resolution, come from
`SegmenterWidths`; so does the label set. The 19-class state dict of the CelebAMask-HQ parsers has
the same entries, only wider heads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from barber.errors import CheckpointError
from barber.labels import LabelSet, Region, class_labels

# ImageNet statistics of unit RGB, with which the trunk was trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class SegmenterWidths:
    """Channels, stem and classes of the network; the default is the official one."""

    trunk: tuple[int, int, int, int] = (64, 128, 256, 512)  # of layer1 .. layer4; the stem's is [0]
    context: int = 128  # of the context path
    fusion: int = 256  # of the fused features
    fusion_mid: int = 64  # inside the fusion's attention
    head: int = 256  # inside the first head
    aux_head: int = 64  # inside the two auxiliary heads
    stem_kernel: int = 7  # odd
    stem_stride: int = 2
    pool: bool = True  # whether the stem halves once more
    labels: LabelSet = LabelSet.REGIONS  # what the classes of the weights are

    def __post_init__(self) -> None:
        counts = (*self.trunk, self.context, self.fusion, self.fusion_mid, self.head, self.aux_head)
        if len(self.trunk) != 4 or min(counts) < 1:
            raise CheckpointError(f"segmenter widths must be four trunk and five others: {self}")
        if self.stem_kernel % 2 == 0 or self.stem_stride not in (1, 2):
            raise CheckpointError(
                f"segmenter stem must have an odd kernel and stride 1 or 2, not "
                f"{self.stem_kernel} and {self.stem_stride}"
            )

    @property
    def reduction(self) -> int:
        """The factor from the input to the coarsest features; inputs must be multiples of it."""
        return self.stem_stride * (2 if self.pool else 1) * 8

    def to_json(self) -> dict[str, Any]:
        """Plain data for a manifest."""
        return asdict(self) | {"trunk": list(self.trunk)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises CheckpointError when the manifest's entry cannot be read."""
        try:
            labels = LabelSet(data.get("labels", LabelSet.REGIONS))
            trunk = tuple(int(c) for c in data["trunk"])
            return cls(**{**data, "trunk": trunk, "labels": labels})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the manifest's segmenter widths cannot be read: {error}"
            ) from error


def _average(x: Tensor) -> Tensor:
    """The mean over all positions, [N, C, 1, 1]."""
    return x.mean(dim=(2, 3), keepdim=True)


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] to [N, O, H, W]."""
        return functional.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] to [N, O, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNetTrunk(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self, widths: SegmenterWidths) -> None:
        super().__init__()
        first, second, third, fourth = widths.trunk
        self.conv1 = nn.Conv2d(
            3,
            first,
            widths.stem_kernel,
            stride=widths.stem_stride,
            padding=widths.stem_kernel // 2,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(first)
        self.pool = widths.pool
        self.layer1 = nn.Sequential(BasicBlock(first, first, 1), BasicBlock(first, first, 1))
        self.layer2 = nn.Sequential(BasicBlock(first, second, 2), BasicBlock(second, second, 1))
        self.layer3 = nn.Sequential(BasicBlock(second, third, 2), BasicBlock(third, third, 1))
        self.layer4 = nn.Sequential(BasicBlock(third, fourth, 2), BasicBlock(fourth, fourth, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The features of layer2, layer3 and layer4: 1/8, 1/16, 1/32 at the default stem."""
        x = functional.relu(self.bn1(self.conv1(x)))
        if self.pool:
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        fine = self.layer2(self.layer1(x))
        middle = self.layer3(fine)
        return fine, middle, self.layer4(middle)


class AttentionRefinement(nn.Module):
    """Features weighted per channel by what they are on average."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, H, W] to [N, O, H, W]."""
        features: Tensor = self.conv(x)
        attention = self.bn_atten(self.conv_atten(_average(features)))
        return features * torch.sigmoid(attention)


class ContextPath(nn.Module):
    """Trunk features brought together from coarse to fine."""

    def __init__(self, widths: SegmenterWidths) -> None:
        super().__init__()
        _, _, middle, coarse = widths.trunk
        self.resnet = ResNetTrunk(widths)
        self.arm16 = AttentionRefinement(middle, widths.context)
        self.arm32 = AttentionRefinement(coarse, widths.context)
        self.conv_head32 = ConvNormReLU(widths.context, widths.context, 3)
        self.conv_head16 = ConvNormReLU(widths.context, widths.context, 3)
        self.conv_avg = ConvNormReLU(coarse, widths.context, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The fine trunk features, the context at their size, and the context at half of it."""
        fine, middle, coarse = self.resnet(x)
        summed32 = self.arm32(coarse) + self.conv_avg(_average(coarse))
        context16 = self.conv_head32(functional.interpolate(summed32, size=middle.shape[2:]))
        summed16 = self.arm16(middle) + context16
        context8 = self.conv_head16(functional.interpolate(summed16, size=fine.shape[2:]))
        return fine, context8, context16


class FeatureFusion(nn.Module):
    """Fine features and context joined, then weighted per channel."""

    def __init__(self, inputs: int, outputs: int, mid: int) -> None:
        super().__init__()
        self.convblk = ConvNormReLU(inputs, outputs, 1)
        self.conv1 = nn.Conv2d(outputs, mid, 1, bias=False)
        self.conv2 = nn.Conv2d(mid, outputs, 1, bias=False)

    def forward(self, fine: Tensor, context: Tensor) -> Tensor:
        """Two maps of one size to [N, O, H, W]."""
        features: Tensor = self.convblk(torch.cat([fine, context], dim=1))
        attention = self.conv2(functional.relu(self.conv1(_average(features))))
        return features + features * torch.sigmoid(attention)


class LabelHead(nn.Module):
    """Features to logits of the weights' own classes, at the features' size."""

    def __init__(self, inputs: int, mid: int, classes: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(inputs, mid, 3)
        self.conv_out = nn.Conv2d(mid, classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, I, h, w] to [N, classes, h, w]."""
        logits: Tensor = self.conv_out(self.conv(x))
        return logits


def merge_classes(logits: Tensor, labels: LabelSet) -> Tensor:
    """Logits of a parser's own classes [N, K, H, W] as label logits [N, 16, H, W].

    The classes of one region, a left and a right eye, join by log-sum-exp. So the softmax of the
    result gives the region exactly the sum of its classes' probabilities, and the other regions
    what they had; the maximum of the two would take from the region where both are likely.
    """
    if labels is LabelSet.REGIONS:
        return logits
    classes: dict[Region, list[Tensor]] = {region: [] for region in Region}
    for region, channel in zip(class_labels(labels), logits.unbind(dim=1), strict=True):
        classes[region].append(channel)
    return torch.stack([reduce(torch.logaddexp, classes[region]) for region in Region], dim=1)


class Segmenter(nn.Module):
    """Picture to label logits; differentiable, its own parameters frozen by the bundle."""

    def __init__(self, widths: SegmenterWidths | None = None) -> None:
        super().__init__()
        self.widths = widths = widths or SegmenterWidths()
        self.cp = ContextPath(widths)
        self.ffm = FeatureFusion(widths.trunk[1] + widths.context, widths.fusion, widths.fusion_mid)
        classes = len(class_labels(widths.labels))
        self.conv_out = LabelHead(widths.fusion, widths.head, classes)
        self.conv_out16 = LabelHead(widths.context, widths.aux_head, classes)
        self.conv_out32 = LabelHead(widths.context, widths.aux_head, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, 16, H, W] of a normalised picture [N, 3, H, W]."""
        fine, context8, _ = self.cp(x.contiguous(memory_format=torch.channels_last))
        return self._enlarge(self.conv_out(self.ffm(fine, context8)), x)

    def all_logits(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of all three heads, each [N, 16, H, W]; for training."""
        fine, context8, context16 = self.cp(x.contiguous(memory_format=torch.channels_last))
        return (
            self._enlarge(self.conv_out(self.ffm(fine, context8)), x),
            self._enlarge(self.conv_out16(context8), x),
            self._enlarge(self.conv_out32(context16), x),
        )

    @staticmethod
    def normalise(unit: Tensor) -> Tensor:
        """Unit RGB [N, 3, H, W] as the parser wants it: minus mean, over standard deviation."""
        mean = unit.new_tensor(MEAN)[None, :, None, None]
        std = unit.new_tensor(STD)[None, :, None, None]
        return (unit - mean) / std

    @staticmethod
    def label_map(logits: Tensor) -> Tensor:
        """The most likely label per pixel: int64 [N, H, W]; the lowest index wins ties."""
        return logits.argmax(dim=1)

    def _enlarge(self, logits: Tensor, like: Tensor) -> Tensor:
        # align_corners as in the official network; unlike everywhere else in the method
        enlarged = functional.interpolate(
            logits, size=like.shape[2:], mode="bilinear", align_corners=True
        )
        return merge_classes(enlarged, self.widths.labels)
