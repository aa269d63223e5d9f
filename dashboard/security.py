"""What keeps other web pages away from the console: headers, a session secret, CSRF tokens.

A change needs a same-origin request, and, where the browser's cookie says who asks, the token of
its session. Tokens are compared with the session's own: it is kept whole, signed and out of sight,
so that a page shows the same one each time and costs nothing when it has not changed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, current_app, g, request, session
from werkzeug.middleware.proxy_fix import ProxyFix

from barber.catalogue import logins
from barber.settings import Settings
from dashboard import access

SECRET_FILE = "console.secret"  # noqa: S105  # a file name, not a secret
TOKEN_FIELD = "csrf_token"  # noqa: S105  # a form field's name
TOKEN_HEADER = "X-CSRF-Token"  # noqa: S105  # a header's name
SAFE = ("GET", "HEAD", "OPTIONS")
NO_CHARACTER = re.compile("[\\0\\ud800-\\udfff]")

HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "img-src 'self'",
            "style-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def guard(app: Flask, settings: Settings, *, hosts: Sequence[str] | None) -> None:
    """Gives the application its secret, its cookie rules and its checks."""
    secret = session_secret(settings.home)
    public = urlsplit(settings.public_url)
    if settings.proxies:
        far = {"x_for": settings.proxies, "x_proto": settings.proxies}
        app.wsgi_app = ProxyFix(app.wsgi_app, **far)  # type: ignore[method-assign]
    app.config.update(
        SECRET_KEY=secret,
        # Cookies of one host are shared by all its ports: two consoles need two names.
        SESSION_COOKIE_NAME=f"barber_{hashlib.sha256(secret).hexdigest()[:8]}",
        SESSION_COOKIE_HTTPONLY=True,
        # Not Strict: a deep link in a mail would find nobody logged in. Changes take a token.
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=public.scheme == "https",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=logins.LONGEST,
        PUBLIC_HOST=public.netloc,
        MAX_CONTENT_LENGTH=1 << 20,
        TRUSTED_HOSTS=list(hosts) if hosts is not None else None,
    )
    app.before_request(_check_origin)
    app.before_request(access.guard)
    app.before_request(_check_token)
    app.before_request(_check_text)
    app.after_request(_add_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token


def session_secret(home: Path) -> bytes:
    """The secret that signs session cookies: 32 bytes in a 0600 file, made once."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / SECRET_FILE
    fresh = home / f".{SECRET_FILE}.{os.getpid()}.{secrets.token_hex(4)}"
    if not path.exists():
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            # link, not rename: of two consoles that start together the first one's secret stays
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()


def csrf_token() -> str:
    """The token of this session; made at its first use.

    A page that is drawn for many has none: each viewer's script puts its own there.
    """
    if g.get("fan_out"):
        return ""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    token: str = session["csrf"]
    return token


def _check_origin() -> None:
    if request.method in SAFE:
        return
    origin = request.headers.get("Origin")
    known = (request.host, current_app.config["PUBLIC_HOST"] or request.host)
    if origin is not None and urlsplit(origin).netloc not in known:
        abort(403, f"a change asked for by another site ({origin[:200]}) is refused")


def _check_token() -> None:
    if request.method in SAFE or request.endpoint is None or "Authorization" in request.headers:
        return
    # No foreign page can send JSON unasked; without a login there is nothing to borrow either.
    if access.COOKIE not in session and request.mimetype == "application/json":
        return
    given = request.headers.get(TOKEN_HEADER) or request.form.get(TOKEN_FIELD, "")
    if not hmac.compare_digest(given.encode(), session.get("csrf", "").encode()) or not given:
        abort(403, "the form has expired: go back, reload the page and try again")


def _check_text() -> None:
    """Whatever is sent may be kept or looked for, and the catalogue knows neither the character 0
    nor half a character (a surrogate by itself, which JSON allows).
    """
    if request.endpoint is None:
        return
    sent = [request.view_args, request.args.to_dict(flat=False), request.form.to_dict(flat=False)]
    for text in _texts([*sent, request.get_json(silent=True) if request.is_json else None]):
        if NO_CHARACTER.search(text):
            abort(400, f"{text[:40]!r} holds a character that is none: leave it out")


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data, names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _add_headers(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if current_app.config["SESSION_COOKIE_SECURE"]:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response
