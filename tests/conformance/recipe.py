"""The synthetic weights and inputs of the conformance vectors (vectors/README.md).

Every parameter of every network comes from a named pseudo-random stream, so no trained weight is
needed to compare an implementation with the public reference code.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from barber.losses.latent import PCAStatistics
from tests.conformance.vectors import VectorSet

Array = NDArray[np.float64]


class Recipe:
    """The streams of one vector folder, by its salt.

    Args:
        folder: A folder with manifest.json and the npz files.

    Raises:
        SetError: The folder holds no vector set.
    """

    def __init__(self, folder: Path) -> None:
        self.vectors = VectorSet(folder)
        self.salt = self.vectors.salt

    def u(self, name: str, shape: tuple[int, ...]) -> Array:
        """Uniform in [0, 1)."""
        seed = zlib.crc32(f"{self.salt}/{name}".encode())
        return np.random.Generator(np.random.PCG64(seed)).random(shape)

    def x(self, name: str, shape: tuple[int, ...]) -> Array:
        """Uniform with mean 0 and variance 1."""
        return math.sqrt(12) * (self.u(name, shape) - 0.5)

    def tensor(self, name: str, shape: tuple[int, ...], factor: float = 1.0) -> Tensor:
        """`x` times a factor, as a float32 tensor."""
        return float32(factor * self.x(name, shape))

    def array(self, file: str, name: str) -> NDArray[Any]:
        """A stored array."""
        return self.vectors.array(file, name)

    def fill(self, net: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict of a network with every entry replaced by the recipe's values."""
        rule = {"gen": self._gen, "seg": self._seg, "vgg": self._vgg, "lpips": self._lpips}[net]
        return {
            key: value if key.endswith("num_batches_tracked") else float32(rule(key, value))
            for key, value in state.items()
        }

    def pca(self, size: int = 512) -> PCAStatistics:
        """The statistics of w."""
        return PCAStatistics(
            mean=self.tensor("pca/X_mean", (size,), 0.3),
            components=self.tensor("pca/X_comp", (size, size), 1 / math.sqrt(size)),
            stdev=float32(0.5 + self.u("pca/X_stdev", (size,))),
        )

    def w_avg(self, size: int = 512) -> Tensor:
        """The mean latent [D]."""
        return self.tensor("gen/latent_avg", (size,), 0.3)

    def _gen(self, key: str, value: Tensor) -> Array:
        if key.endswith(".kernel"):
            taps = np.array([1.0, 3.0, 3.0, 1.0])
            return np.outer(taps, taps) / 16
        x = self.x(f"gen/{key}", tuple(value.shape))
        for pattern, low, factor in (
            (r"style\.\d+\.weight", 0, 100),
            (r"style\.\d+\.bias", 0, 10),
            (r".*\.modulation\.bias", 1, 0.1),
            (r".*\.modulation\.weight|input\.input|noises\..*", 0, 1),
            (r"to_rgb1\.conv\.weight|to_rgbs\.\d+\.conv\.weight", 0, 0.3),
            (r".*\.conv\.weight", 0, 1),
            (r".*\.noise\.weight|.*\.bias", 0, 0.1),
        ):
            if re.fullmatch(pattern, key):
                return low + factor * x
        raise KeyError(key)

    def _seg(self, key: str, value: Tensor) -> Array:
        shape = tuple(value.shape)
        if key == "conv_out.conv_out.weight":
            return self.array("seg_head.npz", "weight").astype(np.float64).reshape(shape)
        x = self.x(f"seg/{key}", shape)
        if value.ndim == 4:
            x = x * math.sqrt(2 / math.prod(shape[1:]))
            return x - x.mean(axis=1, keepdims=True) if "conv_out.weight" in key else x
        if key.endswith("running_var"):
            return 0.5 + self.u(f"seg/{key}", shape)
        return 0.1 * x if key.endswith(("running_mean", ".bias")) else 1 + 0.1 * x

    def _vgg(self, key: str, value: Tensor) -> Array:
        x = self.x(f"vgg/{key}", tuple(value.shape))
        return 0.1 * x if key.endswith(".bias") else x * math.sqrt(2 / (value.shape[1] * 9))

    def _lpips(self, key: str, value: Tensor) -> Array:
        return 0.2 * self.u(f"lpips/{key}", tuple(value.shape))

    def _grid(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The picture [64, 64, 3] and its ellipse [64, 64] before enlargement."""
        prefix = f"picture/{name}"
        coarse = np.floor(160 * self.u(f"{prefix}/coarse", (8, 8, 3))).astype(np.int64)
        fine = np.floor(64 * self.u(f"{prefix}/fine", (32, 32, 3))).astype(np.int64)
        colour = np.floor(160 * self.u(f"{prefix}/colour", (3,))).astype(np.int64)
        e = self.u(f"{prefix}/ellipse", (4,))
        cx, cy = 26 + int(12 * e[0]), 22 + int(16 * e[1])
        rx, ry = 12 + int(9 * e[2]), 12 + int(9 * e[3])
        column, row = np.arange(64)[None, :], np.arange(64)[:, None]
        inside = (column - cx) ** 2 * ry**2 + (row - cy) ** 2 * rx**2 <= rx**2 * ry**2
        detail = enlarge(fine, 64)
        checks = (column // 2 + row // 2) % 2
        within = np.minimum(255, colour + detail // 4 + 96 * checks[:, :, None])
        return np.where(inside[:, :, None], within, enlarge(coarse, 64) + detail), inside

    def picture(self, name: str, size: int = 64) -> NDArray[np.uint8]:
        """A picture with an ellipse, uint8 [size, size, 3]."""
        return enlarge(self._grid(name)[0], size).astype(np.uint8)

    def signed(self, name: str, size: int) -> Tensor:
        """The picture in [-1, 1], [1, 3, size, size]."""
        return float32(self.picture(name, size) / 255.0 * 2 - 1).permute(2, 0, 1)[None]

    def ellipse(self, name: str, size: int = 64) -> Tensor:
        """The picture's ellipse as a 0/1 mask [1, 1, size, size]."""
        return float32(enlarge(self._grid(name)[1], size))[None, None]


def enlarge(grid: NDArray[Any], size: int) -> NDArray[Any]:
    """Repeats each cell of a grid [g, g, ..] to [size, size, ..]."""
    times = size // grid.shape[0]
    return grid.repeat(times, axis=0).repeat(times, axis=1)


def float32(array: NDArray[Any]) -> Tensor:
    """A float32 tensor of the array's values."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
