"""What one pool child takes of its machine's memory and of its device's, and how it gives it back.

Torch is touched only where it is loaded already and the device is a CUDA one.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

STATM = Path("/proc/self/statm")
NO_LIMIT_KIB = 2**50  # what the pool compares with where a process may hold any amount


def resident_bytes() -> int:
    """The host memory that this process holds now; where nobody tells, the most it ever held."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def reserved_bytes(device: str) -> int:
    """The device memory that this process keeps from others, its caches included; 0 on a CPU."""
    cuda = _cuda(device)
    return int(cuda.memory_reserved(device)) if cuda else 0


def footprint(device: str) -> dict[str, int]:
    """In bytes: `process`, and on a CUDA device `reserved` and, in all, `device`."""
    facts = {"process": resident_bytes()}
    cuda = _cuda(device)
    if cuda:
        total = int(cuda.get_device_properties(device).total_memory)
        facts |= {"reserved": reserved_bytes(device), "device": total}
    return facts


def held_kib(device: str, device_limit_mb: int) -> int:
    """What the pool compares with its limit, in KiB; beyond any when the device's is exceeded."""
    reserved_mb = reserved_bytes(device) / 2**20
    if 0 < device_limit_mb < reserved_mb:
        log.info("%.0f MB of %s are reserved: a new process takes over", reserved_mb, device)
        return NO_LIMIT_KIB + 1
    return resident_bytes() // 1024


def release(device: str) -> None:
    """Gives back what is held without need: garbage, and the allocator's caches."""
    gc.collect()
    cuda = _cuda(device)
    if cuda:
        cuda.empty_cache()


def _cuda(device: str) -> Any:
    """Torch's CUDA module when this process runs on such a device."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and device.startswith("cuda") else None
