"""When a job has ended, and what a chord consists of: pure decisions, as tables."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from barber.catalogue.dispatch import branches
from barber.catalogue.flow import verdict
from barber.catalogue.status import TRANSITIONS, JobStatus, StageStatus

# A job with two portraits: target, two reconstructs, their aligns, the blend.
NAMES = ("target", "reconstruct0", "reconstruct1", "align0", "align1", "blend")
NEEDS = {
    "align0": ("target", "reconstruct0"),
    "align1": ("target", "reconstruct1"),
    "blend": ("target", "reconstruct0", "reconstruct1", "align0", "align1"),
}
LETTERS = {
    "p": StageStatus.PENDING,
    "d": StageStatus.DISPATCHED,
    "r": StageStatus.RUNNING,
    "s": StageStatus.SUCCEEDED,
    "f": StageStatus.FAILED,
    "c": StageStatus.CANCELLED,
}


def stages(letters: str, artifacts: str = "mmmmmm", due: str = "yyyyyy") -> list[SimpleNamespace]:
    """The stages of that job: each letter is a status, m(issing), b(uilding) or ready."""
    return [
        SimpleNamespace(
            key=name,
            kind=name.rstrip("01"),
            portrait=name[-1] if name[-1] in "01" else None,
            needs=NEEDS.get(name, ()),
            status=LETTERS[letter],
            artifact={"m": "missing", "b": "building", "r": "ready"}[artifact],
            due=when == "y",
        )
        for name, letter, artifact, when in zip(NAMES, letters, artifacts, due, strict=True)
    ]


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("pppppp", None),
        ("sssssp", None),
        ("ssssss", JobStatus.SUCCEEDED),
        ("fppppp", JobStatus.FAILED),  # no target, no chord
        ("sfpppp", None),  # the other branch can still run
        ("sfsppp", None),  # its align too
        ("sfspsp", JobStatus.FAILED),  # the failed branch's align cannot
        ("sfspfp", JobStatus.FAILED),
        ("sfsprp", None),  # something is out
        ("ssfdpp", None),
        ("sssfsp", JobStatus.FAILED),
        ("sssssf", JobStatus.FAILED),
        ("sffppp", JobStatus.FAILED),
    ],
)
def test_verdict(letters: str, expected: JobStatus | None) -> None:
    assert verdict(stages(letters), cancel_requested=False) is expected


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("cccccc", JobStatus.CANCELLED),
        ("srcccc", None),  # until its worker has noticed
        ("sscccc", JobStatus.CANCELLED),
        ("ssssss", JobStatus.CANCELLED),  # the cancel came first
        ("sfcccc", JobStatus.CANCELLED),
    ],
)
def test_verdict_once_cancel_is_requested(letters: str, expected: JobStatus | None) -> None:
    assert verdict(stages(letters), cancel_requested=True) is expected


@pytest.mark.parametrize(
    ("letters", "artifacts", "due", "expected"),
    [
        ("spppp", "rmmmm", "yyyyy", [["reconstruct0", "align0"], ["reconstruct1", "align1"]]),
        ("sspsp", "rrmrm", "yyyyy", [["reconstruct1", "align1"]]),
        ("ssspp", "rrrmm", "yyyyy", [["align0"], ["align1"]]),
        ("spppp", "rbmmm", "yyyyy", [["reconstruct1", "align1"]]),  # built by another job
        ("ssppp", "rrmbm", "yyyyy", [["reconstruct1", "align1"]]),
        ("spppp", "rmmbm", "yyyyy", [["reconstruct0"], ["reconstruct1", "align1"]]),
        ("spppp", "rmmmm", "ynyyy", [["reconstruct1", "align1"]]),  # waits for its repeat
        ("sfrpp", "rmbmm", "yyyyy", []),
        ("sssss", "rrrrr", "yyyyy", []),
    ],
)
def test_branches(letters: str, artifacts: str, due: str, expected: list[list[str]]) -> None:
    found = branches(stages(letters + "p", artifacts + "m", due + "y"))
    assert [[stage.key for stage in branch] for branch in found] == expected


@pytest.mark.parametrize(
    ("entity", "words"), [("job", set(JobStatus)), ("stage", set(StageStatus))]
)
def test_every_status_can_be_left_and_reached(entity: str, words: set[str]) -> None:
    before, after = zip(*TRANSITIONS[entity], strict=True)
    assert set(before) == words, "retry and quarantine bring every ended one back"
    assert set(after) == words - {"queued"}
