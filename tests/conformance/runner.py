"""`make conformance`: one line per array of a vector set, then a summary.

Ends with 0 when every array agrees, 1 when one misses, 2 when nothing could be compared at all. A
damaged file, a missing key or a case that fails is a line or a sentence, never a trace.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from tests.conformance.bench import Bench
from tests.conformance.cases import cases_of, computed, run_order
from tests.conformance.compare import Line, Verdict, judge, miss
from tests.conformance.conftest import VECTORS
from tests.conformance.page import Facts, Report, page, write_page
from tests.conformance.vectors import Entry, SetError, VectorSet

Selection = Mapping[str, list[str]]  # array names by file, in the order in which they are run
NAME_WIDTH = 76
ERROR_WIDTH = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except SetError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make conformance",
        description="Compares our classes with reference vectors, one line per array.",
        epilog="The folder comes from BARBER_VECTORS, else it is the project's own set.",
    )
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="FILE[:ARRAY]",
        help="only these, with * and ?: generator_256 'losses:lpips*'",
    )
    parser.add_argument("--vectors", type=Path, default=VECTORS, metavar="DIR", help="another set")
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda:0, ..")
    parser.add_argument("--threads", type=int, metavar="N", help="of the CPU; torch's own choice")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the table as Markdown")
    return parser


def _run(options: argparse.Namespace) -> int:
    _check(options)
    bench = Bench(options.vectors, device=_device(options.device), tell=_tell)
    vectors, report = bench.vectors, Report()
    selection = select(vectors, options.patterns)
    names = [f"{file}:{name}" for file, listed in selection.items() for name in listed]
    width = min(max(map(len, names), default=0), NAME_WIDTH)
    print(f"set {vectors.name}, salt {vectors.salt}, {vectors.folder}", flush=True)
    for file, listed in selection.items():
        started = time.monotonic()
        for line in check_file(bench, file, listed):
            report.lines.append(line)
            print(as_text(line, width), flush=True)
        report.seconds[file] = time.monotonic() - started
        vectors.forget(file)
    for file in vectors.unlisted_files() if not options.patterns else ():
        reason = "in the folder, not in the manifest: list it or take it away"
        report.lines.append(Line(file=file, name="", verdict=Verdict.MISS, reason=reason))
        print(as_text(report.lines[-1], width), flush=True)
    facts = Facts.of(bench)
    print(report.summary(facts))
    if options.write is not None:
        write_page(options.write, page(vectors, report, facts))
        print(f"written: {options.write}")
    return 0 if report.agrees else 1


def _check(options: argparse.Namespace) -> None:
    """Refuses options that cannot be meant; sets the number of threads."""
    if options.write is not None and options.patterns:
        raise SetError("--write makes a page of the whole set: leave the patterns out")
    if options.write is not None and not options.write.absolute().parent.is_dir():
        raise SetError(f"--write {options.write}: there is no such folder, make it first")
    if options.threads is not None:
        if options.threads < 1:
            raise SetError(f"--threads {options.threads}: give one thread at least")
        torch.set_num_threads(options.threads)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise SetError(f"--device {name} cannot be used here ({reason}): try cpu") from error
    return device


def _tell(words: str) -> None:
    print(f"   .. {words}", file=sys.stderr, flush=True)


def select(vectors: VectorSet, patterns: Sequence[str]) -> Selection:
    """The arrays that match one of the patterns, all without any.

    Args:
        vectors: The set.
        patterns: Each a file, with or without its ending, or a file, a colon and an array.

    Raises:
        SetError: A pattern matches nothing.
    """
    every = {file: vectors.names(file) for file in run_order(vectors.files)}
    if not patterns:
        return every
    for pattern in patterns:
        if not any(_matches(f, n, pattern) for f, names in every.items() for n in names):
            stems = ", ".join(file.removesuffix(".npz") for file in every)
            raise SetError(f"{pattern!r} matches no array of the set: its files are {stems}")
    found = {
        file: [n for n in names if any(_matches(file, n, pattern) for pattern in patterns)]
        for file, names in every.items()
    }
    return {file: names for file, names in found.items() if names}


def _matches(file: str, name: str, pattern: str) -> bool:
    wanted_file, colon, wanted_name = pattern.partition(":")
    fits = any(fnmatchcase(spelled, wanted_file) for spelled in (file, file.removesuffix(".npz")))
    return fits and fnmatchcase(name, wanted_name if colon else "*")


def check_file(bench: Bench, file: str, names: Sequence[str]) -> Iterator[Line]:
    """The lines of one file: inputs first, then results as they are computed.

    Args:
        bench: The set on its device.
        file: Of the manifest.
        names: Of its arrays; the whole list also looks for arrays that the manifest lacks.
    """
    vectors = bench.vectors
    entries: dict[str, Entry] = {}
    for name in names:
        try:
            entries[name] = vectors.entry(file, name)
        except SetError as error:
            yield Line(file=file, name=name, verdict=Verdict.MISS, reason=str(error))
    try:
        stored = vectors.load(file)
    except SetError as error:
        yield from (miss(entry, str(error)) for entry in entries.values())
        return
    if not vectors.is_as_listed(file):
        _tell(f"note: {file} has not the digest that the manifest gives: it was changed")
    if list(names) == vectors.names(file):
        for name in sorted(stored.keys() - set(names)):
            reason = "in the file, not in the manifest: list it or take it away"
            yield Line(file=file, name=name, verdict=Verdict.MISS, reason=reason)
    for entry in [entry for entry in entries.values() if entry.name not in stored]:
        del entries[entry.name]
        yield miss(entry, f"in the manifest, not in {file}: copy the file again")
    for entry in [entry for entry in entries.values() if entry.is_input]:
        del entries[entry.name]
        yield _given(entry)
    yield from _compare(bench, file, entries)


def _given(entry: Entry) -> Line:
    return Line(
        file=entry.file,
        name=entry.name,
        verdict=Verdict.INPUT,
        reason="nothing to compare",
        meaning=entry.meaning,
    )


def _compare(bench: Bench, file: str, waiting: dict[str, Entry]) -> Iterator[Line]:
    """The lines of results as they are computed; a case that fails does not end the others."""
    for _, names in cases_of(file, list(waiting)):
        try:
            for name, value in computed(bench, file, names):
                yield judge(waiting.pop(name), bench.vectors.array(file, name), value)
        except Exception as error:  # noqa: BLE001 - what a strange set does to a case is its line
            reason = f"its case failed: {_in_words(error)}"
            yield from (miss(waiting.pop(name), reason) for name in names if name in waiting)
    yield from (miss(entry, "no case computes it") for entry in waiting.values())


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, SetError) else f"{type(error).__name__}: {text}"


def as_text(line: Line, width: int) -> str:
    """One line of the table: verdict, file and array, error, tolerance, reason."""
    name = f"{line.file}:{line.name}" if line.name else line.file
    parts = [f"{line.verdict:<5}", f"{name:<{width}}"]
    if line.error and line.error != "not compared":
        parts += [f"{line.error:<{ERROR_WIDTH}}", line.tolerance]
    else:
        parts.append(line.tolerance)
    if line.reason:
        parts.append(line.reason)
    return "  ".join(part for part in parts if part).rstrip()
