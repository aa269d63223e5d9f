"""Webhooks: registered, tried out, looked after. The dispatcher calls them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from barber.catalogue import webhooks
from barber.catalogue.people_tables import Role
from barber.catalogue.webhook_tables import DeliveryStatus, Happening
from dashboard import access, record
from dashboard.api.endpoint import endpoint
from dashboard.api.reading import plain
from dashboard.api.shapes import Asked, Ended, Given

OPERATOR = Role.OPERATOR


class WebhookAsked(Asked):
    """Which address is to be called, and for what."""

    url: Annotated[str, Field(max_length=2000)]
    happenings: list[Happening] = Field(
        default_factory=lambda: [Happening.JOB_FAILED, Happening.BATCH_FINISHED],
        max_length=len(Happening),
    )


class Webhook(Given):
    """A webhook, without its secret."""

    id: int
    person: str
    url: str
    happenings: list[Happening]
    failures: int = Field(description="Calls that failed in a row.")
    disabled_at: datetime | None
    disabled_why: str | None
    created_at: datetime


class NewWebhook(Given):
    """A webhook, whose secret is shown this once."""

    secret: str = Field(description="Signs each call; see docs/api.md.")
    webhook: Webhook


class OneWebhook(Given):
    """One webhook."""

    webhook: Webhook


class Webhooks(Given):
    """Webhooks, newest first."""

    webhooks: list[Webhook]


class Delivery(Given):
    """One call."""

    id: int
    happening: Happening
    payload: dict[str, Any]
    status: DeliveryStatus
    tries: int
    not_before: datetime = Field(description="Of a waiting one: when it is tried next.")
    answered: int | None = Field(description="HTTP status of the last try.")
    said: str | None
    created_at: datetime
    finished_at: datetime | None


class Deliveries(Given):
    """The latest calls of a webhook, newest first."""

    deliveries: list[Delivery]


def whose() -> int | None:
    """Whose webhooks the visitor may look after; None: everybody's."""
    return None if access.may(Role.ADMIN) else access.visitor().person.id


@endpoint("GET", "/webhooks", role=OPERATOR, answer=Webhooks, tag="webhooks")
def list_webhooks() -> dict[str, Any]:
    """One's own webhooks; an admin gets everybody's."""
    with record.transaction() as session:
        return {"webhooks": [_facts(row) for row in webhooks.listed(session, whose())]}


@endpoint("POST", "/webhooks", role=OPERATOR, answer=NewWebhook, tag="webhooks", status=201)
def add_webhook(json: WebhookAsked) -> tuple[dict[str, Any], int]:
    """Registers an address. The secret in the answer cannot be shown again."""
    with record.transaction() as session:
        row, secret = webhooks.add(
            session,
            access.visitor().person.id,
            json.url,
            json.happenings,
            by=access.by(),
            allow_private=bool(record.settings().webhook_private),
        )
    return {"secret": secret, "webhook": _facts(row)}, 201


@endpoint(
    "GET",
    "/webhooks/<id:webhook_id>/deliveries",
    role=OPERATOR,
    answer=Deliveries,
    tag="webhooks",
)
def list_deliveries(webhook_id: int) -> dict[str, Any]:
    """What was called and answered lately."""
    with record.transaction() as session:
        webhooks.one(session, webhook_id, whose())
        return {"deliveries": [plain(row) for row in webhooks.log(session, webhook_id)]}


@endpoint(
    "POST", "/webhooks/<id:webhook_id>/enable", role=OPERATOR, answer=OneWebhook, tag="webhooks"
)
def enable_webhook(webhook_id: int) -> dict[str, Any]:
    """Calls an address again that was disabled."""
    with record.transaction() as session:
        webhooks.one(session, webhook_id, whose())
        return {"webhook": _facts(webhooks.enable(session, webhook_id, by=access.by()))}


@endpoint("DELETE", "/webhooks/<id:webhook_id>", role=OPERATOR, answer=Ended, tag="webhooks")
def remove_webhook(webhook_id: int) -> dict[str, Any]:
    """Calls an address no more."""
    with record.transaction() as session:
        webhooks.one(session, webhook_id, whose())
        webhooks.remove(session, webhook_id, by=access.by())
    return {"id": webhook_id}


def _facts(row: webhooks.WebhookRow) -> dict[str, Any]:
    return plain(row, "person_id") | {"happenings": list(row.happenings)}
