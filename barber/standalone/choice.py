"""What was picked by thumbnail, as rows: every face with every style, like a table's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Self

from barber.errors import InputError
from barber.labels import parse_region
from barber.looks import Look, Slot, check_picked, find_look, matrix, matrix_size
from barber.manifest import Manifest
from barber.spec import (
    JobSpec,
    NoiseMode,
    PortraitKey,
    RegionEdit,
    apply_settings,
    default_preset,
    preset_params,
)
from barber.table_rows import PlannedRow, RowError

MOST_JOBS = 10_000
BY_HAND = "regions"  # the look of experts: regions by name


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedRegion:
    """One region by name; without a portrait it is the face's own."""

    region: str
    shape: PortraitKey | None = None
    colour: PortraitKey | None = None  # as the shape when None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Faces, a look with what fills its slots, and how it is made."""

    faces: tuple[PortraitKey, ...]
    look: str  # a word of `looks.LOOKS`, or `BY_HAND`
    picked: Mapping[Slot, tuple[PortraitKey, ...]]
    regions: tuple[PickedRegion, ...] = ()
    preset: str | None = None
    settings: tuple[str, ...] = ()
    noise: NoiseMode = NoiseMode.FRESH
    seed: int = 0
    priority: int = 0

    @property
    def portraits(self) -> set[PortraitKey]:
        """Every portrait that was picked."""
        by_hand = (key for each in self.regions for key in (each.shape, each.colour) if key)
        return {*self.faces, *by_hand, *(key for keys in self.picked.values() for key in keys)}

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "choice",
            "faces": list(self.faces),
            "look": self.look,
            "picked": {str(slot): list(keys) for slot, keys in self.picked.items()},
            "regions": [
                {"region": each.region, "shape": each.shape, "colour": each.colour}
                for each in self.regions
            ],
            "preset": self.preset,
            "set": list(self.settings),
            "noise": str(self.noise),
            "seed": self.seed,
            "priority": self.priority,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` made."""
        return cls(
            faces=tuple(PortraitKey(key) for key in data["faces"]),
            look=data["look"],
            picked={
                Slot(slot): tuple(PortraitKey(key) for key in keys)
                for slot, keys in data["picked"].items()
            },
            regions=tuple(
                PickedRegion(
                    region=each["region"],
                    shape=PortraitKey(each["shape"]) if each["shape"] else None,
                    colour=PortraitKey(each["colour"]) if each["colour"] else None,
                )
                for each in data["regions"]
            ),
            preset=data["preset"],
            settings=tuple(data["set"]),
            noise=NoiseMode(data["noise"]),
            seed=data["seed"],
            priority=data["priority"],
        )


def check_choice(choice: Choice, manifest: Manifest) -> None:
    """Raises InputError for what can be told before anything is looked at."""
    if not choice.faces:
        raise InputError("nobody is picked to be changed: pick at least one face")
    _params(choice, manifest)
    if choice.look == BY_HAND:
        if not choice.regions:
            raise InputError("no region is named: name at least one, such as lips")
        for each in choice.regions:
            parse_region(each.region)
        return
    look = find_look(choice.look)
    check_picked(look, choice.picked)
    count = matrix_size(choice.faces, look, choice.picked)
    if count > MOST_JOBS:
        raise InputError(f"that would be {count:,} jobs: pick for at most {MOST_JOBS:,} at once")


def choice_rows(
    choice: Choice, manifest: Manifest, names: Mapping[PortraitKey, str]
) -> Iterator[PlannedRow | RowError]:
    """The rows of a choice; a portrait that nobody knows refuses its row.

    Raises:
        InputError: The choice as a whole cannot be used.
    """
    check_choice(choice, manifest)
    params = _params(choice, manifest)
    taken: dict[str, int] = {}
    for line, (face, others, regions) in enumerate(_pairs(choice), 1):
        name = _name([face, *others], names, taken)
        unknown = next((key for key in (face, *others) if key not in names), None)
        if unknown is not None:
            reason = f"portrait {unknown[:12]} is not known: send its picture first"
            yield RowError(line=line, name=name, reason=reason)
            continue
        spec = JobSpec(
            identity=face,
            regions=regions,
            bundle=manifest.digest,
            params=params,
            noise=choice.noise,
            seed=choice.seed,
        )
        yield PlannedRow(line=line, name=name, spec=spec, priority=choice.priority)


def _params(choice: Choice, manifest: Manifest) -> Any:
    preset = choice.preset or default_preset(manifest.presets)
    return apply_settings(preset_params(preset, manifest.presets), choice.settings)


def _pairs(
    choice: Choice,
) -> Iterator[tuple[PortraitKey, tuple[PortraitKey, ...], tuple[RegionEdit, ...]]]:
    """Each face with the portraits that change it, and how."""
    if choice.look == BY_HAND:
        for face in choice.faces:
            regions = tuple(_by_hand(each, face) for each in choice.regions)
            givers = [key for each in regions for key in (each.structure, each.appearance)]
            yield face, tuple(key for key in dict.fromkeys(givers) if key != face), regions
        return
    look: Look = find_look(choice.look)
    for face, picked in matrix(choice.faces, look, choice.picked):
        others = tuple(key for key in dict.fromkeys(picked.values()) if key != face)
        yield face, others, look.regions(face, picked)


def _by_hand(each: PickedRegion, face: PortraitKey) -> RegionEdit:
    area = parse_region(each.region)
    shape = each.shape or face
    return RegionEdit(
        labels=area.labels,
        zone=area.zone,
        structure=shape,
        appearance=each.colour or shape,
    )


def _name(
    keys: Sequence[PortraitKey], names: Mapping[PortraitKey, str], taken: dict[str, int]
) -> str:
    """The files' names, joined; a number behind the second of the same."""
    stems = [PurePath(names.get(key, key[:12])).stem for key in keys]
    name = " × ".join(stem[:60] for stem in stems)
    taken[name] = taken.get(name, 0) + 1
    return name if taken[name] == 1 else f"{name} ({taken[name]})"
