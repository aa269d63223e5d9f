import fcntl
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from barber.errors import SettingsError
from barber.standalone.home import Home, Running, write_private

RUNNING = Running(
    pid=os.getpid(), database_url="postgresql+psycopg2://x", console="http://c/", bundle="b"
)


def test_running_home_tells_its_address_to_others_only_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home:
        with pytest.raises(SettingsError, match="nothing runs on"):
            Home(tmp_path / "home").find_running()
        home.announce(RUNNING)
        assert Home(tmp_path / "home").find_running() == RUNNING
        assert stat.S_IMODE((tmp_path / "home" / "up.json").stat().st_mode) == 0o600
    with pytest.raises(SettingsError, match="barber up --home"):
        Home(tmp_path / "home").find_running()


def test_second_owner_is_told_where_the_first_is(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.announce(RUNNING)
        with pytest.raises(SettingsError, match=f"process {os.getpid()}, console http://c/"):
            Home(tmp_path).__enter__()
    with Home(tmp_path):
        pass


def test_address_left_by_a_killed_owner_is_not_believed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from barber.standalone.home import *;"
        "h = Home(Path(sys.argv[1])); h.__enter__();"
        "h.announce(Running(pid=1, database_url='x', console='y', bundle='z')); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 9
    assert (tmp_path / "up.json").exists()
    with pytest.raises(SettingsError, match="nothing runs on"):
        Home(tmp_path).find_running()


def test_missing_home_is_not_created_by_a_question(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing runs on"):
        Home(tmp_path / "never").find_running()
    assert not (tmp_path / "never").exists()


def test_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match=r"cannot be written .* give another with --home"):
        Home(tmp_path / "file").__enter__()


def test_full_disk_is_said_and_the_lock_is_free_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        total: int = 2**30
        used: int = 2**30
        free: int = 3 * 2**20

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage())
        with pytest.raises(SettingsError, match="is full \\(3 MB free"):
            Home(tmp_path).__enter__()
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_clear_empties_a_home_and_nothing_else(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    with Home(home):
        (home / "data").write_text("x")
        with pytest.raises(SettingsError, match="already runs"):
            Home(home).clear()
    Home(home).clear()
    assert not home.exists()
    other.mkdir()
    (other / "letter").write_text("dear")
    with pytest.raises(SettingsError, match="no home of ours"):
        Home(other).clear()
    assert (other / "letter").exists()


def test_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    write_private(file, "new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
