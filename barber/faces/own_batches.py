"""Batches from pictures whose codes nobody knows: each picture's code is learnt beside the weights.

Source: generative latent optimisation (Bojanowski et al., 2018), our own arithmetic. What drawn
people give for nothing is made here: the picture of "A in the colours of B" is A with the mean and
spread of each region's colours moved to B's (Reinhard et al., 2001). So S learns to carry colours
and F shapes, as with drawn people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from barber.errors import CheckpointError
from barber.faces.batches import FaceBatch, mix
from barber.faces.own_pictures import OwnPictures
from barber.labels import REGION_COUNT, Region

UNSEEN_EVERY = 10  # each tenth picture is kept from the parser's training
_LOOK_SIDE = 16  # of the small pictures from which the first codes are taken
_TELLING = (Region.SKIN, Region.EYEGLASSES, Region.HAIR, Region.HAT)  # labels that help there
_LEAST_PIXELS = 12  # of a region, to speak of its colours
_SPREAD = (0.5, 2.0)  # limits to how far a region's contrast is changed
_SOFT_SHARE = 1 / 128  # of the side: how softly neighbouring regions meet when recoloured
_KNOWN_SEED = 900_001

Floats = NDArray[np.float32]


class Codes(nn.Module):
    """One latent code per picture, learnt; a checkpoint of other pictures is refused.

    Args:
        first: The codes to begin with, [M, D].
        digest: Of the pictures.
    """

    table: Tensor
    digest: Tensor

    def __init__(self, first: Floats, digest: str) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.from_numpy(first))
        self.register_buffer("digest", torch.tensor(list(bytes.fromhex(digest))))

    def forward(self, numbers: NDArray[np.intp]) -> Tensor:
        """[N, D] of the pictures by number."""
        return self.table[torch.from_numpy(numbers)]

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As any module's; raises CheckpointError for codes of other pictures."""
        if not torch.equal(state_dict["digest"], self.digest):
            raise CheckpointError(
                "the pictures are not those that this run was begun with: name another run folder"
            )
        return super().load_state_dict(state_dict, strict, assign)


class OwnSource:
    """Batches from a folder's pictures.

    Args:
        pictures: The folder's.
        style_dim: Entries of a code.
    """

    def __init__(self, pictures: OwnPictures, style_dim: int) -> None:
        self._pictures = pictures
        self.codes: Codes = Codes(first_codes(pictures, style_dim), pictures.digest)
        self._colours = [
            colours_of(image, labels)
            for image, labels in zip(pictures.images, pictures.label_maps, strict=True)
        ]
        everybody = np.arange(len(pictures))
        self._seen = everybody[everybody % UNSEEN_EVERY > 0]
        self._unseen = everybody[everybody % UNSEEN_EVERY == 0]

    def get(self, seed: int, number: int, count: int, side: int) -> FaceBatch:
        """As `Source.get`: people in their own colours and in those of others."""
        return self._mixed(np.random.default_rng([seed, number]), count, side, mixed=True)

    def known(self, number: int, count: int, side: int, *, mixed: bool) -> FaceBatch:
        """As `Source.known`: pictures that were learnt from, for no others have codes."""
        rng = np.random.default_rng([_KNOWN_SEED, number])
        return self._mixed(rng, count, side, mixed=mixed)

    def unseen(self, number: int, count: int, side: int) -> FaceBatch:
        """As `Source.unseen`; few pictures come again."""
        places = (number * count + np.arange(count)) % len(self._unseen)
        shape = self._unseen[places]
        return self._batch(shape, shape, shape, side)

    def _mixed(self, rng: np.random.Generator, count: int, side: int, *, mixed: bool) -> FaceBatch:
        shape = rng.choice(self._seen, count)
        scene, hair = shape.copy(), shape.copy()
        if mixed:
            mix(rng, scene, hair, lambda: rng.choice(self._seen, 2))
        return self._batch(shape, scene, hair, side)

    def _batch(
        self,
        shape: NDArray[np.intp],
        scene: NDArray[np.intp],
        hair: NDArray[np.intp],
        side: int,
    ) -> FaceBatch:
        pictures, colours = self._pictures, self._colours
        images, label_maps = [], []
        for a, b, c in zip(shape, scene, hair, strict=True):
            image, labels = pictures.images[a], pictures.label_maps[a]
            if not a == b == c:
                wanted = colours[b].copy()
                wanted[Region.HAIR] = colours[c][Region.HAIR]
                image = recolour(image, labels, colours[a], wanted)
            images.append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
            label_maps.append(cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST))
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return FaceBatch(
            shape_z=self.codes(shape),
            scene_z=self.codes(scene),
            hair_z=self.codes(hair),
            images=stacked.float() / 127.5 - 1.0,
            label_maps=torch.from_numpy(np.stack(label_maps).astype(np.int64)),
        )


def first_codes(pictures: OwnPictures, style_dim: int) -> Floats:
    """Codes [M, style_dim] of unit variance: the main directions in which small pictures differ.

    People who look alike begin with similar codes, and a normal code looks like somebody.
    """
    looks = np.stack(
        [
            _look(image, labels)
            for image, labels in zip(pictures.images, pictures.label_maps, strict=True)
        ]
    )
    looks -= looks.mean(axis=0)
    _, _, directions = np.linalg.svd(looks, full_matrices=False)
    found = looks @ directions[:style_dim].T
    codes: Floats = (found / (found.std(axis=0) + 1e-6)).astype(np.float32)
    return codes


def _look(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Floats:
    size = (_LOOK_SIDE, _LOOK_SIDE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    maps = [
        cv2.resize((labels == region).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        for region in _TELLING
    ]
    return np.concatenate([small.ravel(), *(each.ravel() for each in maps)])


def colours_of(image: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Floats:
    """Mean and standard deviation of each region's colours: [16, 2, 3]; nan where it is too small.

    Args:
        image: uint8 [H, W, 3].
        labels: [H, W].
    """
    found = np.full((REGION_COUNT, 2, 3), np.nan, np.float32)
    for region in Region:
        pixels = image[labels == region]
        if len(pixels) >= _LEAST_PIXELS:
            found[region] = pixels.mean(axis=0), pixels.std(axis=0)
    return found


def recolour(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], own: Floats, wanted: Floats
) -> NDArray[np.uint8]:
    """A picture with the colours of its regions moved to others; a region without a match stays.

    Args:
        image: uint8 [H, W, 3].
        labels: [H, W].
        own: The picture's colours, as of `colours_of`.
        wanted: The other's.

    Returns:
        uint8 [H, W, 3].
    """
    pixels = image.astype(np.float32)
    change = np.zeros_like(pixels)
    for region in Region:
        inside = labels == region
        (mean, spread), (to_mean, to_spread) = own[region], wanted[region]
        if not inside.any() or np.isnan(mean).any() or np.isnan(to_mean).any():
            continue
        gain = np.clip(to_spread / (spread + 1e-3), *_SPREAD)
        moved = (pixels - mean) * gain + to_mean - pixels
        weight = cv2.GaussianBlur(
            inside.astype(np.float32), (0, 0), max(_SOFT_SHARE * len(image), 0.5)
        )
        change += weight[..., None] * moved
    recoloured: NDArray[np.uint8] = np.clip(np.rint(pixels + change), 0, 255).astype(np.uint8)
    return recoloured
