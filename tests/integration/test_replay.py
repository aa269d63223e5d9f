"""Equal work gives equal bytes: in fresh processes, and through the queue with two workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from barber.pixels import encode_png
from barber.settings import Settings
from barber.spec import StageParams
from tests.support.postgres import fresh_database
from tests.support.system import PROJECT, QUICK, SHORT, Client, System, picture, write_tiny_bundle

pytestmark = pytest.mark.integration

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay")
    write_tiny_bundle(folder / "bundle")
    for number in (1, 2):
        (folder / f"portrait-{number}.png").write_bytes(picture(number, 64))
    return folder


def barber(*arguments: object, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BARBER_")}
    return subprocess.run(
        [sys.executable, "-m", "barber", *map(str, arguments)],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(PROJECT), **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )


def settings_of(params: StageParams) -> list[str]:
    """The options that give these params."""
    return [
        f"--set={stage}.{name}={value}"
        for stage, values in params.to_json().items()
        for name, value in values.items()
        if name.endswith("steps")
    ]


def compose(folder: Path, out: Path, *, cwd: Path, **environ: str) -> bytes:
    said = barber(
        *("compose", "--bundle", folder / "bundle", "--identity", folder / "portrait-1.png"),
        *("--hair", folder / "portrait-2.png", "--out", out, "--no-parse", *settings_of(SHORT)),
        cwd=cwd,
        **environ,
    )
    assert said.returncode == 0, said.stderr
    return out.read_bytes()


@pytest.fixture(scope="module")
def composed(folder: Path) -> bytes:
    """What `barber compose` writes."""
    return compose(
        folder, folder / "composed.png", cwd=folder, PYTHONHASHSEED="1", OMP_NUM_THREADS="1"
    )


@pytest.mark.slow
def test_same_job_gives_the_same_bytes_in_every_process_and_in_the_queue(
    server_url: str, folder: Path, composed: bytes, tmp_path: Path
) -> None:
    again = compose(folder, tmp_path / "a.png", cwd=tmp_path, PYTHONHASHSEED="2")
    assert again == composed

    told = barber("replay", tmp_path / "a.png", "--portraits", folder, cwd=tmp_path)
    assert told.returncode == 1
    assert "which is not here: name its folder with --bundle" in told.stderr
    arguments = ("replay", tmp_path / "a.png", "--bundle", folder / "bundle")
    told = barber(*arguments, "--portraits", folder, "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["identical"] is True

    assert queued(server_url, folder, tmp_path) == composed


def queued(server_url: str, folder: Path, place: Path) -> bytes:
    """The result of the same job through a queue, as `barber result` writes it."""
    with fresh_database(server_url) as url:
        settings = Settings(
            database_url=url, home=place / "home", bundle=str(folder / "bundle"), **QUICK
        )
        with System(settings, place / "logs") as system:
            names = ["worker-0", "worker-1"]
            for name in names:
                system.start_worker(name)
            system.start_dispatcher()
            system.wait_ready(*names)
            client = Client.of(system)
            (job,) = system.wait_for_jobs(client.submit(client.spec(1, 2)))
            said = barber(
                *("result", job.row.id, "--out", place / "out"),
                cwd=place,
                **settings.to_env(),
            )
            assert said.returncode == 0, said.stderr
            refused = barber("result", 999, "--out", place / "x", cwd=place, **settings.to_env())
            assert refused.returncode == 1
            assert "no job 999" in refused.stderr
    (png,) = (place / "out").glob("*.png")
    told = json.loads(png.with_suffix(".json").read_text())
    assert {origin["name"] for origin in told["origins"]} == {"portrait-1.png", "portrait-2.png"}
    assert all(stage["losses"] for stage in told["recipe"]["stages"])
    return png.read_bytes()


@pytest.mark.slow
def test_replay_of_a_changed_picture_tells_how_far_it_is_off(
    folder: Path, composed: bytes, tmp_path: Path
) -> None:
    from barber.pixels import decode, read_recipe

    out = tmp_path / "a.png"
    pixels = decode(composed, name="a").copy()
    pixels[0, :32] ^= 1
    out.write_bytes(encode_png(pixels, recipe=read_recipe(composed, name="a")))
    arguments = ("replay", out, "--bundle", folder / "bundle", "--portraits", folder)
    said = barber(*arguments, cwd=tmp_path)
    assert said.returncode == 1
    assert "by 1 of 255 at most" in said.stdout
    assert "0.78% of the pixels (versions and device are the same)" in said.stdout


@pytest.mark.parametrize("after_s", [0.0, 0.2, 1.0])
def test_ctrl_c_is_one_line_from_the_first_import_on(tmp_path: Path, after_s: float) -> None:
    """From the moment on at which the interpreter itself is ready, which -v tells."""
    with subprocess.Popen(
        [sys.executable, "-v", "-m", "barber", "faces", str(tmp_path / "f"), "--count", "9999"],
        cwd=PROJECT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores Ctrl-C, and so would everything that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "import 'click'" in line or "import 'barber.errors'" in line:
                break
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "Traceback" not in rest
    assert rest.count("barber: interrupted") == 1
