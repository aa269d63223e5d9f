"""A RabbitMQ node of the test run's own, in a temporary folder, on free ports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kombu import Connection

from barber.standalone.postgres import free_port

# Debian's /usr/sbin/rabbitmq-server changes the user; the script behind it does not.
CANDIDATES = ("/usr/lib/rabbitmq/bin/rabbitmq-server", shutil.which("rabbitmq-server") or "")
START_S = 90


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Starts a node; yields its address. Skips without the program, fails so in CI."""
    server = next((path for path in CANDIDATES if path and Path(path).exists()), None)
    if server is None:
        if os.environ.get("CI") == "true":
            pytest.fail("rabbitmq-server is not installed, and CI must test with it")
        pytest.skip("rabbitmq-server is not installed")
    with tempfile.TemporaryDirectory(prefix="barber-mq-") as folder:
        port, epmd_port = free_port(), free_port()
        environment = _environment(Path(folder), port, epmd_port)
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [server], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        url = f"amqp://guest:guest@127.0.0.1:{port}//"
        try:
            _wait_for(url, process, Path(folder, "log"))
            yield url
        finally:
            _end(process, environment)


def _environment(folder: Path, port: int, epmd_port: int) -> dict[str, str]:
    (folder / "plugins").write_text("[].\n")
    # One core is enough, and quiet schedulers leave the other processes theirs.
    flags = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"barber{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": flags,
    }


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with Connection(url, connect_timeout=2) as connection:
                connection.connect()
        except (OSError, *Connection(url).connection_errors):
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"RabbitMQ did not start:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=20)
    # The node's name server is a daemon in a session of its own; it goes when no node is left.
    for _ in range(20):
        done = subprocess.run(
            ["epmd", "-kill"], env=environment, check=False, capture_output=True, timeout=10
        )
        if b"Killed" in done.stdout + done.stderr:
            return
        time.sleep(0.25)
