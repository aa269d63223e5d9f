"""Portraits dropped in, a style chosen, a job watched to its result: the stack that ships."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import barber
from barber.catalogue.people_tables import Role
from barber.manifest import MANIFEST_NAME
from barber.pixels import encode_png
from barber.spec import AlignParams, BlendParams, ReconstructParams, StageParams, TargetParams
from tests.browser.conftest import settings_for
from tests.support.drawn import drawn
from tests.support.people import link
from tests.support.postgres import fresh_database
from tests.support.system import System

pytestmark = pytest.mark.browser

LIMIT_MS = 120_000  # the machine may be busy
SHIPPED = Path(barber.__file__).parent / "bundles" / "rendered-128"
# Few steps, but long enough that somebody who looks every two seconds sees the blend at work.
BRIEF = StageParams(
    reconstruct=ReconstructParams(w_plus_steps=4, fs_steps=4),
    target=TargetParams(steps=2),
    align=AlignParams(identity_steps=2, reference_steps=2),
    blend=BlendParams(steps=60),
)


def lend_bundle(path: Path) -> None:
    """The networks that ship, with a preset of few steps before all others."""
    path.mkdir()
    for file in SHIPPED.iterdir():
        if file.name != MANIFEST_NAME:
            (path / file.name).symlink_to(file)
    manifest = json.loads((SHIPPED / MANIFEST_NAME).read_text())
    manifest["presets"] = {"brief": BRIEF.to_json(), **manifest["presets"]}
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))


@pytest.fixture
def system(server_url, tmp_path):
    lend_bundle(tmp_path / "bundle")
    with fresh_database(server_url) as url:
        settings = settings_for(url, tmp_path)
        with System(settings, tmp_path / "logs") as system:
            system.start_worker()
            system.start_dispatcher()
            system.wait_ready("worker")
            yield system


def drop(page: Page, **files: bytes) -> None:
    """Lets files fall onto the page, as out of a file manager."""
    packed = {f"{name}.png": base64.b64encode(data).decode() for name, data in files.items()}
    carried = page.evaluate_handle(
        """files => {
            const carried = new DataTransfer();
            for (const [name, text] of Object.entries(files)) {
                const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
                carried.items.add(new File([bytes], name, {type: 'image/png'}));
            }
            return carried;
        }""",
        packed,
    )
    page.dispatch_event("body", "drop", {"dataTransfer": carried})


def test_portraits_are_dropped_a_style_chosen_and_the_job_watched_to_its_result(system, browser):
    console = system.start_console()
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(console + link(system.engine, "olga", Role.OPERATOR))
    page.get_by_role("button", name="Enter").click()

    # two portraits are taken, and what is none is told of by itself
    page.get_by_role("link", name="New jobs").click()
    ada, bea = (encode_png(drawn(number).pixels) for number in (1, 2))
    drop(page, ada=ada, bea=bea, script=b"#!/bin/sh")
    expect(page.get_by_text("2 of 3 are in your drawer")).to_be_visible(timeout=LIMIT_MS)
    expect(page.locator("#drop-refused")).to_contain_text("script.png")
    page.get_by_role("group", name="Who is changed").get_by_label("ada.png").check()
    page.get_by_role("radio", name=re.compile("^Hair cut and colour")).check()
    page.get_by_role("group", name="Hair from", exact=True).get_by_label("bea.png").check()
    page.get_by_label("Name of the batch").fill("first chair")

    # it is checked, and nothing is queued before somebody says so
    page.get_by_role("button", name="Check what will be queued").click()
    expect(page.get_by_role("heading", name="Queue them?")).to_be_visible(timeout=LIMIT_MS)
    page.get_by_role("button", name="Queue 1 job").click()
    page.wait_for_url(re.compile("/batches/"))
    expect(page.get_by_role("heading", name="first chair")).to_be_visible()

    # the job is watched at work, never loaded again, until its result is there
    page.get_by_role("link", name=re.compile("ada × bea")).click()
    page.wait_for_url(re.compile("/jobs/"))
    page.evaluate("window.mark = 'not loaded again'")
    running = page.get_by_role("article", name=re.compile(": running$"))
    expect(running.first).to_be_visible(timeout=LIMIT_MS)
    status = page.locator("#part-head .badge").first
    expect(status).to_have_text(re.compile("succeeded|failed"), timeout=LIMIT_MS)
    expect(status).to_have_text(re.compile("succeeded"))
    expect(page.get_by_role("article", name=re.compile(": succeeded$"))).to_have_count(6)
    result = page.get_by_role("img", name=re.compile("^result of"))
    expect(result).to_have_js_property("naturalWidth", 128)
    assert page.evaluate("window.mark") == "not loaded again"
    refusal = [said for said in complaints if "400" in said]  # of the script, told by the browser
    assert complaints == refusal and len(refusal) == 1
    page.context.close()
