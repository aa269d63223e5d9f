"""Pages that stay current: the same address gives the whole page, or its fragment to `live.js`.

A page that declares `streamed` is also pushed to its viewers as it changes (see `hub`); the others,
and those who find no place at a stream, are asked for again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Blueprint, Response, current_app, make_response, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from barber.catalogue.people_tables import Role
from barber.errors import InputError
from dashboard import access, problems
from dashboard.hub import Hub, Topic

V = TypeVar("V", bound=Callable[..., Any])

blueprint = Blueprint("live", __name__)

DECLARED = "barber_streamed"  # the attribute of a view that holds what it declared
RETRY_S = 30  # after which whoever found no place may ask again
SEND_S = 30.0  # a viewer that takes nothing for so long is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """How a page is pushed."""

    shared: bool  # all people of one role and owner see the same
    job: str = ""  # the argument of the view that names the job whose changes it follows


def streamed(*, shared: bool = False, job: str = "") -> Callable[[V], V]:
    """Declares that a live page is pushed to its viewers."""

    def declare(view: V) -> V:
        setattr(view, DECLARED, Streamed(shared=shared, job=job))
        return view

    return declare


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


@blueprint.get("/live")
@access.needs(Role.VIEWER)
def stream() -> ResponseReturnValue:
    """The changes of the page named by `page`, as server-sent events.

    `seen` or the header Last-Event-ID is the id of the last event that the viewer has.
    """
    path = request.args.get("page", "")
    how, arguments = _found(path)
    if how is None:
        raise InputError(f"page={path[:60]!r} is not pushed: ask for it now and then instead")
    return follow(path, how, arguments)


def follow(path: str, how: Streamed, arguments: Mapping[str, Any]) -> ResponseReturnValue:
    """A stream of a page's states for whoever asks; 503 when there is no place left.

    Args:
        path: Of the page, with its query.
        how: As it declares.
        arguments: Of its view.
    """
    visitor = access.visitor()
    topic = Topic(
        path=path,
        role=visitor.role,
        owner=visitor.person.owner,
        person=None if how.shared else visitor.person.id,
        job_id=arguments[how.job] if how.job else None,
    )
    hub: Hub = current_app.extensions["hub"]
    channel = hub.join(topic, visitor)
    if channel is None:
        refusal = make_response(problems.answer(503, "every stream is taken: ask now and then"))
        refusal.headers["Retry-After"] = str(RETRY_S)
        return refusal
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(SEND_S)
    known = request.headers.get("Last-Event-ID") or request.args.get("seen", "")
    response = Response(hub.events(channel, known, access.recheck()), mimetype="text/event-stream")
    response.call_on_close(lambda: hub.leave(channel))  # also when it was never begun
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # a proxy shall not hold events back
    return response


def _found(path: str) -> tuple[Streamed | None, Mapping[str, Any]]:
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None
    try:
        endpoint, arguments = adapter.match(path.partition("?")[0], method="GET")
    except (HTTPException, RequestRedirect):
        return None, {}
    return getattr(current_app.view_functions.get(endpoint), DECLARED, None), arguments
