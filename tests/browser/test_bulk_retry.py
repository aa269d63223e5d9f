"""The person on shift: fifty jobs failed of one cause, and one click brings all of them back."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from barber.catalogue import jobs
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.catalogue.status import EventKind
from barber.catalogue.store import Store
from tests.browser.conftest import settings_for
from tests.support.builders import Crew, break_down, hair_spec, register_portraits, submit
from tests.support.people import link
from tests.support.postgres import fresh_database
from tests.support.system import System

pytestmark = pytest.mark.browser

LIMIT_MS = 90_000  # the machine may be busy
FAILED = 50


@pytest.fixture
def system(server_url, tmp_path):
    with fresh_database(server_url) as url:
        settings = settings_for(url, tmp_path)
        with System(settings, tmp_path / "logs") as system:
            yield system


def test_fifty_failed_jobs_are_retried_by_their_filter(system, browser):
    people = register_portraits(system.engine, Store(system.settings.store_dir), 2)
    specs = [hair_spec(*people, seed=seed) for seed in range(FAILED)]
    crew = Crew(system.engine, replace(system.settings, sweep_s=0.0, window=400))
    failed = submit(system.engine, specs, name="night", priority=0)
    crew.work({"target": break_down("the disk of the store is full")})
    (other,) = submit(system.engine, [hair_spec(*people, seed=99)], name="another")
    system.start_dispatcher()
    console = system.start_console()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(console + link(system.engine, "olga", Role.OPERATOR))
    page.get_by_role("button", name="Enter").click()

    # the overview says what fails of what, and leads to exactly these jobs
    page.get_by_role("link", name="50", exact=True).last.click()
    expect(page.get_by_text("Only jobs that failed of one cause")).to_be_visible()
    expect(page.locator("li.job")).to_have_count(50)
    page.get_by_role("button", name="Retry…").click()

    # the count comes first, and a reason is needed
    expect(page.get_by_role("heading", name="Retry 50 jobs?")).to_be_visible()
    expect(page.get_by_text("50 of 50 jobs will be touched.")).to_be_visible()
    page.get_by_role("button", name="Retry 50 jobs").click()
    expect(page.get_by_role("heading", name="Retry 50 jobs?")).to_be_visible()
    page.get_by_label("Why").fill("the disk is free again")
    page.get_by_role("button", name="Retry 50 jobs").click()

    # it runs in the background, live, and tells of each job
    expect(page.locator("#sums")).to_have_text(
        re.compile("50 done · 0 left alone · 0 to go"), timeout=LIMIT_MS
    )
    expect(page.get_by_role("cell", name=re.compile("^1 stage set back"))).to_have_count(50)
    with transaction(system.engine) as session:
        retried = [
            job_id
            for job_id in (*failed, other)
            if any(event.kind == EventKind.RETRIED for event in jobs.job(session, job_id).events)
        ]
    assert retried == failed
    assert complaints == []
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (page.url, f"{console}/jobs", f"{console}/"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()
