"""The parameters of a job as a form shows them: what each is now, and what it may be. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, get_type_hints

from barber.spec import (
    MAX_NUMBER,
    MAX_SMOOTHING_PX,
    MAX_STEPS,
    StageParams,
    parse_settings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of one stage."""

    stage: str
    name: str
    value: Any  # in this job
    official: Any  # in the official preset
    kind: str  # "flag", "choice", "whole", "number"
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def place(self) -> str:
        """As `--set` calls it: blend.steps."""
        return f"{self.stage}.{self.name}"

    @property
    def text(self) -> str:
        """The value as a person types it."""
        return written(self.value)

    @property
    def official_text(self) -> str:
        return written(self.official)

    @property
    def is_changed(self) -> bool:
        return bool(self.value != self.official)

    @property
    def range_words(self) -> str:
        """What it may be: "1 to 1,000,000", "0 or more"."""
        if self.choices:
            return " or ".join(self.choices)
        if self.most == MAX_NUMBER:
            return f"{self.least:g} or more"
        return f"{self.least:g} to {self.most:,.0f}"


def parameters(params: StageParams) -> tuple[Parameter, ...]:
    """All parameters, stage by stage, in the order of their definition."""
    found = []
    official = StageParams()
    for stage in fields(params):
        mine, theirs = getattr(params, stage.name), getattr(official, stage.name)
        hints = get_type_hints(type(mine))
        for field in fields(mine):
            value, default = getattr(mine, field.name), getattr(theirs, field.name)
            limits = _limits(hints[field.name], field.name, default)
            found.append(
                Parameter(
                    stage=stage.name, name=field.name, value=value, official=default, **limits
                )
            )
    return tuple(found)


def changed(params: StageParams, typed: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What of a filled form differs from the present values, by stage and name.

    Args:
        params: The present ones.
        typed: Texts by place; what is absent or empty stays.

    Raises:
        InputError: A text that is no value at all; ranges are checked where it meets the params.
    """
    present = {each.place: each.text for each in parameters(params)}
    new = {place: text.strip() for place, text in typed.items() if text.strip()}
    return parse_settings(
        f"{place}={text}" for place, text in new.items() if text != present.get(place)
    )


def written(value: Any) -> str:
    """A value as a person types it, and as `parse_settings` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _limits(kind: Any, name: str, default: Any) -> dict[str, Any]:
    """As `StageParams.from_json` checks them."""
    if kind is bool:
        return {"kind": "flag", "choices": ("true", "false")}
    if issubclass(kind, StrEnum):
        return {"kind": "choice", "choices": tuple(kind)}
    whole = "whole" if kind is int else "number"
    if name.endswith("steps"):
        return {"kind": whole, "least": 0 if default == 0 else 1, "most": MAX_STEPS}
    most = MAX_SMOOTHING_PX if name.endswith(("smoothing", "margin")) else MAX_NUMBER
    return {"kind": whole, "least": 0, "most": most}
