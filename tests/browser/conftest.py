"""The whole system with its console, and a headless Chromium in front of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from barber.settings import Settings
from tests.support.postgres import server_url
from tests.support.system import QUICK, System

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


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def start_console(system: System) -> str:
    """Starts the console on a free port; returns its address."""
    process = system._start("console", ["dashboard", "--port", "0"], {})

    def address() -> str:
        found = re.search(r"console: (http://\S+)/", process.log.read_text())
        return found[1] if found else ""

    return system.wait(address, "the console to listen")


def settings_for(url: str, folder: Path, **changes: object) -> Settings:
    facts = {**QUICK, **changes}
    return Settings(database_url=url, home=folder / "home", bundle=str(folder / "bundle"), **facts)
