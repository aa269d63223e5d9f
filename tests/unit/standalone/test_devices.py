"""Which devices workers run on, and what is said of those that do not exist."""

from __future__ import annotations

import pytest
import torch

from barber.errors import InputError, SettingsError
from barber.models import devices as machine
from barber.standalone.devices import CPU, Device, choose, find_devices

GPUS = [
    Device(name="cpu"),
    Device(name="cuda:0", model="Card A", memory_bytes=8),
    Device(name="cuda:1", model="Card B", memory_bytes=9),
]


def found() -> list[Device]:
    return GPUS


def nobody() -> list[Device]:
    raise AssertionError("nobody needs to ask")


def test_all_are_the_cuda_devices_or_else_the_processor() -> None:
    assert choose((), everything=True, find=found) == ["cuda:0", "cuda:1"]
    assert choose((), everything=True, find=lambda: GPUS[:1]) == [CPU]


def test_chosen_devices_are_taken_as_they_come() -> None:
    assert choose(["cuda:1", "cuda:0"], everything=False, find=found) == ["cuda:1", "cuda:0"]
    assert choose(["cuda"], everything=False, find=found) == ["cuda:0"]
    assert choose(["cpu", "cpu"], everything=False, find=nobody) == [CPU, CPU]


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "cuda:", ""])
def test_device_that_does_not_exist_is_told_with_those_that_do(name: str) -> None:
    said = r"it has cpu, cuda:0 \(Card A\), cuda:1 \(Card B\)"
    with pytest.raises(InputError, match=said) as caught:
        choose([name], everything=False, find=found)
    assert repr(name) in str(caught.value)


def test_machine_is_asked_by_a_process_of_its_own() -> None:
    assert [device.name for device in find_devices()] == [d["name"] for d in machine.devices()]


def test_cuda_devices_are_listed_and_checked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = type("Properties", (), {"name": "Card A", "total_memory": 8})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    assert machine.devices()[1] == {"name": "cuda:0", "model": "Card A", "memory_bytes": 8}
    assert machine.check_device("cuda") == torch.device("cuda:0")
    with pytest.raises(SettingsError, match="BARBER_DEVICE is 'cuda:1': this machine has cpu, c"):
        machine.check_device("cuda:1")
