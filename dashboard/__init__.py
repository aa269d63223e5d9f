"""The operator's console: shows what the catalogue holds, and asks the catalogue for changes."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Flask

from barber.settings import Settings

STREAMS = 256  # live pages at once; each keeps a thread that waits


def create_app(
    settings: Settings, *, hosts: Sequence[str] | None = None, streams: int = STREAMS
) -> Flask:
    """The console as a WSGI application.

    Args:
        settings: Where the catalogue and the store are; `home` also keeps the session secret.
        hosts: Names under which browsers may reach the console; a request for another name is
            refused, so that a page elsewhere cannot rebind its own name to this address.
            None accepts every name.
        streams: Live pages at once; those beyond are refused, and ask now and then.
    """
    from dashboard import (
        access,
        account,
        api,
        attention,
        audit,
        background,
        batches,
        bulk,
        changes,
        doors,
        filters,
        health,
        intakes,
        jobs,
        live,
        masks,
        paging,
        people,
        portraits,
        problems,
        record,
        results,
        security,
        studies,
        submit,
        webhooks,
    )
    from dashboard.hub import Hub
    from dashboard.plain_json import PlainJson

    app = Flask("dashboard")
    app.json = PlainJson(app)
    record.attach(app, settings)
    app.extensions["hub"] = Hub(app, app.extensions["engine"], most=streams)
    background.attach(app, settings, app.extensions["engine"], app.extensions["store"])
    security.guard(app, settings, hosts=hosts)
    filters.register(app)
    problems.register(app)
    app.url_map.converters["id"] = paging.IdConverter
    app.jinja_env.globals.update(
        may=access.may, visitor_name=access.name, failed_jobs=attention.failed_jobs
    )
    for noun in (
        batches,
        jobs,
        changes,
        portraits,
        health,
        api,
        doors,
        account,
        people,
        audit,
        attention,
        live,
        results,
        bulk,
        submit,
        intakes,
        masks,
        studies,
        webhooks,
    ):
        app.register_blueprint(noun.blueprint)
    access.check_declared(app)
    return app
