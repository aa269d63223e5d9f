"""`barber worker` at the door."""

from __future__ import annotations

import pytest

from barber.cli.worker_verbs import _known_workers
from barber.settings import Settings


def test_a_catalogue_that_is_away_is_said_at_the_door(capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql+psycopg2://nobody:secret@127.0.0.1:1/none"
    assert _known_workers(Settings(database_url=url)) == []
    said = capsys.readouterr().err
    assert "the catalogue cannot be reached" in said and "the workers wait for it" in said
    assert "refused" in said and "secret" not in said
    assert said.count("\n") == 1
