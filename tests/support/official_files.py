"""Files of the public forms in official shapes; small, as most tensors repeat one value."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from barber.geometry import Geometry
from barber.labels import LabelSet
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator
from barber.models.vgg import VGGFeatures

GEOMETRY = Geometry.official(256, channel_multiplier=1)
LANDMARKS_HEAD = bytes.fromhex("010181888101")

State = dict[str, Tensor]


def entries(network: nn.Module, value: float = 0.01) -> State:
    """A network's entries, each one value that is stored once."""
    return {
        key: torch.tensor(0)
        if entry.dtype == torch.int64
        else torch.tensor(value).expand(entry.shape)
        for key, entry in network.state_dict().items()
    }


def generator_entries(geometry: Geometry = GEOMETRY) -> State:
    """A generator whose mapping network is random, so that w has statistics."""
    with torch.device("meta"):
        network = Generator(geometry)
    state = entries(network)
    source = torch.Generator().manual_seed(11)
    for key in [k for k in state if k.startswith("style.")]:
        state[key] = 100 * torch.randn(state[key].shape, generator=source)
    return state


def parser_entries(labels: LabelSet = LabelSet.REGIONS) -> State:
    """A face parser of official widths."""
    with torch.device("meta"):
        network = Segmenter(SegmenterWidths(labels=labels))
    return entries(network)


def vgg_entries() -> State:
    """VGG16's features."""
    with torch.device("meta"):
        network = VGGFeatures()
    return entries(network)


def save_generator(path: Path, state: State | None = None, **others: object) -> Path:
    """A checkpoint of the PyTorch port, with what a training run also keeps in it."""
    content = {"g_ema": state or generator_entries(), "latent_avg": torch.zeros(512), "d": {}}
    torch.save({**content, **others}, path)
    return path


def save(path: Path, content: object) -> Path:
    """A pickle."""
    torch.save(content, path)
    return path


def save_pca(path: Path, size: int = 512, **changes: np.ndarray) -> Path:
    """Statistics of some other generator."""
    arrays = {
        "X_mean": np.zeros(size, np.float32),
        "X_comp": np.eye(size),
        "X_stdev": np.linspace(5, 0.1, size),
        "X_var_ratio": np.ones(size),
    }
    np.savez(path, **{**arrays, **changes})
    return path


def save_landmarks(path: Path, points: int = 68) -> Path:
    """A shape predictor; a trained one where dlib is there to tell the difference."""
    if importlib.util.find_spec("dlib") is None:
        path.write_bytes(LANDMARKS_HEAD + bytes(1000))
        return path
    dlib = importlib.import_module("dlib")
    options = dlib.shape_predictor_training_options()
    options.tree_depth = options.cascade_depth = options.num_trees_per_cascade_level = 1
    options.feature_pool_size, options.num_test_splits = 10, 1
    picture, box = np.zeros((64, 64), np.uint8), dlib.rectangle(4, 4, 60, 60)
    parts = dlib.points([dlib.point(8 + k % 9 * 5, 8 + k // 9 * 5) for k in range(points)])
    face = dlib.full_object_detection(box, parts)
    dlib.train_shape_predictor([picture] * 2, [[face]] * 2, options).save(str(path))
    return path
