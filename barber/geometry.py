"""The sizes of a bundle: every shape of the method follows from these few numbers.

Source: method sections 5.1, 5.5 and 15. FFHQ: image 1024, labels 512, loss 256, F 32x32x512.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from barber.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The sizes of a bundle. All resolutions are powers of two, in pixels of a square."""

    image_size: int  # R, side of portraits and results
    style_dim: int  # D, entries of one row of W+
    mapping_layers: int  # fully connected layers from z to w
    channels: tuple[tuple[int, int], ...]  # (resolution, feature channels) for 4, 8, .., image_size
    f_size: int  # side of the structure tensor F
    label_size: int  # side of label maps and parser input
    loss_size: int  # side of the pictures that LPIPS, style and morphology see

    def __post_init__(self) -> None:
        counts = (self.style_dim, self.mapping_layers, *(count for _, count in self.channels))
        if any(not isinstance(count, int) or count < 1 for count in counts):
            raise CheckpointError(f"geometry counts must be whole numbers from 1 up, not {counts}")
        sizes = (self.image_size, self.f_size, self.label_size, self.loss_size)
        if any(s < 4 or s & (s - 1) for s in sizes):
            raise CheckpointError(f"geometry sizes must be powers of two from 4 up, not {sizes}")
        if not 8 <= self.f_size < self.image_size:
            raise CheckpointError(
                f"F is {self.f_size} wide: it must lie from 8 up to below {self.image_size}"
            )
        if self.loss_size > self.image_size:
            raise CheckpointError(
                f"loss size {self.loss_size} exceeds the image size {self.image_size}"
            )
        expected = tuple(2**i for i in range(2, self.log2_size + 1))
        if tuple(size for size, _ in self.channels) != expected:
            raise CheckpointError(f"channels must be given for resolutions {expected}")

    @classmethod
    def official(cls, image_size: int = 1024, *, channel_multiplier: int = 2) -> Self:
        """The geometry of the public StyleGAN2 port at 256, 512 or 1024 (method 5.1, 15)."""
        wide = {4: 512, 8: 512, 16: 512, 32: 512} | {
            size: 16 * channel_multiplier * 1024 // size for size in (64, 128, 256, 512, 1024)
        }
        return cls(
            image_size=image_size,
            style_dim=512,
            mapping_layers=8,
            channels=tuple((size, c) for size, c in wide.items() if size <= image_size),
            f_size=32,
            label_size=512,
            loss_size=256,
        )

    @property
    def log2_size(self) -> int:
        return self.image_size.bit_length() - 1

    @property
    def rows(self) -> int:
        """L, rows of W+."""
        return 2 * self.log2_size - 2

    @property
    def f_layer(self) -> int:
        """Index of the layer whose activation is F (0 is the 4x4 block)."""
        return self.f_size.bit_length() - 3

    @property
    def last_layer(self) -> int:
        return self.log2_size - 2

    @property
    def split_row(self) -> int:
        """Rows of W+ below this one make F; rows from it on are S (7 for FFHQ)."""
        return 2 * self.f_layer + 1

    @property
    def align_rows(self) -> int:
        """Rows that the target mask and alignment optimise: one less than F needs (method 14.5)."""
        return self.split_row - 1

    @property
    def f_channels(self) -> int:
        return self.channels_at(self.f_size)

    def channels_at(self, size: int) -> int:
        return dict(self.channels)[size]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Raises CheckpointError when a field is missing, surplus or out of range."""
        try:
            return cls(**{**data, "channels": tuple((int(s), int(c)) for s, c in data["channels"])})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the manifest's geometry cannot be read: {error}") from error
