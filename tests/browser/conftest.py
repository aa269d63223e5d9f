"""The whole system with its console, and a headless Chromium in front of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from barber.settings import Settings
from tests.support.postgres import server_url
from tests.support.system import QUICK

__all__ = ["server_url"]

# Nothing of the browser may ask the network for anything.
QUIET = [
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on this machine: .ci/run installs it")
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=binary, args=QUIET)
        yield chromium
        chromium.close()


def settings_for(url: str, folder: Path, **changes: object) -> Settings:
    facts = {**QUICK, **changes}
    return Settings(database_url=url, home=folder / "home", bundle=str(folder / "bundle"), **facts)
