"""The operator's console: shows what the catalogue holds, and asks the catalogue for changes."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask

from barber.settings import Settings


def create_app(settings: Settings, *, hosts: Sequence[str] | None = None) -> Flask:
    """The console as a WSGI application.

    Args:
        settings: Where the catalogue and the store are; `home` also keeps the session secret.
        hosts: Names under which browsers may reach the console; a request for another name is
            refused, so that a page elsewhere cannot rebind its own name to this address.
            None accepts every name.
    """
    from dashboard import (
        api,
        batches,
        filters,
        health,
        jobs,
        paging,
        portraits,
        problems,
        record,
        security,
    )

    app = Flask("dashboard")
    record.attach(app, settings)
    security.guard(app, settings, hosts=hosts)
    filters.register(app)
    problems.register(app)
    app.url_map.converters["id"] = paging.IdConverter
    for noun in (batches, jobs, portraits, health, api):
        app.register_blueprint(noun.blueprint)
    return app
