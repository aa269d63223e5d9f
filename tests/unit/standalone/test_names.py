"""Two workers of one machine never bear one name, not even before the catalogue knows them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from barber.catalogue.status import WorkerStatus
from barber.catalogue.workers import WorkerRow
from barber.errors import InputError, SettingsError
from barber.standalone.names import Names, choose_name, name_workers


def test_names_tell_the_devices_of_one_machine_apart() -> None:
    assert name_workers("w", ["cuda:1"]) == [("w", "cuda:1")]
    devices = ["cuda:0", "cuda:1", "cuda:0"]
    names = [name for name, _ in name_workers("w", devices)]
    assert names == ["w-cuda0", "w-cuda1", "w-cuda0-2"]


def up(name: str, *, host: str = "m", pid: int | None = None, alive: bool = True) -> WorkerRow:
    now = datetime.now(UTC)
    return WorkerRow(
        name=name,
        device="cpu",
        queues=("gpu",),
        pid=os.getpid() if pid is None else pid,
        versions={},
        status=WorkerStatus.READY,
        started_at=now,
        seen_at=now,
        alive_until=now,
        silent_s=0.0,
        alive=alive,
        bundle="a" * 64,
        bundle_name="any",
        host=host,
        memory={},
        warm_up_s=None,
    )


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Names]:
    with Names(tmp_path / "workers") as names:
        yield names


def test_nobody_takes_the_name_of_a_living_worker_of_the_same_machine(tmp_path: Path) -> None:
    def choose(
        asked: str | None, devices: list[str], present: list[WorkerRow], *, host: str
    ) -> str:
        with Names(tmp_path) as names:
            return choose_name(asked, devices, present, host=host, names=names)

    assert choose(None, ["cuda:1"], [], host="m") == "m-cuda1"
    present = [up("m-cpu"), up("m-cpu-2"), up("m-cpu-3", alive=False), up("m-cuda0")]
    assert choose(None, ["cpu"], present, host="m") == "m-cpu-3"
    assert choose(None, ["cuda:0", "cuda:1"], present, host="m") == "m-2"
    with pytest.raises(InputError, match=r"'m-cpu' is up on this machine already \(process"):
        choose("m-cpu", ["cpu"], present, host="m")
    assert choose("m-cpu", ["cpu"], [up("m-cpu", host="n")], host="m") == "m-cpu"
    gone = up("m-cpu", pid=2**22 + 1)  # killed a moment ago
    assert choose("m-cpu", ["cpu"], [gone], host="m") == "m-cpu"


def test_a_name_is_taken_before_the_catalogue_knows_it(tmp_path: Path, names: Names) -> None:
    folder = tmp_path / "workers"
    assert choose_name(None, ["cpu"], [], host="m", names=names) == "m-cpu"
    with Names(folder) as others:
        assert choose_name(None, ["cpu"], [], host="m", names=others) == "m-cpu-2"
        assert choose_name(None, ["cpu", "cuda:0"], [], host="m", names=others) == "m-2"
        with pytest.raises(InputError, match="'m-cpu' is up on this machine already: give"):
            choose_name("m-cpu", ["cpu"], [], host="m", names=others)
    assert choose_name("m-cpu-2", ["cpu"], [], host="m", names=names) == "m-cpu-2"


def test_a_name_is_free_when_its_process_was_killed(tmp_path: Path, names: Names) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from barber.standalone.names import *;"
        "names = Names(Path(sys.argv[1])); assert names.take(['m/cpu']);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "workers")]
    assert subprocess.run(command, check=False).returncode == -9
    assert (tmp_path / "workers" / "m%2Fcpu.lock").exists()
    assert names.take(["m/cpu"])


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "workers").touch()
    with pytest.raises(SettingsError, match=r"workers cannot be written .* --home or BARBER_HOME"):
        Names(tmp_path / "workers").take(["w"])
