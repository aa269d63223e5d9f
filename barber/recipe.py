"""How a result was made, and can be made again: the recipe that its PNG carries. No torch.

A recipe holds only what its picture follows from or what came out of it: no time, no name of a
person, file or worker, no path. So equal work gives equal files. Where the portraits came from
(file names, digests, crops) and which job it was stands in the JSON file beside the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from barber.errors import InputError
from barber.plan import METHOD_VERSION, ArtifactKey, PlannedStage, StageKind, plan
from barber.spec import JobSpec, PortraitKey, StageParams

RECIPE_VERSION = 1
Environment = Mapping[str, str]  # versions, device and settings that bytes depend on, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What one stage came to."""

    kind: StageKind
    slot: int
    key: ArtifactKey  # of its artifact
    losses: Mapping[str, float]  # of its last pass, by name
    environment: Environment  # where it ran; a reused artifact may be from elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class PortraitOrigin:
    """Where a portrait of the spec came from; for the JSON beside the picture only."""

    key: PortraitKey
    name: str  # of the file, without its folder
    sha256: str | None = None  # of the file's bytes, where they are known
    crop: Mapping[str, Any] | None = None  # how it was cut out of that file, a photograph

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError or TypeError when the data are of another form."""
        crop = data.get("crop")
        if not isinstance(data["name"], str) or not isinstance(crop, Mapping | None):
            raise TypeError("a portrait needs a name, and a crop that is an object")
        key = PortraitKey(str(data["key"]))
        return cls(key=key, name=data["name"], sha256=data.get("sha256"), crop=crop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a picture was made."""

    spec: JobSpec
    bundle: str  # its name; the spec has its digest
    bundle_files: Mapping[str, str]  # sha256 by file name
    label_maps: Mapping[PortraitKey, str]  # sha256 of the own label maps, of portraits with one
    stages: tuple[StageRecord, ...]  # in the order of the plan, the blend last

    @property
    def environment(self) -> Environment:
        """Where the picture itself was made."""
        return self.stages[-1].environment

    @classmethod
    def assemble(
        cls,
        spec: JobSpec,
        *,
        bundle: str,
        bundle_files: Mapping[str, str],
        label_maps: Mapping[PortraitKey, str],
        outcomes: Mapping[ArtifactKey, tuple[Mapping[str, float], Environment]],
    ) -> Self:
        """Joins what is known of a job's stages: `outcomes` has the losses and environment of each.

        A stage that nothing is known of, made before recipes were kept, has neither.
        """
        nothing: tuple[Mapping[str, float], Environment] = ({}, {})
        records = []
        for stage in plan(spec):
            losses, environment = outcomes.get(stage.key, nothing)
            records.append(
                StageRecord(
                    kind=stage.kind,
                    slot=stage.slot,
                    key=stage.key,
                    losses={name: float(value) for name, value in losses.items()},
                    environment=dict(environment),
                )
            )
        return cls(
            spec=spec,
            bundle=bundle,
            bundle_files=dict(bundle_files),
            label_maps={key: label_maps[key] for key in spec.portraits if key in label_maps},
            stages=tuple(records),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; a stage's environment is told only where it is not the picture's."""
        planned = {stage.key: stage for stage in plan(self.spec)}
        return {
            "format": RECIPE_VERSION,
            "spec": self.spec.to_json(),
            "bundle": {
                "name": self.bundle,
                "digest": self.spec.bundle,
                "files": dict(self.bundle_files),
            },
            "portraits": [
                {"key": key, "label_map": self.label_maps.get(key)} for key in self.spec.portraits
            ],
            "environment": dict(self.environment),
            "stages": [self._stage_json(stage, planned[stage.key]) for stage in self.stages],
        }

    def _stage_json(self, record: StageRecord, stage: PlannedStage) -> dict[str, Any]:
        data: dict[str, Any] = {
            "kind": str(record.kind),
            "slot": record.slot,
            "key": record.key,
            "steps": steps(stage, self.spec.params, record.losses),
            "losses": dict(record.losses),
        }
        if record.environment != self.environment:
            data["environment"] = dict(record.environment)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, name: str) -> Self:
        """Reads and checks a recipe.

        Args:
            data: As `to_json` gave it.
            name: What to call its picture in a message.

        Raises:
            InputError: Of a newer version, incomplete, or contradicting itself.
        """
        found = data.get("format")
        if isinstance(found, int) and found > RECIPE_VERSION:
            raise InputError(
                f"{name} has a recipe of version {found}, and this program reads versions up to "
                f"{RECIPE_VERSION}: use a newer Barbershop"
            )
        if found != RECIPE_VERSION:
            raise InputError(
                f"{name} has a recipe of version {found!r}, which tells too little to make it "
                "again: compose it anew from its portraits"
            )
        told = data.get("environment")
        environment = told if isinstance(told, Mapping) else {}
        method = environment.get("method")
        if method is not None and method != str(METHOD_VERSION):
            raise InputError(
                f"{name} was made by version {method} of the method, and this program has version "
                f"{METHOD_VERSION}: use Barbershop {environment.get('barbershop')}"
            )
        try:
            recipe = cls._read(data)
        except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
            raise InputError(
                f"the recipe in {name} is damaged ({_reason(error)}): take an untouched copy"
            ) from error
        return recipe

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Self:
        spec, bundle = JobSpec.from_json(data["spec"]), data["bundle"]
        if bundle["digest"] != spec.bundle:
            raise ValueError("its bundle is not the one of its spec")
        environment = _texts(data["environment"])
        outcomes: dict[ArtifactKey, tuple[Mapping[str, float], Environment]] = {
            stage["key"]: (
                {str(loss): float(value) for loss, value in stage["losses"].items()},
                _texts(stage.get("environment", environment)),
            )
            for stage in data["stages"]
        }
        if list(outcomes) != [stage.key for stage in plan(spec)]:
            raise ValueError("its stages are not those that this program plans for its spec")
        maps = {entry["key"]: entry["label_map"] for entry in data["portraits"]}
        if list(maps) != list(spec.portraits):
            raise ValueError("its portraits are not those of its spec")
        return cls.assemble(
            spec,
            bundle=str(bundle["name"]),
            bundle_files=_texts(bundle["files"]),
            label_maps={key: str(digest) for key, digest in maps.items() if digest is not None},
            outcomes=outcomes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The JSON file beside a picture: its recipe, and what differs from one making to the next."""

    recipe: Mapping[str, Any]  # as in the picture
    origins: tuple[PortraitOrigin, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict)  # job, seconds, ..: plain JSON data

    def to_json(self, *, file: str, sha256: str) -> dict[str, Any]:
        """Plain data: the recipe's, with the picture's own name and digest."""
        return {
            "file": file,
            "sha256": sha256,
            "recipe": dict(self.recipe),
            "origins": [asdict(origin) for origin in self.origins],
            "made": dict(self.made),
        }


def read_origins(data: object) -> dict[PortraitKey, PortraitOrigin]:
    """The origins that a sidecar tells of; none where it is not one of ours."""
    try:
        assert isinstance(data, Mapping)
        found = [PortraitOrigin.from_json(entry) for entry in data["origins"]]
    except (AssertionError, KeyError, TypeError, AttributeError):
        return {}
    return {origin.key: origin for origin in found}


def steps(stage: PlannedStage, params: StageParams, losses: Iterable[str]) -> dict[str, int]:
    """Steps of a stage by the name of its loops; a stage that had nothing to seek has none."""
    names = list(losses)
    if not names:
        return {}
    match stage.kind:
        case StageKind.RECONSTRUCT:
            return {"w_plus": params.reconstruct.w_plus_steps, "fs": params.reconstruct.fs_steps}
        case StageKind.TARGET:  # one or two passes; each has losses of its own
            loops = dict.fromkeys(name.partition(".")[0] for name in names)
            return dict.fromkeys(loops, params.target.steps)
        case StageKind.ALIGN:
            reference = stage.role is not None and stage.role == "reference"
            own, other = params.align.identity_steps, params.align.reference_steps
            return {str(stage.role): other if reference else own}
        case StageKind.BLEND:
            refined = {name for name in names if name.startswith("refine.")}
            sought = {*names} - refined - ({"total"} if refined else set())
            appearance = {"appearance": params.blend.steps} if sought else {}
            return appearance | ({"refine": params.blend.refine_steps} if refined else {})


def differences(before: Environment, now: Environment) -> list[str]:
    """Each entry that is not the same, in words: "torch 2.9.0, now 2.10.0"."""
    names = dict.fromkeys([*before, *now])
    return [
        f"{name} {before.get(name, 'unknown')}, now {now.get(name, 'unknown')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    if not all(isinstance(value, str) for value in data.values()):
        raise TypeError(f"{data!r} should hold texts")
    return dict(data)


def _reason(error: Exception) -> str:
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
