"""The embedded server as real processes: persistence, owners, crashes, stepping down from root."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from sqlalchemy.engine import make_url

from barber.errors import SettingsError
from barber.standalone.postgres import EmbeddedPostgres, find_binaries

pytestmark = pytest.mark.integration

FAST = {"fsync": "off"}


def query(url: str, text: str) -> object:
    address = make_url(url)
    connection = psycopg2.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        dbname=address.database,
    )
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was started once; each test copies nothing and leaves it stopped."""
    directory = tmp_path_factory.mktemp("pg") / "data"
    with EmbeddedPostgres(directory, settings=FAST) as server:
        query(server.url, "CREATE TABLE kept (value int)")
        query(server.url, "INSERT INTO kept VALUES (42)")
    return directory


@pytest.fixture
def below_root() -> Iterator[Path]:
    """A directory that only root may enter, as a checkout below /root is."""
    if os.geteuid() != 0:
        pytest.skip("only root has a directory that only root may enter")
    closed = Path("/root") / f"barber-test-{os.getpid()}"
    closed.mkdir(mode=0o700)
    try:
        yield closed
    finally:
        shutil.rmtree(closed)


def test_data_are_found_again_and_the_state_file_is_private(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert query(server.url, "SELECT value FROM kept") == 42
        assert make_url(server.url).host == "127.0.0.1"
        assert stat.S_IMODE((cluster / "state.json").stat().st_mode) == 0o600
        process = server.process
    assert process is not None
    assert process.returncode == 0


def test_server_listens_on_loopback_only_and_asks_for_the_password(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert query(server.url, "SHOW listen_addresses") == "127.0.0.1"
        wrong = server.url.replace(str(make_url(server.url).password), "wrong")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            query(wrong, "SELECT 1")


@pytest.mark.matrix(25)
def test_second_owner_is_refused_by_name(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        with pytest.raises(SettingsError, match=f"in use by process {os.getpid()}"):
            EmbeddedPostgres(cluster).start()
        assert query(server.url, "SELECT value FROM kept") == 42


def test_starts_again_after_kill_of_the_server(cluster: Path) -> None:
    server = EmbeddedPostgres(cluster, settings=FAST)
    server.start()
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not server.has_ended():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    url = server.url
    server.restart()
    try:
        assert server.url == url  # whoever knew the address finds it again
        assert query(url, "SELECT value FROM kept") == 42
    finally:
        server.stop()


OWNER = """
import sys, time
from pathlib import Path
from barber.standalone.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), settings={"fsync": "off"})
server.start()
print(server.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.matrix(26)
@pytest.mark.parametrize("kill_server_too", [False, True], ids=["orphan", "both-killed"])
def test_starts_again_after_kill_of_its_owner(cluster: Path, kill_server_too: bool) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(cluster)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    server_pid = int(owner.stdout.readline())
    owner.kill()
    if kill_server_too:
        os.kill(server_pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert query(server.url, "SELECT value FROM kept") == 42
        assert server.process is not None
        assert server.process.pid != server_pid
        gone = not psutil.pid_exists(server_pid)
        assert gone or psutil.Process(server_pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.matrix(26)
def test_pid_file_of_another_living_program_is_no_obstacle(cluster: Path) -> None:
    pid_file = cluster / "cluster" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{cluster / 'cluster'}\n")
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert query(server.url, "SELECT value FROM kept") == 42


def test_lost_password_is_said(cluster: Path) -> None:
    state = cluster / "state.json"
    text = state.read_text()
    state.unlink()
    try:
        with pytest.raises(SettingsError, match=r"state\.json .* missing or damaged"):
            EmbeddedPostgres(cluster).start()
    finally:
        state.write_text(text)
    with EmbeddedPostgres(cluster, settings=FAST):
        pass


def test_failed_start_names_the_log_and_frees_the_directory(cluster: Path) -> None:
    with pytest.raises(SettingsError, match=r"does not start: .*shared_buffers.*postgres\.log"):
        EmbeddedPostgres(cluster, settings={"shared_buffers": "nonsense"}).start()
    with EmbeddedPostgres(cluster, settings=FAST):
        pass


def test_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be written"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_no_server_in_an_explicit_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"no PostgreSQL in {tmp_path}"):
        find_binaries(tmp_path)
    with pytest.raises(SettingsError, match="the data need PostgreSQL 9"):
        find_binaries(major="9")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's help is Linux's")
@pytest.mark.parametrize("below", ["open", "closed"])
def test_server_ends_with_its_owner(
    cluster: Path, below: str, request: pytest.FixtureRequest
) -> None:
    directory = cluster if below == "open" else request.getfixturevalue("below_root") / "data"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(directory)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    server = psutil.Process(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 20
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server outlives its owner"
        time.sleep(0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_root_steps_down(cluster: Path) -> None:
    with EmbeddedPostgres(cluster, settings=FAST) as server:
        assert server.process is not None
        assert psutil.Process(server.process.pid).username() == "nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_root_steps_down_below_a_directory_that_only_root_may_enter(below_root: Path) -> None:
    with EmbeddedPostgres(below_root / "home" / "data", settings=FAST) as server:
        assert server.process is not None
        assert psutil.Process(server.process.pid).uids().real == pwd.getpwnam("nobody").pw_uid
        assert query(server.url, "SELECT 1") == 1
    assert stat.S_IMODE(below_root.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk can be mounted by root only")
def test_full_disk_leaves_no_half_made_data(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        with pytest.raises(SettingsError, match="No space left on device"):
            EmbeddedPostgres(disk / "data").start()
        assert [path.name for path in (disk / "data").iterdir()] == ["lock"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
