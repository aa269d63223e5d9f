"""docs/conformance.md: the table of a whole run, as the command writes it."""

from __future__ import annotations

import platform
import resource
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

from tests.conformance.bench import Bench
from tests.conformance.compare import Line, Verdict
from tests.conformance.vectors import VectorSet

PACKAGES = {
    "torch": "torch",
    "numpy": "numpy",
    "pillow": "pillow",
    "scipy": "scipy",
    "opencv": "opencv-python-headless",
}
MIB = 2**20

INTRODUCTION = """\
# Conformance

<!-- Written by `make conformance ARGS='--write docs/conformance.md'`: run that, do not edit. -->

Every array of the reference vectors against what our classes compute. The vectors are outputs of
the public reference code on synthetic weights (`tests/conformance/vectors/README.md` has the
recipe); `BARBER_VECTORS=DIR make conformance` prints the same table for another set of the form.

An error is measured by the metric of its tolerance: `max_rel` and `rms_rel` are relative to the
reference's largest and root mean square value, `mismatch`, `outliers` and `bytes` are shares of
entries, `first step` is `max_rel` of a stage's first step alone. An array that is `input` is data
that a case starts from.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where and with what a run was made."""

    versions: dict[str, str]
    system: str
    device: str
    threads: int
    peak_bytes: int  # of this process, resident
    device_peak_bytes: int | None  # of tensors on the device; none on the CPU

    @classmethod
    def of(cls, bench: Bench) -> Facts:
        """The facts as they are now."""
        on_cuda = bench.device.type == "cuda"
        scale = 1 if sys.platform == "darwin" else 1024  # ru_maxrss counts KiB on Linux
        return cls(
            versions={"python": platform.python_version()}
            | {name: version(package) for name, package in PACKAGES.items()},
            system=f"{platform.system()} {platform.machine()}",
            device=torch.cuda.get_device_name(bench.device) if on_cuda else _cpu(),
            threads=torch.get_num_threads(),
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale,
            device_peak_bytes=torch.cuda.max_memory_allocated(bench.device) if on_cuda else None,
        )

    @property
    def memory(self) -> str:
        text = f"{self.peak_bytes / MIB:.0f} MiB"
        if self.device_peak_bytes is not None:
            text += f", on the device {self.device_peak_bytes / MIB:.0f} MiB"
        return text


@dataclass(slots=True)
class Report:
    """The lines of a run, and how long each file took."""

    lines: list[Line] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether something was compared or given, and nothing missed."""
        return bool(self.lines) and not any(x.verdict is Verdict.MISS for x in self.lines)

    def summary(self, facts: Facts) -> str:
        """One sentence of counts, with time and memory."""
        return (
            f"{self.counts}; {sum(self.seconds.values()):.0f} s, "
            f"{facts.device}, {facts.threads} thread{'s' * (facts.threads != 1)}, "
            f"peak memory {facts.memory}"
        )

    @property
    def counts(self) -> str:
        """How many agree, miss and are inputs."""
        found = Counter(line.verdict for line in self.lines)
        compared = found[Verdict.OK] + found[Verdict.MISS]
        return (
            f"{compared} arrays: {found[Verdict.OK]} agree, {found[Verdict.MISS]} miss, "
            f"none left out; {found[Verdict.INPUT]} inputs"
        )


def page(vectors: VectorSet, report: Report, facts: Facts) -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION, f"**{report.counts}.**\n", _run_table(vectors, report, facts)]
    for file, seconds in report.seconds.items():
        parts.append(f"## {file}\n\n{seconds:.0f} s.\n")
        parts.append(_table([line for line in report.lines if line.file == file]))
    others = [line for line in report.lines if line.file not in report.seconds]
    if others:
        parts += ["## Files that the manifest does not list\n", _table(others)]
    return "\n".join(parts)


def write_page(path: Path, text: str) -> None:
    """Writes a page whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _run_table(vectors: VectorSet, report: Report, facts: Facts) -> str:
    made_with = vectors.manifest.get("made_with", {})
    rows = {
        "set": f"{vectors.name}, salt `{vectors.salt}`, {len(vectors.files)} files",
        "ours": ", ".join(f"{name} {number}" for name, number in facts.versions.items()),
        "reference": ", ".join(f"{name} {number}" for name, number in dict(made_with).items()),
        "system": facts.system,
        "device": f"{facts.device}, {facts.threads} thread{'s' * (facts.threads != 1)}",
        "peak memory": facts.memory,
        "time": f"{sum(report.seconds.values()):.0f} s",
    }
    body = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items())
    return f"| run | |\n| --- | --- |\n{body}\n"


def _table(lines: list[Line]) -> str:
    rows = [
        " | ".join(
            [
                "",
                f"`{line.name}`" if line.name else f"`{line.file}`",
                _cell(line.meaning),
                _cell(line.error),
                _cell(line.tolerance),
                _cell(f"{line.verdict}: {line.reason}" if line.reason else line.verdict),
                "",
            ]
        ).strip()
        for line in lines
    ]
    head = "| array | what it is | error | tolerance | verdict |\n| --- | --- | --- | --- | --- |"
    return "\n".join([head, *rows, ""])


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|")


def _cpu() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU ({capability})"
