"""What the API's description cannot take from models: forms with files, answers in bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

FILE = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form with files, by the names of its parts."""

    files: tuple[str, ...] = ()
    several: tuple[str, ...] = ()  # files of which there may be many
    needed: tuple[str, ...] = ()  # of the files
    fields: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()  # fields that may come more than once

    def schema(self) -> dict[str, Any]:
        """As OpenAPI has it."""
        properties: dict[str, Any] = dict.fromkeys(self.files, FILE)
        properties |= dict.fromkeys(self.fields, TEXT)
        properties |= {name: {"type": "array", "items": FILE} for name in self.several}
        properties |= {name: {"type": "array", "items": TEXT} for name in self.lists}
        return {"type": "object", "properties": properties, "required": list(self.needed)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bodies:
    """What one endpoint takes or gives beside models."""

    method: str
    rule: str  # as Flask has it
    status: int
    form: Form | None
    gives: str | None  # the media type of its answer

    @property
    def path(self) -> str:
        """The rule as OpenAPI has it."""
        return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", self.rule)


def completed(description: Mapping[str, Any], known: list[Bodies]) -> dict[str, Any]:
    """The description, with forms and media types told."""
    found = deepcopy(dict(description))
    for each in known:
        facts = found["paths"][each.path][each.method.lower()]
        if each.form is not None:
            content = {"multipart/form-data": {"schema": each.form.schema()}}
            facts["requestBody"] = {"content": content, "required": True}
        if each.gives is not None:
            facts["responses"][str(each.status)]["content"] = {each.gives: {}}
    return found
