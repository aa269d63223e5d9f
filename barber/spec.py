"""What a job asks for: plain frozen data, JSON both ways, no torch.

Source: method sections 3 (presets), 5.6 (noise), 11.3 (mask modes), 14 (quirks), 16.1 (plan of
regions). At its default every parameter does what the official code does; docs/presets.md has the
list of its quirks and what each parameter turns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any, NewType, Self, TypeVar, get_type_hints

from barber.errors import InputError
from barber.labels import Area, Region, Zone
from barber.painted import PaintedMask

PortraitKey = NewType("PortraitKey", str)  # sha256 of a portrait's pixels, 64 hex digits

SPEC_VERSION = 2  # 2: a region may have a zone, which a reader of version 1 would pass over
PAINTED_VERSION = 3  # of a spec with a painted mask, which a reader of version 2 would pass over
# A spec of an earlier version says the same in a later one.
READABLE_VERSIONS = (1, SPEC_VERSION, PAINTED_VERSION)
MAX_SMOOTHING_PX = 512
MAX_STEPS = 1_000_000  # days on any device: more is a slip of the pen
MAX_NUMBER = 1e30  # Adam cannot take a rate near the end of float32


class NoiseMode(StrEnum):
    """Where the generator's noise planes come from (method 5.6)."""

    FRESH = "fresh"  # drawn anew in every pass, from a generator seeded by the stage
    BUFFERS = "buffers"  # the checkpoint's own planes
    ZERO = "zero"  # none


class CodeSpace(StrEnum):
    """Where a portrait's code is sought."""

    FS = "fs"  # W+ first, then F and S freely (method 10.2)
    W_PLUS = "w_plus"  # W+ alone; F and S are what it gives, the RGB below F included


class MaskMode(StrEnum):
    """What the semantic fill is pulled towards (method 11.3)."""

    REALISTIC = "realistic"  # the uncovered region is left to the generator
    FIDELITY = "fidelity"  # the pasted mask is followed everywhere
    STRICT = "strict"  # as fidelity, but what is uncovered may be anything save what was there


class FillMode(StrEnum):
    """How holes of the target mask are filled (method 11.3, 11.4)."""

    SEMANTIC = "semantic"
    HEURISTIC = "heuristic"


class LowTarget(StrEnum):
    """How a portrait is brought down to the size at which LPIPS sees it (method 14.10)."""

    LANCZOS = "lanczos"  # Pillow's, in 8 bits: another filter than the one the renders go through
    BICUBIC = "bicubic"  # the renders' own, in float


class EmptyRegion(StrEnum):
    """What becomes of a region that the portrait of its shape does not show."""

    REFUSE = "refuse"  # the stage ends and says which
    REMOVE = "remove"  # the identity loses the region: spectacles off, head shaved


LATER = "later"  # metadata of a parameter that old keys do not know; see `key_facts`


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconstructParams:
    """Stage A: portrait -> W+ -> FS (method 10)."""

    w_plus_steps: int = 1100
    fs_steps: int = 250
    w_plus_rate: float = 0.01  # Adam's learning rate
    fs_rate: float = 0.01
    l2_weight: float = 1.0
    lpips_weight: float = 1.0
    p_norm_weight: float = 0.001
    f_weight: float = 0.0  # L_F: 0 in the official code, which never applies it (method 14.1)
    carry_skip: bool = False  # renders from F keep the RGB of the layers below it (14.2)
    keep_last_update: bool = False  # W+ and S after their last update, as F always is (14.4)
    low_target: LowTarget = LowTarget.LANCZOS
    space: CodeSpace = field(default=CodeSpace.FS, metadata={LATER: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetParams:
    """Stage B1: label maps -> target mask (method 11)."""

    mask_mode: MaskMode = MaskMode.REALISTIC
    fill: FillMode = FillMode.SEMANTIC
    steps: int = 80  # of each of the two passes
    rate: float = 0.01
    keep_last_update: bool = False  # read the label map after the last update (14.4)
    all_f_rows: bool = False  # also free the last of the W+ rows that make F (14.5)
    clamp_photographs: bool = True  # before the parser, which sees renders unclamped (14.9)
    truncate_prefill: bool = True  # of the inpainted hair, keep only what reached 1 (14.15)
    empty_region: EmptyRegion = EmptyRegion.REFUSE
    # The identity's hat stays in front of hair that is pasted.
    keep_hat: bool = field(default=False, metadata={LATER: True})
    # What a source wears as a hat counts as its hair where hair is taken from it.
    hair_under_hat: bool = field(default=False, metadata={LATER: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignParams:
    """Stage B2: codes -> target mask (method 12.1, 12.2)."""

    identity_steps: int = 140
    reference_steps: int = 100
    rate: float = 0.01
    style_weight: float = 40000.0
    keep_last_update: bool = False  # F of the code after its last update (14.4)
    all_f_rows: bool = False  # also free the last of the W+ rows that make F (14.5)
    # Otherwise every F stays as it was reconstructed.
    enabled: bool = field(default=True, metadata={LATER: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendParams:
    """The F mix (method 12.3) and stage C (method 13)."""

    steps: int = 400
    rate: float = 0.01
    mix_smoothing: int = 5  # dilation/erosion of the F mix, in pixels at the loss size; 0: none
    mask_smoothing: int = 5  # dilation/erosion of the loss masks, likewise
    pixel_weight: float = 0.0  # masked L1 beside masked LPIPS; 0 in the official code
    base_weight: float = 1.0  # of the likeness to the identity ("face" in the official code, 14.13)
    region_weight: float = 1.0  # of the likeness to each appearance ("hair" there, 14.13)
    keep_last_update: bool = False  # the appearance weights after their last update (14.4)
    low_target: LowTarget = LowTarget.LANCZOS
    clamp_photographs: bool = True  # before the parser, which sees renders unclamped (14.9)
    border_erodes: bool = True  # erosion takes the outside of the picture for empty (14.11)
    clamp_soft_masks: bool = False  # no overshoot, so F is not extrapolated (12.3)
    truncate_png: bool = True  # of the composite; otherwise rounded (14.17)
    # Regions lose a rim in the F mix; otherwise they keep their outline.
    mix_erodes: bool = field(default=True, metadata={LATER: True})
    # Each region is rendered with an S of its own; otherwise one S serves the whole picture.
    regional_s: bool = field(default=False, metadata={LATER: True})
    # F is sought once more, against the photographs' own pixels wherever they show the composite.
    refine_steps: int = field(default=0, metadata={LATER: True})
    refine_rate: float = field(default=0.01, metadata={LATER: True})
    refine_l2_weight: float = field(default=1.0, metadata={LATER: True})  # beside LPIPS
    refine_margin: int = field(default=1, metadata={LATER: True})  # px of label map at outlines
    # What the photographs show is carried on into margins and to what none of them shows.
    refine_extends: bool = field(default=False, metadata={LATER: True})
    # Hair in the place of its source's hat is refined towards the colour of the hair beside it.
    hats_off: bool = field(default=False, metadata={LATER: True})
    # A region in somebody else's colour is refined towards the mean of that colour,
    colour_match: bool = field(default=False, metadata={LATER: True})
    # .. and hair towards its own photograph's strands in that colour.
    recolour: bool = field(default=False, metadata={LATER: True})


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParams:
    """The parameters of every stage of one job."""

    reconstruct: ReconstructParams = field(default_factory=ReconstructParams)
    target: TargetParams = field(default_factory=TargetParams)
    align: AlignParams = field(default_factory=AlignParams)
    blend: BlendParams = field(default_factory=BlendParams)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], *, base: Self | None = None) -> Self:
        """Reads params; what is absent comes from `base` (the official preset by default).

        Raises:
            InputError: An unknown name, or a value out of its range.
        """
        return _overlay(base if base is not None else cls(), data, where="")


def key_facts(
    params: ReconstructParams | TargetParams | AlignParams | BlendParams,
) -> dict[str, Any]:
    """A stage's params as part of an artifact's key.

    A parameter that came later is left out as long as it is at its default: what was made before
    it existed is still what would be made now.
    """
    facts = asdict(params)
    for each in fields(params):
        if LATER in each.metadata and facts[each.name] == each.default:
            del facts[each.name]
    return facts


PRESETS: dict[str, StageParams] = {
    "official": StageParams(),
    "paper": StageParams(
        reconstruct=ReconstructParams(fs_steps=400, f_weight=0.1),
        align=AlignParams(identity_steps=100, reference_steps=100),
        blend=BlendParams(steps=600),
    ),
}


def preset_params(name: str, bundle_presets: Mapping[str, Mapping[str, Any]]) -> StageParams:
    """The params of a preset: one of the method's, or one that the bundle brings.

    Raises:
        InputError: No such preset; the message lists those that exist.
    """
    if name in PRESETS:
        if name in bundle_presets:
            raise InputError(
                f"the bundle brings a preset called {name!r}, which is the method's own: rename it "
                "in the bundle's manifest"
            )
        return PRESETS[name]
    if name in bundle_presets:
        return StageParams.from_json(bundle_presets[name])
    known = ", ".join([*PRESETS, *bundle_presets])
    raise InputError(f"unknown preset {name!r}: use one of {known}")


def apply_settings(params: StageParams, settings: Iterable[str]) -> StageParams:
    """The params with single values set by hand, each as "blend.steps=100".

    Raises:
        InputError: No such name (the message lists those there are), a value that cannot be, or
            the same name twice.
    """
    return StageParams.from_json(parse_settings(settings), base=params)


def parse_settings(settings: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Values by stage and name; names and ranges are checked where they meet the params.

    Raises:
        InputError: A text that is not STAGE.NAME=VALUE, or the same name twice.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        stage, dot, parameter = name.partition(".")
        if not (equals and value and stage and dot and parameter):
            raise InputError(f"setting {text!r}: write STAGE.NAME=VALUE, such as blend.steps=100")
        values = found.setdefault(stage, {})
        if parameter in values:
            raise InputError(f"setting {name} is given twice: leave one out")
        values[parameter] = _parse_value(value)
    return found


def _parse_value(text: str) -> Any:
    """A number or true/false as such; anything else stays text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = json.loads(text)
    except ValueError:
        return text
    return number if isinstance(number, int | float) else text


def default_preset(bundle_presets: Mapping[str, Mapping[str, Any]]) -> str:
    """The preset of a job that names none: the first that the bundle brings, else the method's."""
    return next(iter(bundle_presets), next(iter(PRESETS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionEdit:
    """One region of the plan: its labels, whose shape and whose colour (method 16.1)."""

    labels: tuple[Region, ...]  # ascending, at least one, never background
    structure: PortraitKey  # the portrait that gives the shape and texture
    appearance: PortraitKey  # the portrait that gives the colour
    zone: Zone | None = None  # where the labels count; everywhere when None

    def __post_init__(self) -> None:
        Area(labels=self.labels, zone=self.zone)  # refuses what makes no sense

    @property
    def area(self) -> Area:
        """What the region covers in a label map."""
        return Area(labels=self.labels, zone=self.zone)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "labels": [label.word for label in self.labels],
            "structure": self.structure,
            "appearance": self.appearance,
        }
        return data if self.zone is None else {**data, "zone": str(self.zone)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError or InputError when the data make no region."""
        words = {region.word: region for region in Region}
        zone = data.get("zone")
        return cls(
            labels=tuple(words[word] for word in data["labels"]),
            structure=PortraitKey(data["structure"]),
            appearance=PortraitKey(data["appearance"]),
            zone=None if zone is None else Zone(zone),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One composition: identity, ordered regions (later wins), params. The recipe of a result."""

    identity: PortraitKey
    regions: tuple[RegionEdit, ...] = ()
    bundle: str  # digest of the bundle that the stages run on, 64 hex digits
    params: StageParams = field(default_factory=StageParams)
    noise: NoiseMode = NoiseMode.FRESH
    seed: int = 0
    version: int = SPEC_VERSION
    painted: PaintedMask | None = None  # the target mask of the shapes, in the place of B1's

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        data["regions"] = [region.to_json() for region in self.regions]
        del data["painted"]
        if self.painted is None:
            return data
        return data | {"version": PAINTED_VERSION, "painted": self.painted.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Raises InputError when the spec cannot be read or is of another version."""
        if data.get("version") not in READABLE_VERSIONS:
            known = " or ".join(str(version) for version in READABLE_VERSIONS)
            raise InputError(f"job spec version {data.get('version')!r} is not {known}")
        painted = data.get("painted")
        try:
            return cls(
                identity=PortraitKey(data["identity"]),
                regions=tuple(RegionEdit.from_json(region) for region in data["regions"]),
                bundle=data["bundle"],
                params=StageParams.from_json(data["params"]),
                noise=NoiseMode(data["noise"]),
                seed=int(data["seed"]),
                painted=None if painted is None else PaintedMask.from_json(painted),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the job spec cannot be read: {error!r}") from error

    @property
    def portraits(self) -> tuple[PortraitKey, ...]:
        """Every distinct portrait: identity, then structures and appearances in region order."""
        keys = [self.identity]
        for region in self.regions:
            keys += [region.structure, region.appearance]
        return tuple(dict.fromkeys(keys))


T = TypeVar("T")


def _overlay(base: T, data: Mapping[str, Any], *, where: str) -> T:
    """A copy of the params dataclass `base` with the named values replaced and checked."""
    assert is_dataclass(base) and not isinstance(base, type)
    hints = get_type_hints(type(base))
    known = {f.name: f.default for f in fields(base)}
    changes: dict[str, Any] = {}
    for name, value in data.items():
        place = f"{where}.{name}".removeprefix(".")
        if name not in known:
            raise InputError(f"unknown parameter {place}: use one of {', '.join(sorted(known))}")
        current = getattr(base, name)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise InputError(f"{place} must be an object of parameters, not {value!r}")
            changes[name] = _overlay(current, value, where=place)
        else:
            fewest = 0 if known[name] == 0 else 1  # a loop that is off unless asked for
            changes[name] = _checked(hints[name], value, where=place, fewest_steps=fewest)
    return replace(base, **changes)


def _checked(kind: Any, value: Any, *, where: str, fewest_steps: int) -> Any:
    """`value` as `kind`; numbers must be finite and not negative, step counts whole."""
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(f"{where} is {value!r}: use true or false")
        return value
    if issubclass(kind, StrEnum):
        try:
            return kind(value)
        except ValueError:
            choices = ", ".join(kind)
            raise InputError(f"{where} is {value!r}: use one of {choices}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} is {value!r}: a number is needed")
    if not math.isfinite(value) or value < 0 or (kind is int and value != int(value)):
        number = "whole number" if kind is int else "number"
        raise InputError(f"{where} is {value!r}: a finite {number} from 0 up is needed")
    if value > MAX_NUMBER:
        raise InputError(f"{where} is {value!r}: a number up to {MAX_NUMBER:g} is needed")
    if where.endswith("steps") and not fewest_steps <= value <= MAX_STEPS:
        raise InputError(f"{where} is {value!r}: give from {fewest_steps} to {MAX_STEPS} steps")
    if where.endswith(("smoothing", "margin")) and value > MAX_SMOOTHING_PX:
        raise InputError(f"{where} is {value!r}: at most {MAX_SMOOTHING_PX} pixels are possible")
    return kind(value)
