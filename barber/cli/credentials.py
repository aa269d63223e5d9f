"""Which consoles this person has logged in to: addresses and tokens, in a file of their own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from barber.errors import InputError

FILE = "servers.json"


def server_url(text: str) -> str:
    """A console's address in one form. Raises InputError when it is none."""
    whole = text if "://" in text else f"https://{text}"
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(
            f"{text!r} is no console's address: give one such as https://barber.example"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def config_file(environ: Mapping[str, str]) -> Path:
    """Where the tokens of this person lie. Raises InputError where nobody knows their home."""
    folder = environ.get("XDG_CONFIG_HOME")
    try:
        base = Path(folder) if folder else Path("~/.config").expanduser()
    except RuntimeError as error:
        raise InputError("this user has no home: set BARBER_TOKEN instead") from error
    return base / "barber" / FILE


def token_for(environ: Mapping[str, str], url: str) -> str:
    """The token to show to a console. Raises InputError when there is none."""
    if environ.get("BARBER_TOKEN"):
        return environ["BARBER_TOKEN"]
    kept = _read(config_file(environ)).get(url)
    if kept is None:
        raise InputError(f"not logged in to {url}: run `barber login {url}`, or set BARBER_TOKEN")
    return kept


def keep(environ: Mapping[str, str], url: str, token: str) -> Path:
    """Keeps a token, readable by this person alone; returns the file."""
    path = config_file(environ)
    return _write(path, {**_read(path), url: token})


def forget(environ: Mapping[str, str], url: str) -> bool:
    """Forgets a token; False when there was none."""
    path = config_file(environ)
    kept = _read(path)
    if kept.pop(url, None) is None:
        return False
    _write(path, kept)
    return True


def _read(path: Path) -> dict[str, str]:
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({error}): delete it, then log in again"
        ) from error
    if not isinstance(kept, dict):
        raise InputError(f"{path} is no list of consoles: delete it, then log in again")
    return {str(url): str(token) for url, token in kept.items()}


def _write(path: Path, kept: Mapping[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{FILE}.")  # mode 0600
    with os.fdopen(descriptor, "w") as file:
        json.dump(kept, file, indent=1)
    Path(fresh).replace(path)
    return path
