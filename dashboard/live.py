"""Pages that stay current: the same address gives the whole page, or its fragment to `live.js`."""

from __future__ import annotations

from typing import Any

from flask import make_response, render_template, request
from flask.typing import ResponseReturnValue


def render(
    whole: str, fragment: str, /, *, poll_s: float | None, **facts: Any
) -> ResponseReturnValue:
    """Renders the page, or the fragment alone when the script asks for it.

    Args:
        whole: Template of the whole page; it includes the fragment.
        fragment: Template whose root is `<div id="live">`.
        poll_s: Pause between two looks; None when nothing can change any more.
        facts: What both templates show.
    """
    asked_by_script = request.headers.get("X-Live") == "1"
    body = render_template(fragment if asked_by_script else whole, poll_s=poll_s, **facts)
    response = make_response(body)
    response.vary.add("X-Live")
    if asked_by_script:
        response.add_etag(weak=True)
        response.make_conditional(request)
    return response
