"""Errors as pages for people and in one JSON shape for programs.

The shape: `{"error": {"code": "not_found", "message": "..."}}` with the HTTP status beside it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, jsonify, make_response, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, OperationalError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, SecurityError

from barber.errors import (
    BarberError,
    Conflict,
    Forbidden,
    InputError,
    LoginRefused,
    NotFound,
    TooManyTries,
)
from barber.table import TableError

log = logging.getLogger(__name__)

CODES = {
    400: ("bad_request", "That cannot be asked"),
    401: ("not_logged_in", "Who are you?"),
    403: ("refused", "Refused"),
    404: ("not_found", "Nothing here"),
    405: ("method_not_allowed", "Not this way"),
    409: ("conflict", "Not possible now"),
    413: ("too_large", "Too large"),
    415: ("unsupported_type", "Not this kind"),
    429: ("too_many_tries", "Not so fast"),
    500: ("internal", "Something broke"),
    503: ("unavailable", "The catalogue is away"),
}

SENTENCES = {
    404: "there is no such page; the list of jobs may help",
    405: "this address does not take that method",
}


class Malformed(InputError):
    """A request is not as the API's description says; `fields` are {field, problem} each."""

    def __init__(
        self, message: str, fields: Sequence[Mapping[str, str]], *, status: int = 400
    ) -> None:
        super().__init__(message)
        self.fields, self.status = [dict(each) for each in fields], status


def register(app: Flask) -> None:
    """Gives every error an answer in the console's own words."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(SecurityError, _foreign_host)
    app.register_error_handler(BarberError, _ours)
    app.register_error_handler(OperationalError, _away)
    app.register_error_handler(Exception, _unexpected)


def answer(status: int, message: str, **details: Any) -> ResponseReturnValue:
    """The page, or for programs the JSON with `details`, that tells `message`."""
    code, title = CODES[status]
    if _wants_json():
        return jsonify(error={"code": code, "message": message, **details}), status
    page = render_template(
        "problem.html",
        status=status,
        title=title,
        message=message,
        # a change that was refused leads back to where it was asked for
        job_id=(request.view_args or {}).get("job_id") if request.method == "POST" else None,
    )
    return page, status


def _wants_json() -> bool:
    if request.path.startswith(("/api/", "/health")):
        return True
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def _http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status in (301, 302, 303, 304, 307, 308):
        return error.get_response()
    if status not in CODES:
        status = 400 if status < 500 else 500
    own_words = error.description if error.description != type(error).description else None
    if status == 413:
        own_words = _too_large()
    response = make_response(
        answer(status, own_words or SENTENCES.get(status, CODES[status][1].lower()))
    )
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response


def _too_large() -> str:
    """What was sent, what is taken, and what to do about it."""
    sent, most = request.content_length, request.max_content_length
    told = f"the request of {sent / (1 << 20):,.1f} MB" if sent else "the request"
    limit = f" ({most / (1 << 20):,.0f} MB at once)" if most else ""
    remedy = "send it in parts, or have BARBER_UPLOAD_MB raised there"
    return f"{told} is larger than the console accepts{limit}: {remedy}"


def _foreign_host(_: SecurityError) -> ResponseReturnValue:
    """Plain words: a page would need links, and there is no trusted name to build them from."""
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    return "This console is not known under that name: use 127.0.0.1 or localhost.\n", 400, plain


def _ours(error: BarberError) -> ResponseReturnValue:
    if isinstance(error, NotFound):
        return answer(404, str(error))
    if isinstance(error, Conflict):
        return answer(409, str(error))
    if isinstance(error, Malformed):
        return answer(error.status, str(error), fields=error.fields)
    if isinstance(error, TableError):
        return answer(400, str(error), rows=[row.to_json() for row in error.errors])
    if isinstance(error, InputError):
        return answer(400, str(error))
    if isinstance(error, Forbidden):
        return answer(403, str(error))
    if isinstance(error, LoginRefused):
        return _stranger(error)
    return _unexpected(error)


def _stranger(error: LoginRefused) -> ResponseReturnValue:
    wait = isinstance(error, TooManyTries)
    response = make_response(answer(429 if wait else 401, str(error)))
    if isinstance(error, TooManyTries):
        response.headers["Retry-After"] = str(error.wait_s)
    else:
        response.headers["WWW-Authenticate"] = 'Bearer realm="barber"'
    return response


def _away(error: OperationalError) -> ResponseReturnValue:
    log.error("catalogue unreachable", extra={"path": request.path, "reason": str(error.orig)})
    return answer(
        503, "the catalogue's database cannot be reached; nothing is lost, try again soon"
    )


def _unexpected(error: Exception) -> ResponseReturnValue:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return answer(503, "the catalogue's database went away; nothing is lost, try again soon")
    mark = secrets.token_hex(4)
    log.error("request failed (%s)", mark, exc_info=error, extra={"path": request.path})
    return answer(500, f"the console could not answer this; its log tells why under {mark}")
