"""JSON as the API's description promises it: moments in ISO 8601, not as dates of HTTP headers."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask.json.provider import DefaultJSONProvider


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return DefaultJSONProvider.default(value)


class PlainJson(DefaultJSONProvider):
    """What the application writes JSON with."""

    default = staticmethod(_plain)
