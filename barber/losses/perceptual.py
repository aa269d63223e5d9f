"""LPIPS, whole and masked.

Source: method 9.1 and 9.2; equal to the `lpips` package (net="vgg", version 0.1), which brings the
weights of the heads and is not imported: it loads torchvision whole, and with it torch's compiler,
which takes longer than torch itself. Features of a fixed target are computed once, by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from barber.errors import CheckpointError, StageError
from barber.models.vgg import VGGFeatures

MASKED_TAPS = 3  # the masked form reads the three finest feature maps only
EPSILON = 1e-10
# Of signed pictures: the mean and spread of the photographs that VGG was trained on.
MEANS, SPREADS = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# Below every non-zero squared length that occurs; keeps the root's derivative finite at zero.
SMALLEST_SQUARE = 1e-30


def unit_length(features: Tensor) -> Tensor:
    """Each position's feature vector over its length plus 1e-10: [N, C, H, W] to the same."""
    length = features.square().sum(dim=1, keepdim=True).clamp_min(SMALLEST_SQUARE).sqrt()
    return features / (length + EPSILON)


def mask_levels(mask: Tensor, count: int) -> list[Tensor]:
    """The mask [N, 1, H, W] at H, H/2, H/4, .. by picking every second pixel of the one before."""
    levels = [mask]
    while len(levels) < count:
        levels.append(levels[-1][:, :, ::2, ::2])
    return levels


def is_empty(mask: Tensor) -> bool:
    """Whether the mask vanishes, for some sample, at a size that `Perceptual.masked` needs."""
    return any(bool((m.sum(dim=(1, 2, 3)) == 0).any()) for m in mask_levels(mask, MASKED_TAPS))


class Scaling(nn.Module):
    """A signed picture [N, 3, H, W] as VGG was trained to see one."""

    def __init__(self) -> None:
        super().__init__()
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", torch.tensor(MEANS)[None, :, None, None])
        self.register_buffer("scale", torch.tensor(SPREADS)[None, :, None, None])

    def forward(self, image: Tensor) -> Tensor:
        return (image - self.shift) / self.scale


class Head(nn.Module):
    """A weight for each channel: squared differences [N, C, h, w] to [N, 1, h, w]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The entry is called `model.1.weight`: in training a dropout stood before it.
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))

    def forward(self, square: Tensor) -> Tensor:
        weighted: Tensor = self.model(square)
        return weighted


class Perceptual(nn.Module):
    """The perceptual distance between signed pictures at loss size.

    Args:
        vgg: The features; shared with the style loss.
        heads: State dict of the linear heads, `lin{k}.model.1.weight` [1, channels[k], 1, 1].

    Raises:
        CheckpointError: A head is missing, surplus or of another width.
    """

    def __init__(self, vgg: VGGFeatures, heads: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.vgg = vgg
        self.scaling = Scaling()
        self.heads = nn.ModuleDict({f"lin{k}": Head(c) for k, c in enumerate(vgg.channels)})
        try:
            self.heads.load_state_dict(dict(heads))
        except RuntimeError as error:
            raise CheckpointError(
                f"the LPIPS heads do not fit the VGG features: {error}"
            ) from error
        self.eval()

    @property
    def taps(self) -> int:
        """How many feature maps the whole distance reads."""
        return len(self.heads)

    def features(self, image: Tensor, taps: int | None = None) -> list[Tensor]:
        """Unit-length features of a signed picture [N, 3, H, W], finest first.

        Args:
            image: The picture.
            taps: How many maps; all by default, `MASKED_TAPS` are enough for `masked`.
        """
        wanted = self.taps if taps is None else taps
        return [unit_length(f) for f in self.vgg(self.scaling(image), wanted)]

    def distance(self, image: Tensor, target: Sequence[Tensor]) -> Tensor:
        """LPIPS [N] between a signed picture [N, 3, H, W] and a target's features (all taps)."""
        own = self.features(image)
        return torch.stack(
            [self._spread(k, own[k], target[k]).mean(dim=(1, 2, 3)) for k in range(self.taps)]
        ).sum(dim=0)

    def masked(self, image: Tensor, target: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Masked LPIPS [N] of a signed picture [N, 3, H, W]; see `masked_between`."""
        own = self.features(image, min(MASKED_TAPS, self.taps))
        return self.masked_between(own, target, mask)

    def masked_between(
        self, own: Sequence[Tensor], target: Sequence[Tensor], mask: Tensor
    ) -> Tensor:
        """Masked LPIPS [N]: the features are of the whole picture, the mean is over the mask.

        Args:
            own: The picture's features, at least the first three taps; several masks share them.
            target: The target's features, likewise.
            mask: {0, 1} float [N, 1, H, W].

        Raises:
            StageError: The mask has no pixel left at one of the three sizes.
        """
        total = torch.zeros(mask.shape[0], dtype=mask.dtype, device=mask.device)
        for k, level in enumerate(mask_levels(mask, min(MASKED_TAPS, self.taps))):
            area = level.sum(dim=(1, 2, 3))
            if bool((area == 0).any()):
                raise StageError(
                    f"the blend mask has no pixel at {level.shape[-1]}x{level.shape[-1]}: "
                    "erode it by fewer steps or leave its region out",
                    stage="blend",
                )
            total = total + (self._spread(k, own[k], target[k]) * level).sum(dim=(1, 2, 3)) / area
        return total

    def _spread(self, k: int, own: Tensor, target: Tensor) -> Tensor:
        """The head's weighted squared difference per position, [N, 1, h, w]."""
        weighted: Tensor = self.heads[f"lin{k}"]((own - target).square())
        return weighted
