"""Judging by keys, and painting on a target mask: the real console and workers, a real browser."""

from __future__ import annotations

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from barber.catalogue import painting
from barber.catalogue.db import transaction
from barber.catalogue.people_tables import Role
from barber.labels import Region
from tests.browser.conftest import settings_for
from tests.support.people import link
from tests.support.postgres import fresh_database
from tests.support.system import SHORT, Client, System, write_tiny_bundle

pytestmark = pytest.mark.browser

LIMIT_MS = 90_000  # the machine may be busy


@pytest.fixture
def system(server_url, tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    logs = tmp_path / "logs"
    with fresh_database(server_url) as url, System(settings_for(url, tmp_path), logs) as system:
        system.start_worker()
        system.start_dispatcher()
        system.wait_ready("worker")
        yield system


def test_results_are_judged_by_keys_and_a_painted_mask_makes_the_job_anew(system, browser):
    client = Client.of(system)
    one, two = client.submit(client.spec(1, 2, params=SHORT), client.spec(2, 1, params=SHORT))
    console = system.start_console()
    system.wait_for_jobs([one, two])
    before = system.job(two)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(console + link(system.engine, "olga", Role.OPERATOR))
    page.get_by_role("button", name="Enter").click()

    # the newest is the first card: accept it, reject the next, take that back
    page.goto(f"{console}/results?batch={before.row.batch_id}")
    first, second = page.locator(f"#result-{two}"), page.locator(f"#result-{one}")
    expect(first.locator(".numbers")).to_contain_text(re.compile(r"PSNR \d"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("a")
    page.keyboard.press("r")
    expect(first).to_have_attribute("data-decision", "accepted")
    expect(second).to_have_attribute("data-decision", "rejected")
    page.keyboard.press("u")
    expect(second).to_have_attribute("data-decision", "undecided")
    page.reload()
    expect(first.locator(".decision")).to_have_text(re.compile("accepted"))
    expect(second.locator(".decision")).to_have_text(re.compile("undecided"))

    # paint hair by the pointer and undo it, then by the keyboard, and save
    page.goto(f"{console}/jobs/{two}/mask")
    expect(page.locator("#told")).to_have_text("Ready.")
    undo = page.get_by_role("button", name="Undo")
    canvas = page.locator("#paint")
    assert canvas.bounding_box() == page.locator("#picture").bounding_box()
    spot = canvas.bounding_box()
    expect(undo).to_be_disabled()
    page.get_by_role("radio", name="hat").check()
    page.mouse.move(spot["x"] + spot["width"] * 0.3, spot["y"] + spot["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(spot["x"] + spot["width"] * 0.6, spot["y"] + spot["height"] * 0.3, steps=5)
    page.mouse.up()
    expect(undo).to_be_enabled()
    page.keyboard.press("z")
    expect(undo).to_be_disabled()
    page.get_by_role("radio", name="hair").check()
    page.locator("#view").focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Enter")
    expect(undo).to_be_enabled()
    expect(page.locator("#told")).to_have_text(re.compile(": hair$"))
    page.get_by_label("Why").fill("more hair")
    page.get_by_role("button", name=re.compile("^Save")).click()
    page.wait_for_url(f"{console}/jobs/{two}")

    (after,) = system.wait_for_jobs([two])
    assert after.row.status == "succeeded", after.row.error
    assert after.result_key != before.result_key
    with transaction(system.engine) as session:
        (version, _) = painting.versions(session, two)
        painted = painting.painted(session, two, version.number)
        composed = painting.label_map(session, client.store, two, painting.COMPOSED)
    assert (version.who, version.why, version.in_use) == ("olga", "more hair", True)
    changed = painted.label_map != composed
    assert changed.any()
    assert set(painted.label_map[changed].tolist()) == {int(Region.HAIR)}  # the hat was undone
    assert np.count_nonzero(changed) < 64  # one dab of the brush, no more
    page.goto(f"{console}/results?batch={before.row.batch_id}")
    expect(first.locator(".decision")).to_have_text(re.compile("undecided"))  # another result
    assert complaints == []
    page.set_viewport_size({"width": 390, "height": 844})
    for path in (f"/results/{two}", f"/jobs/{two}/mask", f"/results?batch={before.row.batch_id}"):
        page.goto(console + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.context.close()
