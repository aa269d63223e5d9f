"""Tables and rows on standard output, for people and for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def plain(value: Any) -> Any:
    """A row of the catalogue as JSON data; times in ISO form."""
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, StrEnum) else value


def attributes(facts: Mapping[str, Any]) -> Any:
    """JSON data with its fields as attributes, as the rows have them."""
    return json.loads(json.dumps(facts), object_hook=lambda found: SimpleNamespace(**found))


def print_table(what: Table | Text | str) -> None:
    """Through rich on a terminal; plain and never cut off elsewhere."""
    console = Console() if sys.stdout.isatty() else Console(width=400, no_color=True)
    console.print(what)
