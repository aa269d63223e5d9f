"""The header `Idempotency-Key`: what was done under a key is answered again, not done again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from flask import current_app, make_response, request
from flask.wrappers import Response

from barber.catalogue import replies
from barber.errors import InputError
from dashboard import access, record

HEADER = "Idempotency-Key"
LONGEST_KEY = 200


def once(view: Callable[[], Any]) -> Response:
    """The view's answer; a repeated request gets the first one's.

    Raises:
        InputError: The key cannot be used.
        Conflict: The key was used for another request, or its request is still under way.
    """
    key = request.headers[HEADER].strip()
    if not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
        raise InputError(f"{HEADER} needs 1 to {LONGEST_KEY} readable characters")
    person_id = access.visitor().person.id
    with record.transaction() as session:
        kept = replies.begin(session, person_id, key, _digest())
    if kept is not None:
        response = make_response(kept.body, kept.status)
        response.mimetype = "application/json"
        response.headers["Idempotent-Replay"] = "true"
        return response
    try:
        response = make_response(current_app.ensure_sync(view)())
    except BaseException:
        # Nothing was done, so the same key may be sent with a better request.
        with record.transaction() as session:
            replies.forget(session, person_id, key)
        raise
    with record.transaction() as session:
        replies.keep(session, person_id, key, response.status_code, response.get_data(as_text=True))
    return response


def _digest() -> str:
    """What tells this request from another; of an upload, the address and the length alone."""
    said = hashlib.sha256(f"{request.method} {request.full_path}".encode())
    if request.mimetype == "application/json":
        said.update(request.get_data(cache=True))
    else:
        said.update(str(request.content_length).encode())
    return said.hexdigest()
