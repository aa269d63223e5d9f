"""What a process holds, and when the pool replaces it."""

import subprocess
import sys

import pytest

from workers import memory

MIB = 2**20


class FakeCuda:
    """Stands for torch's module where there is no device to reserve memory of."""

    def __init__(self):
        self.emptied = 0

    def memory_reserved(self, device):
        return 300 * MIB

    def get_device_properties(self, device):
        return type("Properties", (), {"total_memory": 1000 * MIB})

    def empty_cache(self):
        self.emptied += 1


@pytest.fixture
def cuda(monkeypatch):
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", type("torch", (), {"cuda": cuda}))
    return cuda


GROW = """
from workers import memory
before = memory.resident_bytes()
block = bytearray(64 * 1024**2)
block[::4096] = b"x" * len(block[::4096])
print(memory.resident_bytes() - before)
"""


def test_resident_memory_is_what_the_process_holds_now():
    # in a process of its own: in this one others' memory may be given back meanwhile
    grown = subprocess.run([sys.executable, "-c", GROW], capture_output=True, check=True, text=True)
    assert 50 * MIB < int(grown.stdout) < 120 * MIB
    assert memory.footprint("cpu").keys() == {"process"}


def test_device_memory_is_told_and_its_caches_given_back(cuda):
    facts = memory.footprint("cuda:0")
    assert (facts["reserved"], facts["device"]) == (300 * MIB, 1000 * MIB)

    memory.release("cpu")
    assert cuda.emptied == 0
    memory.release("cuda:0")
    assert cuda.emptied == 1


def test_process_over_its_device_limit_is_beyond_every_limit_of_the_pool(cuda):
    assert memory.held_kib("cuda:0", 299) > memory.NO_LIMIT_KIB
    assert memory.held_kib("cuda:0", 301) < memory.NO_LIMIT_KIB
    assert memory.held_kib("cuda:0", 0) < memory.NO_LIMIT_KIB, "no limit"
    assert memory.held_kib("cpu", 1) == pytest.approx(memory.resident_bytes() / 1024, rel=0.1)
