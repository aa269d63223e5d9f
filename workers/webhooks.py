"""Calls webhooks: signed, in threads of the dispatcher's own, so that no worker ever waits.

The form is Standard Webhooks: the headers `webhook-id`, `webhook-timestamp`, `webhook-signature`
("v1," and the base64 HMAC-SHA256 of "id.timestamp.body" under the secret's bytes).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlunsplit

import httpx
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from barber.addresses import check_url, resolve
from barber.catalogue import webhooks
from barber.catalogue.db import transaction
from barber.catalogue.webhooks import Call
from barber.errors import InputError
from barber.settings import Settings

log = logging.getLogger(__name__)

HANDS = 8  # calls at once
EACH = 2  # of them to one webhook, so that a slow address holds up nobody else
TIMEOUT_S = 10.0
DEADLINE_S = 30.0  # of a whole call: an answer that trickles ends here
MOST_ANSWER_BYTES = 4096
LOOK_S = 1.0
LONGEST_PAUSE_S = 30.0
PRUNE_S = 600.0


class Sender:
    """The threads that call."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings, self.engine = settings, engine
        self._prune_due = 0.0

    def run(self, stop: threading.Event) -> None:
        """Calls what is due until told to stop; outlives a database that is away."""
        pause_s = LOOK_S
        with ThreadPoolExecutor(HANDS, thread_name_prefix="webhook") as pool:
            while not stop.wait(pause_s):
                try:
                    self.turn(pool)
                    pause_s = LOOK_S
                except DBAPIError as error:
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                    log.warning("webhooks wait, the catalogue is away: %s", error.orig)

    def turn(self, pool: ThreadPoolExecutor) -> int:
        """Expands what has ended and makes the calls that are due; returns how many."""
        with transaction(self.engine) as session:
            webhooks.expand(session)
        with transaction(self.engine) as session:
            calls = webhooks.take(session, HANDS, EACH)
        list(pool.map(self._deliver, calls))
        if time.monotonic() >= self._prune_due:
            self._prune_due = time.monotonic() + PRUNE_S
            with transaction(self.engine) as session:
                webhooks.prune(session)
        return len(calls)

    def _deliver(self, call: Call) -> None:
        answered, said = self._call(call)
        good = answered is not None and 200 <= answered < 300
        try:
            with transaction(self.engine) as session:
                if good:
                    assert answered is not None
                    webhooks.delivered(session, call, answered, said)
                    return
                most = self.settings.webhook_failures
                webhooks.failed(session, call, answered, said, most_failures=most)
        except DBAPIError as error:
            # Its lease runs out, and it is made again with the same id.
            log.warning("a call could not be written down: %s", error.orig)

    def _call(self, call: Call) -> tuple[int | None, str]:
        """The status that was answered and how the answer begins; None and why without one."""
        private = bool(self.settings.webhook_private)
        body = json.dumps(call.payload, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            parts = check_url(call.url, allow_private=private)
            host = parts.hostname or ""
            port = parts.port or (443 if parts.scheme == "https" else 80)
            address = resolve(host, port, allow_private=private)
        except InputError as error:
            return None, str(error)
        literal = f"[{address}]" if ":" in address else address
        url = urlunsplit((parts.scheme, f"{literal}:{port}", parts.path, parts.query, ""))
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "barber-webhook/1",
            **signed(call, body, int(time.time())),
        }
        try:
            return self._send(url, host, body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return None, f"{type(error).__name__}: {error}".replace(address, host)

    def _send(
        self, url: str, host: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int | None, str]:
        until = time.monotonic() + DEADLINE_S
        options = {"extensions": {"sni_hostname": host}}  # the certificate is the name's
        client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        with client, client.stream("POST", url, content=body, headers=headers, **options) as answer:  # type: ignore[arg-type]
            said = b""
            for piece in answer.iter_raw(1024):
                said += piece
                if len(said) >= MOST_ANSWER_BYTES or time.monotonic() > until:
                    break
        plain = "".join(c if c.isprintable() else " " for c in said.decode("utf-8", "replace"))
        return answer.status_code, plain.strip()


def signed(call: Call, body: bytes, timestamp: int) -> dict[str, str]:
    """The headers that name and sign a call; a repeated call has the same id."""
    name = f"msg_{call.id}"
    key = base64.b64decode(call.secret.removeprefix(webhooks.PREFIX))
    mac = hmac.new(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }
