"""`barber up` as a person runs it: real processes from the first line to Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from barber.manifest import MANIFEST_NAME, read_manifest
from barber.pixels import decode, encode_png
from barber.standalone import cast
from barber.standalone.postgres import free_port
from tests.support.system import SHORT, write_tiny_bundle

pytestmark = pytest.mark.integration

BOOT_S = 420  # a worker imports torch; the machine may be busy


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a preset of few steps, so that jobs take it by default."""
    path = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(path)
    manifest = read_manifest(path).to_json() | {"presets": {"demo": SHORT.to_json()}}
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))
    return path


@dataclass
class Machine:
    """A person at a terminal: commands by name, and one `barber up` at a time."""

    home: Path
    bundle: Path
    folder: Path
    ups: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def barber(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "barber.cli", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self.environ(),
            timeout=BOOT_S,
        )

    def environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
        return kept | {
            "BARBER_BUNDLE": str(self.bundle),
            "BARBER_LEASE_S": "3",
            "BARBER_GRACE_S": "8",
        }

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    def up(self) -> subprocess.Popen[bytes]:
        """Starts the system and waits until it says that it is up."""
        (self.folder / "up.log").unlink(missing_ok=True)
        command = ["barber.cli", "up", "--home", self.home, "--port", "0", "--workers", "1"]
        with (self.folder / "up.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, command)],
                env=self.environ(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.ups.append(process)
        self.wait(lambda: "Ctrl-C" in self.log or process.poll() is not None, "the system is up")
        assert process.poll() is None, self.log
        return process

    def running(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "up.json").read_text())
        return found

    def wait(self, condition: Callable[[], object], what: str, limit_s: float = BOOT_S) -> None:
        deadline = time.monotonic() + limit_s
        while not condition():
            logs = [f"--- {p}\n{p.read_text()[-2000:]}" for p in self.home.glob("logs/*.log")]
            assert time.monotonic() < deadline, "\n".join([f"no sign that {what}", *logs])
            time.sleep(0.1)


@pytest.fixture
def machine(tmp_path: Path, bundle: Path) -> Iterator[Machine]:
    machine = Machine(home=tmp_path / "home", bundle=bundle, folder=tmp_path)
    try:
        yield machine
    finally:
        for up in machine.ups:
            for process in family(up):
                process.kill()


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and everything that descends from it, as long as it lives."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def named(path: Path) -> list[int]:
    """Processes whose command line names a path."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(path) in word for word in process.info["cmdline"] or [])
    ]


def write_table(folder: Path) -> Path:
    for number, name in enumerate("abc"):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        (folder / f"{name}.png").write_bytes(encode_png(pixels))
    table = folder / "table.csv"
    table.write_text("name,identity,hair\none,a.png,b.png\ntwo,c.png,b.png\n")
    return table


def health(machine: Machine) -> bool:
    try:
        with urllib.request.urlopen(f"{machine.running()['console']}health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.matrix(25)
def test_a_table_runs_from_submission_to_pictures_and_ctrl_c_leaves_nothing(
    machine: Machine,
) -> None:
    up = machine.up()
    assert health(machine)

    second = machine.barber("up", "--home", machine.home)
    assert second.returncode == 1
    assert f"process {up.pid}" in second.stderr
    assert machine.running()["console"] in second.stderr

    table = write_table(machine.folder)
    done = machine.barber("submit", table, "--no-parse", "--home", machine.home, "--watch")
    assert done.returncode == 0, done.stderr + machine.log
    assert "2 succeeded" in done.stdout
    assert "one succeeded" in done.stdout

    rows = json.loads(machine.barber("jobs", "--home", machine.home, "--json").stdout)
    views = [
        json.loads(machine.barber("show", row["id"], "--home", machine.home, "--json").stdout)
        for row in rows
    ]
    for view in views:
        assert decode(Path(view["result"]).read_bytes(), name="result").shape == (64, 64, 3)
    shared = [s for v in views for s in v["stages"] if s["kind"] == "reconstruct"]
    assert sum(len(stage["attempts"]) for stage in shared) == 3  # b is reconstructed once

    everybody = family(up)
    assert len(everybody) > 5
    up.send_signal(signal.SIGINT)
    assert up.wait(60) == 0
    assert "stopped" in machine.log
    assert alive(everybody) == []
    assert not (machine.home / "up.json").exists()
    said = machine.barber("jobs", "--home", machine.home)
    assert (said.returncode, "nothing runs on" in said.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.matrix(26)
def test_next_up_finds_the_data_even_after_a_kill(machine: Machine) -> None:
    up = machine.up()
    table = write_table(machine.folder)
    submitted = machine.barber("submit", table, "--no-parse", "--home", machine.home, "--json")
    assert submitted.returncode == 0, submitted.stderr
    everybody = family(up)
    up.kill()
    up.wait()

    up = machine.up()  # the old server, an orphan, has been stopped by now
    rows = json.loads(machine.barber("jobs", "--home", machine.home, "--json").stdout)
    assert [row["name"] for row in rows] == ["two", "one"]
    machine.wait(lambda: not alive(everybody), "the first system is gone")
    watched = machine.barber(
        "watch", json.loads(submitted.stdout)["batch_id"], "--home", machine.home
    )
    assert watched.returncode == 0, watched.stderr + watched.stdout

    console = next(p for p in family(up) if "dashboard" in p.cmdline())
    console.kill()
    machine.wait(lambda: "console was killed by SIGKILL" in machine.log, "its end was noticed")
    machine.wait(lambda: health(machine), "the console is back")
    everybody = family(up)
    up.terminate()
    assert up.wait(60) == 0
    assert alive(everybody) == []


def test_port_in_use_is_said_before_anything_starts(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = machine.barber("up", "--home", machine.home, "--port", port)
    assert said.returncode == 1
    assert said.stderr.startswith(f"barber: port {port} cannot be used (Address already in use)")
    assert not machine.home.exists()


def test_system_that_cannot_stay_up_ends_with_the_reason_and_leaves_nothing(
    machine: Machine,
) -> None:
    machine.home.mkdir()
    (machine.home / "broker").write_text("a file where the broker's folder should be")
    said = machine.barber("up", "--home", machine.home, "--port", free_port(), "--workers", "1")
    assert said.returncode == 1
    assert str(machine.home / "logs") in said.stderr
    assert "Traceback" not in said.stderr
    assert named(machine.home) == []


@pytest.mark.slow
def test_demo_writes_every_result_and_the_sheet(machine: Machine) -> None:
    out = machine.folder / "out"
    done = machine.barber("demo", "--out", out, "--no-parse", "--port", "0", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "http://127.0.0.1:" in done.stdout
    assert "refused line 9 (bea-with-a-broken-picture)" in done.stdout
    names = {job.name for job in cast.JOBS[:-1]}
    assert {path.stem for path in (out / "results").iterdir()} == names
    assert all(name in done.stdout for name in names)
    sheet = decode((out / "contact-sheet.png").read_bytes(), name="sheet")
    assert sheet.shape[0] > 8 * 160
    assert "reused" in done.stdout
    assert named(out) == []
