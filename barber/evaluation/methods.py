"""What is compared: the method, the method with parts taken away, and two ways without it.

Every ablation is a set of the method's own parameters, which any job can be given; see
docs/presets.md. Nothing here knows how they work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from barber.errors import InputError
from barber.spec import StageParams, apply_settings

FULL = "full"


class Pasted(StrEnum):
    """Ways that need no job."""

    CUT_AND_PASTE = "cut-and-paste"
    UNEDITED = "unedited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to make a composite."""

    name: str
    title: str  # for people
    settings: tuple[str, ...] = ()  # over the preset, as `--set` takes them
    pasted: Pasted | None = None  # made from the portraits without a job


# Refining seeks F, so a method without FS space goes without it; the paper's baseline has one S.
IN_W_PLUS = ("reconstruct.space=w_plus", "blend.refine_steps=0")
ONE_S = "blend.regional_s=false"

METHODS: tuple[Method, ...] = (
    Method(name=FULL, title="the whole method, as the preset has it"),
    Method(
        name="baseline",
        title="W+ only, no alignment",
        settings=(*IN_W_PLUS, "align.enabled=false", ONE_S),
    ),
    Method(name="no-alignment", title="no alignment", settings=("align.enabled=false",)),
    Method(name="no-fs", title="W+ in place of FS", settings=IN_W_PLUS),
    Method(name="one-s", title="one S for the whole picture", settings=(ONE_S,)),
    Method(name="no-refine", title="nothing refined", settings=("blend.refine_steps=0",)),
    Method(name="l-f-off", title="without L_F", settings=("reconstruct.f_weight=0",)),
    Method(name="l-f-on", title="L_F of weight 0.1", settings=("reconstruct.f_weight=0.1",)),
    Method(
        name="fidelity",
        title="target mask by fidelity",
        settings=("target.fill=semantic", "target.mask_mode=fidelity"),
    ),
    Method(
        name="realistic",
        title="target mask by realism",
        settings=("target.fill=semantic", "target.mask_mode=realistic"),
    ),
    Method(
        name="cut-and-paste",
        title="the hair's pixels laid over the portrait",
        pasted=Pasted.CUT_AND_PASTE,
    ),
    Method(name="unedited", title="the portrait as it is", pasted=Pasted.UNEDITED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What a run compares."""

    methods: tuple[Method, ...]  # `full` first; no two with equal params
    params: dict[str, StageParams]  # of those with jobs, by name
    same: dict[str, str]  # left out, because it asks for what the other one asks for


def choose(names: Sequence[str], preset: StageParams) -> Chosen:
    """The methods of those names, and always the full one; all of them when there are no names.

    Args:
        names: Of `METHODS`.
        preset: What the ablations are taken from.

    Raises:
        InputError: There is no such method.
    """
    known = {method.name: method for method in METHODS}
    for name in names:
        if name not in known:
            raise InputError(f"unknown method {name!r}: use one of {', '.join(known)}")
    wanted = [m for m in METHODS if not names or m.name in (*names, FULL)]
    kept: list[Method] = []
    params: dict[str, StageParams] = {}
    same: dict[str, str] = {}
    for method in wanted:
        if method.pasted is None:
            found = apply_settings(preset, method.settings)
            twin = next((name for name, other in params.items() if other == found), None)
            if twin is not None:
                same[method.name] = twin
                continue
            params[method.name] = found
        kept.append(method)
    return Chosen(methods=tuple(kept), params=params, same=same)


def reconstructions(chosen: Chosen) -> dict[str, StageParams]:
    """The methods whose codes differ, by the first name: most ablations start from equal codes."""
    found: dict[str, StageParams] = {}
    for name, params in chosen.params.items():
        if all(params.reconstruct != other.reconstruct for other in found.values()):
            found[name] = params
    return found
