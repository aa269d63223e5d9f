"""A person watches jobs in a browser: the real console, dispatcher, workers and database."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from barber.catalogue.people_tables import Role
from barber.spec import AlignParams, BlendParams
from tests.browser.conftest import settings_for
from tests.support.people import link
from tests.support.postgres import fresh_database
from tests.support.system import SHORT, Client, System, write_tiny_bundle

pytestmark = pytest.mark.browser

LIMIT_MS = 90_000  # the machine may be busy
# Long enough that somebody who looks every two seconds sees the blend at work.
SEEN = replace(
    SHORT,
    align=AlignParams(identity_steps=20, reference_steps=20),
    blend=replace(BlendParams(), steps=300),
)


@pytest.fixture
def system(server_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    with fresh_database(server_url) as url:
        settings = settings_for(url, tmp_path, failpoint="align:mid:fail")
        with System(settings, tmp_path / "logs") as system:
            system.start_worker()
            system.start_dispatcher()
            system.wait_ready("worker")
            yield system


@pytest.fixture
def open_page(browser):
    """Opens pages, each in a browser of its own as far as cookies go."""
    contexts = []

    def open_one():
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
        page = contexts[-1].new_page()
        page.complaints = []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        return page

    yield open_one
    for context in contexts:
        context.close()


def enter(page: Page, console: str, system: System, name: str, role: Role):
    page.goto(console + link(system.engine, name, role))
    page.get_by_role("button", name="Enter").click()


def watch(page: Page, address: str):
    """Opens a page and marks it: the mark is gone as soon as the page is loaded again."""
    page.goto(address)
    page.evaluate("window.mark = 'not loaded again'")


def status(page: Page):
    return page.locator("#part-head .badge").first


def stages_that(page: Page, word: str):
    return page.get_by_role("article", name=re.compile(f": {word}$"))


def expect_live(page: Page, word: str):
    expect(status(page)).to_have_text(re.compile(word), timeout=LIMIT_MS)
    assert page.evaluate("window.mark") == "not loaded again"


def drop_connections(system: System, console: str):
    """Kills the console, with every stream that it holds, and starts it at the same place."""
    next(each for each in system.processes if each.name == "console" and each.running).kill()
    assert system.start_console(urlsplit(console).port) == console


def test_a_failed_job_is_retried_by_its_button_and_watched_to_its_result(system, open_page):
    console, client = system.start_console(), Client.of(system)
    page, viewer = open_page(), open_page()
    enter(page, console, system, "olga", Role.OPERATOR)
    enter(viewer, console, system, "vera", Role.VIEWER)
    (job_id,) = client.submit(client.spec(1, 2, params=SEEN))

    # the first job meets a failpoint: both pages show it without being loaded again
    watch(page, f"{console}/jobs/{job_id}")
    watch(viewer, f"{console}/jobs/{job_id}")
    for each in (page, viewer):
        expect_live(each, "failed")
        expect(each.get_by_role("heading", name="What went wrong")).to_be_visible()
        expect(each.get_by_text("failpoint align:mid").first).to_be_visible()
    failed = system.job(job_id)

    # the viewer may do nothing about it; the log is for operators
    expect(viewer.get_by_role("button", name=re.compile("Retry|Run again|Cancel"))).to_have_count(0)
    expect(viewer.get_by_text("Log of align")).to_have_count(0)
    mark = viewer.locator("meta[name=csrf-token]").get_attribute("content")
    asked = viewer.request.post(f"{console}/jobs/{job_id}/retry", form={"csrf_token": mark})
    assert asked.status == 403 and "role operator" in asked.text()
    assert system.job(job_id).row.status == "failed"
    page.get_by_text("Log of align").click()
    expect(page.get_by_label(re.compile("^traceback of align"))).to_contain_text("failpoint")

    # retry, by the keyboard; the viewer sees it too
    retry = page.get_by_role("button", name=re.compile("^Retry .* stage"))
    retry.focus()
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text(re.compile("running|succeeded"), timeout=LIMIT_MS)
    page.evaluate("window.mark = 'not loaded again'")
    expect(stages_that(page, "running").first).to_be_visible(timeout=LIMIT_MS)
    expect_live(viewer, "running|succeeded")

    # every connection is lost meanwhile: both pages find back and miss nothing
    drop_connections(system, console)
    expect_live(page, "succeeded")
    expect_live(viewer, "succeeded")
    expect(viewer.get_by_role("alert")).to_be_hidden(timeout=LIMIT_MS)

    # the result is there, every stage is done, and what had succeeded did not run again
    for each in (page, viewer):
        result = each.get_by_role("img", name=re.compile("^result of"))
        expect(result).to_be_visible()
        expect(result).to_have_js_property("naturalWidth", 64)
        expect(stages_that(each, "succeeded")).to_have_count(6)
        expect(each.get_by_role("button", name=re.compile("Retry|Cancel"))).to_have_count(0)
    done = {stage.id: len(stage.attempts) for stage in system.job(job_id).stages}
    for stage in failed.stages:
        if stage.status == "succeeded":
            assert done[stage.id] == len(stage.attempts)

    # losses are drawn, and label maps lie over the pictures when asked for
    expect(page.get_by_role("img", name=re.compile("^loss from")).first).to_be_visible()
    over = page.locator(".over.own").first
    expect(over).to_have_css("opacity", "0")
    page.get_by_label("what the parser sees").check()
    expect(over).to_have_css("opacity", "0.55")
    page.get_by_label("Opacity").fill("1")
    expect(over).to_have_css("opacity", "1")

    # the page has stopped to ask, and the overview counts the job
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.wait_for_timeout(3000)
    assert requests == []
    page.get_by_role("link", name="Overview").first.click()
    expect(page.get_by_role("cell", name=re.compile("^worker"))).to_be_visible()
    expect(page.get_by_role("img", name="1 succeeded")).to_be_visible()
    lost = re.compile(
        "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
    )
    assert [said for said in page.complaints if not lost.search(said)] == []

    # a telephone shows the job without scrolling sideways
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{console}/jobs/{job_id}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
