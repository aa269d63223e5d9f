"""The broker's door, where nobody listens."""

import pytest

from barber.settings import Settings
from barber.standalone.postgres import free_port
from workers.app import create_app
from workers.broker import check_broker

DATABASE = "postgresql+psycopg2://u:p@127.0.0.1:1/none"


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
def test_broker_that_is_away_is_waited_for_and_its_password_is_not_told(scheme, tmp_path, caplog):
    url = f"{scheme}://ann:s3cret@127.0.0.1:{free_port()}/0"
    settings = Settings(database_url=DATABASE, broker_url=url, home=tmp_path)

    check_broker(create_app(settings))

    (record,) = caplog.records
    assert "cannot be reached" in record.getMessage()
    assert "BARBER_BROKER_URL" in record.getMessage()
    assert "s3cret" not in caplog.text


def test_folder_needs_nobody(tmp_path, caplog):
    check_broker(create_app(Settings(database_url=DATABASE, home=tmp_path)))

    assert caplog.records == []
