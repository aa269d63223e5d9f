"""The filesystem broker with whole messages."""

from queue import Empty

import pytest
from kombu import Connection
from kombu.exceptions import ChannelError


@pytest.fixture
def channel(tmp_path):
    folder = tmp_path / "messages"
    folder.mkdir()
    options = {
        "data_folder_in": str(folder),
        "data_folder_out": str(folder),
        "control_folder": str(tmp_path / "control"),
    }
    with Connection(
        "filesystem://", transport="workers.folder:Transport", transport_options=options
    ) as connection:
        yield connection.channel()


def message(number):
    return {"n": number, "properties": {"delivery_info": {}}}


def test_messages_come_out_once_and_in_order(channel):
    for number in range(3):
        channel._put("gpu", message(number))

    taken = [channel._get("gpu")["n"] for _ in range(3)]

    assert sorted(taken) == [0, 1, 2]
    with pytest.raises(Empty):
        channel._get("gpu")


def test_queues_do_not_see_each_other(channel):
    channel._put("cpu", message(1))

    with pytest.raises(Empty):
        channel._get("gpu")
    assert channel._get("cpu") == message(1)


def test_unfinished_message_is_invisible(channel, tmp_path):
    (tmp_path / "messages" / "new-1_x.gpu.msg.part").write_bytes(b"")

    assert channel._size("gpu") == 0
    with pytest.raises(Empty):
        channel._get("gpu")


def test_no_file_is_left_behind(channel, tmp_path):
    channel._put("gpu", message(1))
    channel._get("gpu")

    assert list((tmp_path / "messages").iterdir()) == []


def test_missing_folder_is_a_broker_error(channel, tmp_path):
    (tmp_path / "messages").rmdir()

    with pytest.raises(ChannelError, match="cannot write a message"):
        channel._put("gpu", {"n": 1})


def test_a_folder_that_is_away_is_an_empty_queue(channel, tmp_path):
    (tmp_path / "messages").rmdir()

    with pytest.raises(Empty):
        channel._get("gpu")
