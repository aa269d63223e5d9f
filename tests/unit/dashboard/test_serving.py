"""`python -m dashboard`: settings and port are checked before anything starts."""

import socket

import pytest
from click.testing import CliRunner

from barber.errors import SettingsError
from dashboard.__main__ import listen, main


def test_a_port_in_use_is_named_with_the_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}.*--port"):
            listen("127.0.0.1", port)


def test_port_zero_takes_any_free_one():
    with listen("127.0.0.1", 0) as listener:
        assert listener.getsockname()[1] > 0


def test_missing_settings_end_with_one_sentence(monkeypatch):
    monkeypatch.delenv("BARBER_DATABASE_URL", raising=False)
    result = CliRunner().invoke(main, ["--port", "0"])
    assert result.exit_code == 2
    assert "BARBER_DATABASE_URL" in result.output
    assert "Traceback" not in result.output
