"""What the bytes of a result depend on besides its job: versions, device, threads, flags."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import torch

from barber.plan import METHOD_VERSION

PACKAGES = {
    "barbershop": "barbershop",
    "numpy": "numpy",
    "pillow": "pillow",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "opencv": "opencv-python-headless",
}


def environment(device: torch.device) -> dict[str, str]:
    """Names and values, for a recipe; nothing in it says which machine this is."""
    facts = {name: version(package) for name, package in PACKAGES.items()}
    facts |= {
        "method": str(METHOD_VERSION),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device.type,
    }
    return facts | (_gpu(device) if device.type == "cuda" else _cpu())


def _cpu() -> dict[str, str]:
    return {
        "device_name": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),  # they change the order of sums
    }


def _gpu(device: torch.device) -> dict[str, str]:
    return {
        "device_name": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
        "cudnn_deterministic": str(torch.backends.cudnn.deterministic).lower(),
        "tf32": str(torch.backends.cuda.matmul.allow_tf32).lower(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
    }


def _processor() -> str:
    """The processor's name; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
