"""Label maps of portraits with the face parser alone: what pre-flight needs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from barber.errors import CheckpointError
from barber.manifest import read_manifest
from barber.models.checkpoints import SEGMENTER_FILE, load_strict, read_tensors
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.pixels import Pixels
from barber.resample import photograph_to_parser


class PortraitParser:
    """A bundle's face parser on the CPU, without its other networks.

    Args:
        bundle: The bundle's folder.

    Raises:
        CheckpointError: The parser's file is missing, damaged or of another architecture.
    """

    def __init__(self, bundle: Path) -> None:
        manifest = read_manifest(bundle)
        if SEGMENTER_FILE not in manifest.files:
            raise CheckpointError(f"the manifest in {bundle} does not list {SEGMENTER_FILE}")
        self._geometry = manifest.geometry
        self._network = Segmenter(SegmenterWidths.from_json(manifest.segmenter))
        tensors = read_tensors(bundle / SEGMENTER_FILE, manifest.files[SEGMENTER_FILE])
        load_strict(self._network, tensors, SEGMENTER_FILE)
        self._network.requires_grad_(False).eval()

    def __call__(self, portraits: Sequence[Pixels]) -> list[NDArray[np.uint8]]:
        """The label map uint8 [h, h] of each portrait uint8 [R, R, 3]."""
        with torch.no_grad():
            unit = torch.tensor(np.stack(portraits)).permute(0, 3, 1, 2).float() / 255
            logits = self._network(photograph_to_parser(unit, self._geometry))
            maps = Segmenter.label_map(logits).to(torch.uint8)
        return list(maps.numpy())
