import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from barber.errors import SettingsError
from barber.standalone import children
from barber.standalone.children import Child, stop_all


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def build(code: str, name: str = "worker") -> Child:
        child = Child(
            name,
            [sys.executable, "-c", code],
            environ=dict(os.environ),
            log_file=tmp_path / f"{name}.log",
        )
        made.append(child)
        return child

    yield build
    for child in made:
        child.finish()


def wait_for(condition: Callable[[], object], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_output_goes_to_the_log(make: Callable[..., Child]) -> None:
    child = make("print('hello')")
    child.start()
    wait_for(child.has_ended)
    assert child.log_file.read_text() == "hello\n"


def test_killed_child_is_started_again(
    make: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.01)
    child = make("import time; time.sleep(60)")
    child.start()
    first = child.pid
    assert first is not None
    assert child.tend() is None
    os.kill(first, signal.SIGKILL)
    wait_for(child.has_ended)
    said = child.tend()
    assert said is not None
    assert "worker was killed by SIGKILL" in said
    wait_for(lambda: child.tend() or child.pid != first)
    assert not child.has_ended()


def test_child_that_never_stays_up_is_given_up_with_its_last_words(
    make: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.001)
    child = make("raise RuntimeError('no such device')")
    child.start()

    def tend_until_given_up() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            child.tend()
            time.sleep(0.005)

    with pytest.raises(SettingsError) as caught:
        tend_until_given_up()
    assert f"{children.MAX_QUICK_ENDS} times in a row" in str(caught.value)
    assert "RuntimeError: no such device" in str(caught.value)
    assert str(child.log_file) in str(caught.value)
    assert child.log_file.read_text().count("Traceback") == children.MAX_QUICK_ENDS


def test_child_that_says_it_cannot_start_is_not_started_again(make: Callable[..., Child]) -> None:
    child = make("import sys; print('bundle is damaged'); sys.exit(2)")
    child.start()
    wait_for(child.has_ended)
    with pytest.raises(SettingsError, match="worker does not start: bundle is damaged"):
        child.tend()


def test_stopping_ends_those_who_listen_and_those_who_do_not(make: Callable[..., Child]) -> None:
    polite = make("import time; print('up', flush=True); time.sleep(60)", "polite")
    deaf = make(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)",
        "deaf",
    )
    for child in (polite, deaf):
        child.start()
    wait_for(lambda: all("up" in child.log_file.read_text() for child in (polite, deaf)))
    pids = [child.pid for child in (polite, deaf)]
    began = time.monotonic()
    stop_all([polite, deaf], 0.5)
    assert time.monotonic() - began < 5
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


def test_stopping_ends_the_children_of_a_child(make: Callable[..., Child]) -> None:
    child = make(
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    child.start()
    wait_for(lambda: child.log_file.read_text().strip())
    grandchild = psutil.Process(int(child.log_file.read_text()))
    stop_all([child], 2)
    wait_for(lambda: not grandchild.is_running() or grandchild.status() == "zombie")


def test_hurry_does_not_wait(make: Callable[..., Child]) -> None:
    deaf = make(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('up', flush=True); time.sleep(60)"
    )
    deaf.start()
    wait_for(lambda: "up" in deaf.log_file.read_text())
    began = time.monotonic()
    stop_all([deaf], 30, hurry=lambda: True)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
def test_child_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from barber.standalone.children import Child
child = Child("c", [sys.executable, "-c", "import time; time.sleep(60)"],
              environ=dict(os.environ), log_file=Path({str(tmp_path / "c.log")!r}))
child.start()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid = int(done.stdout)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie")
