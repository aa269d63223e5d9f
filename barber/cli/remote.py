"""A console elsewhere, spoken to through its API; its refusals become the errors they are here."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from barber.cli.credentials import server_url, token_for
from barber.errors import (
    BarberError,
    CatalogueError,
    Conflict,
    Forbidden,
    InputError,
    LoginRefused,
    NotFound,
    ServerAway,
)
from barber.preflight.findings import Finding
from barber.table import RowError, TableError

F = TypeVar("F", bound=Callable[..., object])

API = "/api/v1"
TIMEOUT = httpx.Timeout(60.0, connect=10.0)

REFUSALS: dict[int, type[BarberError]] = {
    401: LoginRefused,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: LoginRefused,
    503: ServerAway,
}

server_option = click.option(
    "--server", metavar="URL", help="A console elsewhere; see `barber login`."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A console elsewhere, as a verb sees it."""

    url: str
    client: httpx.Client

    def get(self, path: str, **query: Any) -> Any:
        """What it answers, as JSON. Raises BarberError."""
        given = {key: value for key, value in query.items() if value not in (None, (), [])}
        return self._json(self._send("GET", path, params=given))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Asks for a change, done once however often it arrives. Raises BarberError."""
        return self._json(self._send("POST", path, json=dict(body or {}), headers=_key()))

    def delete(self, path: str) -> Any:
        """Ends something. Raises BarberError."""
        return self._json(self._send("DELETE", path))

    def pages(
        self, path: str, noun: str, *, most: int | None = None, **query: Any
    ) -> Iterator[Any]:
        """The rows of all pages of a list."""
        told = 0
        answer = self.get(path, **query)
        while True:
            for row in answer[noun]:
                if most is not None and told >= most:
                    return
                told += 1
                yield row
            if not answer["next"]:
                return
            answer = self._json(self._send("GET", answer["next"].removeprefix(API)))

    def upload(
        self, path: str, file: Path, field: str, form: Mapping[str, Any], *, quiet: bool
    ) -> Any:
        """Sends a file with a bar. Raises BarberError."""
        with file.open("rb") as opened, transfer(file.stat().st_size, "sending", quiet) as tell:
            counted = _Counted(opened, tell)
            files = {field: (file.name, counted, "application/octet-stream")}
            answer = self._send("POST", path, files=files, data=dict(form), headers=_key())
        return self._json(answer)

    def download(self, path: str, out: IO[bytes], *, quiet: bool) -> None:
        """Fetches a file with a bar. Raises BarberError."""
        try:
            with self.client.stream("GET", f"{API}{path}") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise refusal(self.url, answer)
                length = int(answer.headers.get("Content-Length", 0)) or None
                with transfer(length, "fetching", quiet) as tell:
                    for piece in answer.iter_bytes(1 << 16):
                        out.write(piece)
                        tell(len(piece))
        except httpx.HTTPError as error:
            raise _away(self.url, error) from error

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self.client.request(method, f"{API}{path}", **options)
        except httpx.HTTPError as error:
            raise _away(self.url, error) from error

    def _json(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            raise refusal(self.url, answer)
        try:
            return answer.json()
        except ValueError as error:
            raise _stranger(self.url) from error


@contextmanager
def remote(
    environ: Mapping[str, str], server: str | None, home: Path | None
) -> Iterator[Remote | None]:
    """The console that a verb is to speak to; None when it is to work on this machine.

    Raises:
        InputError: The address is none, or nobody has logged in there.
    """
    chosen = server or (environ.get("BARBER_SERVER") if home is None else None)
    if not chosen:
        yield None
        return
    if home is not None:
        raise InputError("--server and --home exclude each other: give one of them")
    url = server_url(chosen)
    with client_for(url, token_for(environ, url)) as client:
        yield Remote(url=url, client=client)


def client_for(url: str, token: str | None) -> httpx.Client:
    """A client of one console."""
    headers = {"Accept": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT)


def refusal(url: str, answer: httpx.Response) -> BarberError:
    """What a refusal means, as the error that it is on this machine."""
    try:
        told = answer.json()["error"]
        message = str(told["message"])
    except (ValueError, KeyError, TypeError):
        if answer.status_code in (502, 503, 504):
            return ServerAway(
                f"{url} is not there right now ({answer.status_code}): try again soon"
            )
        return _stranger(url)
    if answer.status_code == 401:
        message += f" (`barber login {url}` makes a new token)"
    if rows := told.get("rows"):
        return TableError(message, [_row(row) for row in rows])
    if answer.status_code >= 500:
        return ServerAway(f"{url}: {message}")
    return REFUSALS.get(answer.status_code, InputError)(message)


@contextmanager
def transfer(total: int | None, verb: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of bytes on a terminal; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    columns = (TextColumn(verb), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(verb, total=total)
        yield lambda count: progress.update(task, advance=count)


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: IO[bytes], tell: Callable[[int], None]) -> None:
        self._file, self._tell = file, tell

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._tell(len(piece))
        return piece

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()


def _key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def _row(facts: Mapping[str, Any]) -> RowError:
    findings = tuple(Finding.from_json(each) for each in facts.get("findings") or ())
    return RowError(
        line=facts["line"], name=facts["name"], reason=facts["reason"], findings=findings
    )


def _away(url: str, error: httpx.HTTPError) -> BarberError:
    if isinstance(error, httpx.TimeoutException):
        return ServerAway(
            f"{url} does not answer in time: try again, or ask whoever looks after it"
        )
    return ServerAway(f"{url} cannot be reached ({error}): check the address and the network")


def _stranger(url: str) -> BarberError:
    return CatalogueError(
        f"{url} answers, but not as a console of this version: check the address, or update"
    )


def tell_json(facts: Any) -> None:
    """Writes facts for programs."""
    click.echo(json.dumps(facts))
