"""What flows between the stages: frozen values that turn themselves into bytes and back.

The bytes are safetensors with one metadata entry of JSON: equal values give equal bytes, and
nothing in them can run code. N is 1 in every stored artifact.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from barber.errors import StoreError
from barber.labels import COLOURS, REGION_COUNT, Region
from barber.plan import StageKind
from barber.spec import PortraitKey

Pixels = NDArray[np.uint8]  # [H, W, 3] RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """A picture, cropped and aligned, at the bundle's size."""

    sha256: PortraitKey  # digest of the pixels, see `pixels.portrait_key`
    pixels: Pixels  # uint8 [R, R, 3]
    label_map: NDArray[np.uint8] | None = None  # its own, [h, h] at the label size; else parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class FSCode:
    """A code in FS space. Rows of `s` below the split are carried along, without influence."""

    f: Tensor  # float32 [N, C, side, side], the structure tensor; with the RGB skip [N, C + 3, ..]
    s: Tensor  # float32 [N, L, D]; [P, L, D] where parts of one picture have their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """A portrait as codes (method 10)."""

    kind: ClassVar[StageKind] = StageKind.RECONSTRUCT
    w_plus: Tensor  # float32 [N, L, D]
    fs: FSCode
    preview: Pixels  # uint8 [R, R, 3], the last pass rendered from `fs`
    losses: Mapping[str, float] = field(default_factory=dict)  # of the last pass, by name

    def to_bytes(self) -> bytes:
        return pack(
            {
                "w_plus": self.w_plus,
                "f": self.fs.f,
                "s": self.fs.s,
                "preview": torch.from_numpy(self.preview),
            },
            {"losses": self.losses},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        t, meta = unpack(data)
        return cls(
            w_plus=t["w_plus"],
            fs=FSCode(f=t["f"], s=t["s"]),
            preview=t["preview"].numpy(),
            losses=meta["losses"],
        )

    def pictures(self) -> dict[str, Pixels]:
        return {"preview": self.preview}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMask:
    """The label map that alignment works towards, and the masks of the F mix (method 11)."""

    kind: ClassVar[StageKind] = StageKind.TARGET
    label_map: Tensor  # int64 [N, H, W], values 0..15
    removed: Tensor  # bool [N, 1, H, W]: the identity shows a label that some region replaces
    shown: Tensor  # bool [N, K, H, W]: channel r is where the source of region r shows its labels
    losses: Mapping[str, float] = field(default_factory=dict)

    def region(self, *labels: Region) -> Tensor:
        """Bool [N, 1, H, W]: where the target mask shows one of `labels`."""
        wanted = torch.tensor([int(x) for x in labels], device=self.label_map.device)
        return torch.isin(self.label_map, wanted)[:, None]

    def to_bytes(self) -> bytes:
        return pack(
            {
                "label_map": self.label_map.to(torch.uint8),
                "removed": self.removed,
                "shown": self.shown,
            },
            {"losses": self.losses},
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        t, meta = unpack(data)
        return cls(
            label_map=t["label_map"].long(),
            removed=t["removed"],
            shown=t["shown"],
            losses=meta["losses"],
        )

    def pictures(self) -> dict[str, Pixels]:
        return {"mask": colour_labels(self.label_map[0].cpu().numpy())}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """One portrait's structure tensor after alignment to a target mask (method 12.1, 12.2)."""

    kind: ClassVar[StageKind] = StageKind.ALIGN
    f: Tensor  # float32 [N, C or C + 3, side, side] as in the reconstruction, before the mix
    preview: Pixels  # uint8 [R, R, 3], the last pass
    losses: Mapping[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        tensors = {"f": self.f, "preview": torch.from_numpy(self.preview)}
        return pack(tensors, {"losses": self.losses})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        t, meta = unpack(data)
        return cls(f=t["f"], preview=t["preview"].numpy(), losses=meta["losses"])

    def pictures(self) -> dict[str, Pixels]:
        return {"preview": self.preview}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """The composite (method 13, 16.3)."""

    kind: ClassVar[StageKind] = StageKind.BLEND
    image: Pixels  # uint8 [R, R, 3]
    fs: FSCode
    # u per portrait, identity first, float32 [L, D]; sum 1, or each in its own part of the picture.
    weights: Mapping[PortraitKey, Tensor]
    shares: Tensor | None = None  # float32 [1, P, H, W]: of each S at every place; None for one S
    losses: Mapping[str, float] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()  # loss terms left out because their mask was empty

    def to_bytes(self) -> bytes:
        names = list(self.weights)
        tensors = {"image": torch.from_numpy(self.image), "f": self.fs.f, "s": self.fs.s}
        tensors |= {f"weights.{i}": self.weights[name] for i, name in enumerate(names)}
        if self.shares is not None:
            tensors["shares"] = self.shares
        meta = {"losses": self.losses, "weights": names, "dropped": list(self.dropped)}
        return pack(tensors, meta)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        t, meta = unpack(data)
        weights = {PortraitKey(n): t[f"weights.{i}"] for i, n in enumerate(meta["weights"])}
        return cls(
            image=t["image"].numpy(),
            fs=FSCode(f=t["f"], s=t["s"]),
            weights=weights,
            shares=t.get("shares"),
            losses=meta["losses"],
            dropped=tuple(meta["dropped"]),
        )

    def pictures(self) -> dict[str, Pixels]:
        return {"image": self.image}


Artifact = Reconstruction | TargetMask | Alignment | Blend
ARTIFACTS: dict[
    StageKind, type[Reconstruction] | type[TargetMask] | type[Alignment] | type[Blend]
] = {c.kind: c for c in (Reconstruction, TargetMask, Alignment, Blend)}


def numbers(artifact: Artifact) -> dict[str, Tensor | float]:
    """Every tensor and loss of an artifact, by a dotted name."""
    return dict(_numbers("", artifact))


def _numbers(name: str, value: object) -> Iterator[tuple[str, Tensor | float]]:
    if isinstance(value, Tensor | float):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(f"{name}.{key}", item)
    elif is_dataclass(value) and not isinstance(value, type):
        for f in fields(value):
            yield from _numbers(f"{name}.{f.name}".lstrip("."), getattr(value, f.name))


def colour_labels(label_map: NDArray[Any]) -> Pixels:
    """A label map [H, W] of 0..15 as RGB in the official colours."""
    palette = np.array([COLOURS[Region(i)] for i in range(REGION_COUNT)], dtype=np.uint8)
    colours: Pixels = palette[label_map]
    return colours


def pack(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Tensors by name and plain JSON data; equal values give equal bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry only: the header's order of several entries is not deterministic.
    return save_tensors(plain, metadata={"barber": json.dumps(meta, sort_keys=True)})


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `pack` was given. Raises StoreError when the bytes are not its."""
    try:
        tensors = load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return tensors, json.loads(header["__metadata__"]["barber"])
    except Exception as error:
        raise StoreError(f"the artifact's bytes cannot be read: {error}") from error
