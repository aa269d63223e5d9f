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
    """What tells this request from another: its address and all that it brings."""
    said = hashlib.sha256(f"{request.method} {request.full_path}".encode())
    if request.mimetype == "multipart/form-data":
        for field, value in sorted(request.form.items(multi=True)):
            said.update(f"{field!r}={value!r}".encode())
        for field, file in request.files.items(multi=True):
            content = hashlib.file_digest(file.stream, "sha256").digest()  # type: ignore[arg-type]
            file.stream.seek(0)
            said.update(f"{field!r}={file.filename!r} ".encode() + content)
    else:
        said.update(request.get_data(cache=True))
    return said.hexdigest()
