"""Every page of the console, in light and dark, held against axe's rules; nobody has to work."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect
from werkzeug.serving import make_server

from barber.catalogue.db import open_engine
from barber.catalogue.people_tables import Role
from barber.settings import Settings
from dashboard import create_app
from tests.support.people import link
from tests.support.planted import Planted, plant
from tests.support.postgres import fresh_database

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
# What is no page: pictures, files, the stream and the sign of life.
FILES = {
    "/files/<sha256>",
    "/health",
    "/jobs/<id:job_id>/mask/labels.png",
    "/live",
    "/portraits/<key>.png",
    "/results/<id:job_id>/photograph.png",
    "/stages/<id:stage_id>/preview.png",
    "/static/<path:filename>",
}
BARE = ("/", "/jobs", "/submit", "/results", "/attention", "/bulk", "/studies", "/webhooks")


class Console:
    """A console over a catalogue, served by a thread of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.settings = Settings(database_url=url, home=home)
        self.engine = open_engine(self.settings, application="tests")
        self.app = create_app(self.settings)
        self.server = make_server("127.0.0.1", 0, self.app, threaded=True)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        for name in ("hub", "hands"):
            self.app.extensions[name].close()
        self.server.shutdown()
        self.server.server_close()
        self.app.extensions["engine"].dispose()
        self.engine.dispose()

    def enter(self, page: Page) -> None:
        page.goto(self.address + link(self.engine, "olga", Role.ADMIN))
        page.get_by_role("button", name="Enter").click()
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()


@pytest.fixture(scope="module")
def console(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with fresh_database(server_url) as url:
        console = Console(url, tmp_path_factory.mktemp("home"))
        yield console
        console.close()


@pytest.fixture(scope="module")
def page(browser: Browser, console: Console) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.add_init_script("window.EventSource = undefined")  # nothing may move meanwhile
    console.enter(page)
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def planted(console: Console) -> Planted:
    return plant(console.engine, console.settings)


def faults(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page, by all of its rules or by those named."""
    only = {"type": "rule", "values": list(rules)} if rules else None
    found = page.evaluate(
        "only => axe.run({resultTypes: ['violations'], ...(only && {runOnly: only})})", only
    )
    return [
        f"{urlpath(page)}: {fault['id']} ({fault['impact']}): {node['html'][:200]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


def urlpath(page: Page) -> str:
    return re.sub(r"^https?://[^/]+", "", page.url)


def test_empty_pages_have_no_faults(console, page):
    """Comes first: afterwards the catalogue is full."""
    found = []
    for path in BARE:
        page.goto(console.address + path)
        page.evaluate(AXE)
        found += faults(page)
    assert found == []


def test_every_page_is_looked_at(console, planted):
    rules = {
        rule.rule
        for rule in console.app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.rule.startswith("/api/")
    }
    assert rules - FILES == set(planted.paths)


def test_no_page_has_faults_in_light_nor_in_dark_nor_is_too_wide_for_a_phone(
    console, page, planted
):
    found = []
    for path in (path for paths in planted.paths.values() for path in paths):
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 900})
        answer = page.goto(console.address + path)
        assert answer.status == (401 if "not-a-link" in path else 200), path
        page.evaluate(AXE)
        found += faults(page)
        page.emulate_media(color_scheme="dark")
        found += faults(page, "color-contrast")  # nothing else differs
        page.set_viewport_size({"width": 390, "height": 844})
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 390:
            found.append(f"{path}: {width} px wide on a phone of 390")
    assert found == []
