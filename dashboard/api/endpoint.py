"""One declaration for each endpoint: its role, what it takes and gives. OpenAPI is made of these.

Requests are checked against their models before a view runs, and answers after it, so that the
description cannot drift from what the API does. Errors have the shape of `problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flask import Blueprint, jsonify, request
from flask.wrappers import Response as FlaskResponse
from pydantic import BaseModel, ValidationError
from spectree import Response, SecurityScheme, SpecTree
from spectree.models import SecureType, SecuritySchemeData
from spectree.plugins.flask_plugin import FlaskPlugin

from barber.catalogue.people_tables import Role
from dashboard import access
from dashboard.api import idempotency
from dashboard.api.bodies import Bodies, Form, completed
from dashboard.api.shapes import Problem
from dashboard.problems import Malformed

V = TypeVar("V", bound=Callable[..., Any])

PREFIX = "/api/v1"
REFUSALS = (400, 401, 403, 404, 409, 413, 415, 503)
ID_SCHEMA = {"type": "integer", "minimum": 1}

bodies: list[Bodies] = []  # of every endpoint that has some

blueprint = Blueprint("api", __name__, url_prefix=PREFIX)


class Plugin(FlaskPlugin):
    """Flask's, which also knows our ids in addresses, and leaves streams alone."""

    def parse_path(self, route: Any, descriptions: Any) -> tuple[str, list[Any]]:
        path, parameters = super().parse_path(route, descriptions)
        for parameter in parameters:
            parameter["schema"] = parameter["schema"] or ID_SCHEMA
        return path, parameters

    def validate_response(
        self, resp: Any, resp_model: Any, skip_validation: bool, force_resp_serialize: bool
    ) -> tuple[Any, Any]:
        """A stream is not looked at: it would be read to its end before it begins."""
        if isinstance(resp, FlaskResponse) and resp.is_streamed:
            return resp, None
        checked: tuple[Any, Any] = super().validate_response(
            resp, resp_model, skip_validation, force_resp_serialize
        )
        return checked


def _check_request(
    _request: Any, _answer: Any, error: Exception | None, _instance: Any, _adapter: Any
) -> None:
    """Raises Malformed, in one sentence, when a request is not as its models say."""
    if error is None:
        return
    assert isinstance(error, ValidationError)
    fields = [
        {
            "field": ".".join(str(part) for part in each["loc"]) or "body",
            "problem": _problem(each),
        }
        for each in error.errors(include_url=False, include_context=False)
    ]
    told = "; ".join(f"{each['field']}: {each['problem']}" for each in fields[:5])
    raise Malformed(f"the request is not as it should be ({told})", fields)


def _problem(error: Mapping[str, Any]) -> str:
    """What is wrong with one field, with the value where it is a plain one."""
    said, value = str(error["msg"]), error.get("input")
    if error["type"] == "extra_forbidden":
        return f"is nothing that can be asked here: {PREFIX}/openapi.json tells what can"
    return f"{said}, not {value!r:.60}" if isinstance(value, str | int | float) else said


def _check_answer(
    _request: Any, _answer: Any, error: Exception | None, _instance: Any, _adapter: Any
) -> None:
    """Raises when an answer is not what the description promises: a fault of ours."""
    if error is not None:
        raise error


spec = SpecTree(
    backend=Plugin,
    title="Barbershop",
    description=(
        "Batches of hairstyle and face compositing: submit, watch, retry, fetch. Errors have one "
        "shape. Lists are paged by key: follow `next`. A POST with the header `Idempotency-Key` "
        "is done once, however often it is sent."
    ),
    version="1",
    openapi_version="3.1.0",
    mode="strict",
    path="apidoc",
    before=_check_request,
    after=_check_answer,
    validation_error_status=400,
    validation_error_model=Problem,
    naming_strategy=lambda model: model.__name__,
    nested_naming_strategy=lambda _parent, child: child,
    security_schemes=[
        SecurityScheme(
            name="token", data=SecuritySchemeData(type=SecureType.HTTP, scheme="bearer")
        ),
    ],
    security={"token": []},
)


def endpoint(
    method: str,
    rule: str,
    *,
    role: Role | None,
    answer: type[BaseModel] | None,
    tag: str,
    status: int = 200,
    form: Form | None = None,
    gives: str | None = None,
    refusals: tuple[int, ...] = (),
) -> Callable[[V], V]:
    """Adds a view to the API.

    Args:
        method: GET, POST, DELETE.
        rule: Its address below `PREFIX`.
        role: Who may; None lets everybody in.
        answer: What it gives; None for bytes or nothing.
        tag: Its chapter in the description.
        status: Of its answer.
        form: With files, where it takes one; such requests may be large.
        gives: The media type of its answer, where that is no model.
        refusals: Statuses that it alone may refuse with.
    """
    uploads = form is not None
    if uploads or gives is not None:
        whole = f"{PREFIX}{rule}"
        bodies.append(Bodies(method=method, rule=whole, status=status, form=form, gives=gives))

    def add(view: V) -> V:
        whose = "everybody" if role is None else f"the role {role}"
        view.__doc__ = f"{view.__doc__}\n\nFor {whose}."
        answers: dict[str, Any] = {f"HTTP_{code}": Problem for code in (*REFUSALS, *refusals)}
        answers[f"HTTP_{status}"] = answer
        documented = spec.validate(
            resp=Response(**answers), tags=(tag,), security=[] if role is None else None
        )(view)

        def guarded(**arguments: Any) -> Any:
            _check_body(uploads)
            # Without a person there is nobody whose key it could be.
            keyed = role is not None and "Idempotency-Key" in request.headers
            if request.method == "GET" or not keyed:
                return documented(**arguments)
            return idempotency.once(lambda: documented(**arguments))

        guarded.__name__, guarded.__doc__ = view.__name__, view.__doc__
        guarded.__wrapped__ = documented  # type: ignore[attr-defined]
        declare = access.open_to_everybody if role is None else access.needs(role, uploads=uploads)
        blueprint.add_url_rule(rule, view.__name__, declare(guarded), methods=[method])
        return view

    return add


def _check_body(uploads: bool) -> None:
    """Raises for a body that is no JSON: spectree would take it for an empty one."""
    if request.method == "GET" or uploads or not request.content_length:
        return
    if request.mimetype != "application/json":
        raise Malformed(
            f"the body is {request.mimetype or 'of no type'}: send application/json", [], status=415
        )
    request.get_json()


@blueprint.get("/openapi.json")
@access.open_to_everybody
def openapi() -> FlaskResponse:
    """The description of the API, made from its code."""
    return jsonify(completed(spec.spec, bodies))
