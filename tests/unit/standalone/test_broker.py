"""Whether anybody listens at the broker's address."""

import socket

import pytest

from barber.errors import SettingsError
from barber.standalone.broker import check_broker_address
from barber.standalone.postgres import free_port


def test_nobody_there_is_one_sentence_without_the_password():
    port = free_port()
    with pytest.raises(SettingsError, match=f"no broker answers at 127.0.0.1:{port}") as refused:
        check_broker_address(f"amqp://ann:s3cret@127.0.0.1:{port}//")
    assert "s3cret" not in str(refused.value)


def test_unknown_host_is_named():
    with pytest.raises(SettingsError, match=r"no broker answers at broker\.invalid:6379"):
        check_broker_address("redis://broker.invalid/0")


def test_somebody_there_is_enough():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_broker_address(f"amqp://127.0.0.1:{server.getsockname()[1]}//")


def test_folder_needs_nobody():
    check_broker_address("filesystem://")
