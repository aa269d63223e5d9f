"""The API asked for whatever its description allows: no fault of ours, no answer that is not told.

`make fuzz` asks for longer (EXAMPLES=n), and by chance (SEED=n asks for the same again).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as limits
from schemathesis import GenerationMode, checks
from sqlalchemy import Engine

from barber.catalogue.db import open_engine
from barber.catalogue.people_tables import Role
from barber.settings import Settings
from dashboard import create_app
from tests.support.people import token
from tests.support.planted import plant
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))
SEED = os.environ.get("FUZZ_SEED")
# The stream of a job that has not ended goes on for ever; tests/integration/test_live.py has it.
ENDLESS = "/api/v1/jobs/{job_id}/watch"
KNOWN_IDS = 25  # what is planted has ids up to some of these
HELD = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@dataclass
class Api:
    """The API over a planted catalogue."""

    app: Flask
    engine: Engine

    def description(self) -> dict[str, Any]:
        """As it is told, but that ids are small: so that something is found under most."""
        told = self.app.test_client().get("/api/v1/openapi.json").json
        del told["paths"][ENDLESS]
        for methods in told["paths"].values():
            for facts in methods.values():
                for parameter in facts["parameters"]:
                    if parameter["in"] == "path":
                        parameter["schema"] = {**parameter["schema"], "maximum": KNOWN_IDS}
        return told

    def operations(self) -> list[Any]:
        schema = schemathesis.openapi.from_dict(self.description())
        schema.app = self.app
        return [result.ok() for result in schema.get_all_operations()]


@pytest.fixture(scope="module")
def api(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with fresh_database(server_url) as url:
        settings = Settings(database_url=url, home=tmp_path_factory.mktemp("home"), upload_mb=1)
        engine = open_engine(settings, application="tests")
        plant(engine, settings)
        app = create_app(settings)
        yield Api(app, engine)
        for name in ("hub", "hands"):
            app.extensions[name].close()
        app.extensions["engine"].dispose()
        engine.dispose()


def ask(api: Api, operation: Any, mode: GenerationMode) -> None:
    """Asks for one operation in some ways, as described or not. Raises for a wrong answer."""
    headers = {"Authorization": f"Bearer {token(api.engine, 'olga', Role.ADMIN)}"}

    @limits(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=SEED is None and EXAMPLES < 10,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=HELD)

    (one if SEED is None else seed(int(SEED))(one))()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_the_description_tells(api, mode):
    wrong = []
    for operation in api.operations():
        try:
            ask(api, operation, mode)
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  # all are wanted
            told = "\n".join(str(each) for each in getattr(error, "exceptions", [error]))
            curl = str(error).rpartition("curl")[2][:400]
            wrong.append(f"{operation.label}: {told[:700]}\n{curl}")
    assert not wrong, "\n\n".join(wrong)


def test_methods_that_an_address_does_not_take_are_refused_and_the_others_named(api):
    client = api.app.test_client()
    secret = token(api.engine, "olga", Role.ADMIN)
    for path, methods in api.description()["paths"].items():
        known = {method.upper() for method in methods}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
            address = re.sub(r"{\w+}", "1", path)
            headers = {"Authorization": f"Bearer {secret}"}
            answer = client.open(address, method=method, headers=headers)
            assert answer.status_code == 405, (method, path)
            assert known <= set(answer.headers["Allow"].split(", ")), (method, path)
            assert set(answer.json) == {"error"}
