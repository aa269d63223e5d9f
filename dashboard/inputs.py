"""What a job takes from which portrait, in the words of a person at the screen."""

from __future__ import annotations

from dataclasses import dataclass

from barber.plan import PlannedStage, StageKind, Variant, variants
from barber.spec import JobSpec, PortraitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One portrait of a job and everything that it gives."""

    portrait: PortraitKey
    gives: str  # "identity", "hair", "hair shape + lips colour"


def inputs(spec: JobSpec) -> tuple[Input, ...]:
    """Every distinct portrait, identity first, with what it gives."""
    gives: dict[PortraitKey, list[str]] = {key: [] for key in spec.portraits}
    gives[spec.identity].append("identity")
    for region in spec.regions:
        words = region.area.words
        if region.structure == region.appearance:
            gives[region.structure].append(words)
            continue
        gives[region.structure].append(f"{words} shape")
        gives[region.appearance].append(f"{words} colour")
    return tuple(
        # "identity" says that the rest is its own: an own shape or colour is not worth a word
        Input(portrait=key, gives=words[0] if key == spec.identity else " + ".join(words))
        for key, words in gives.items()
    )


def stage_words(spec: JobSpec, stage: PlannedStage) -> str:
    """What a stage works on: the portrait's part in the job, and for which target mask."""
    both = len(variants(spec)) == 2
    mask = {
        None: "",
        Variant.STRUCTURE: "shape" if both else "",
        Variant.APPEARANCE: "colour" if both else "",
    }[stage.variant]
    if stage.kind is StageKind.TARGET:
        return f"for the {mask}" if mask else "of the result"
    if stage.kind is StageKind.BLEND:
        return "everything into one picture"
    gives = next(each.gives for each in inputs(spec) if each.portrait == stage.portrait)
    return f"{gives}, for the {mask}" if mask and stage.kind is StageKind.ALIGN else gives
