"""What a check says: its name, the number it measured, the threshold, a sentence and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from barber.errors import InputError


class Check(StrEnum):
    """Every check by the name that people see and that `--allow` takes."""

    FORMAT = "format"  # the file is a single picture of a known kind
    FILE_SIZE = "file-size"
    DECODED_PIXELS = "decoded-pixels"  # before anything is decompressed
    PICTURE_SIZE = "picture-size"  # against the bundle's portraits
    ONE_FACE = "one-face"
    FACE_SIZE = "face-size"  # of a photograph's crop, in pixels of the photograph
    FRAMING = "framing"  # the face's share of the portrait
    BLUR = "blur"
    DARKNESS = "darkness"
    HIGHLIGHTS = "highlights"
    CONTRAST = "contrast"
    POSE = "pose"  # between the identity and a reference
    REGION = "region"  # the region is there in its reference
    BALD = "bald"  # what counts as hair looks like skin
    OCCLUSION = "occlusion"  # a hat over the hair, glasses over the eyes
    NO_CHANGE = "no-change"  # a region's reference is the identity itself
    DUPLICATE = "duplicate"  # a row that asks for what an earlier one asks for


# Where nothing could be computed, no wish helps.
FINAL_CHECKS = (Check.FORMAT, Check.FILE_SIZE, Check.DECODED_PIXELS, Check.PICTURE_SIZE)


class Verdict(StrEnum):
    """How a check ended; the order is that of gravity."""

    PASS = "pass"  # noqa: S105 - no password
    NOT_CHECKED = "not checked"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check on one portrait, or on one region of a job."""

    check: Check
    verdict: Verdict
    sentence: str  # what was found and what helps; names the portrait
    number: float | None = None  # as measured; None when there is nothing to measure
    threshold: float | None = None  # that the number met, or missed
    unit: str = ""
    portrait: str = ""  # the name of its file; empty for a finding on the whole row
    region: str = ""  # the labels, joined by "+"
    allowed: bool = False  # it was a refusal, and somebody wanted the job all the same

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers are rounded to what can be told apart."""
        facts = asdict(self) | {"check": str(self.check), "verdict": str(self.verdict)}
        for name in ("number", "threshold"):
            if facts[name] is not None:
                facts[name] = float(f"{facts[name]:.4g}")
        return facts

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote."""
        facts = dict(data)
        check, verdict = Check(facts.pop("check")), Verdict(facts.pop("verdict"))
        return cls(check=check, verdict=verdict, **facts)


class Refused(InputError):
    """A picture or row that checks refuse; `findings` are their refusals, at least one."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("; ".join(finding.sentence for finding in self.findings))


def read_allowed(words: Iterable[str]) -> frozenset[Check]:
    """The checks whose refusals become warnings.

    Raises:
        InputError: There is no such check, or its refusal cannot be set aside.
    """
    allowed = []
    can_be = [check for check in Check if check not in FINAL_CHECKS]
    for word in words:
        if word not in can_be:
            known = ", ".join(can_be)
            raise InputError(f"--allow {word!r}: use one of {known}")
        allowed.append(Check(word))
    return frozenset(allowed)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict; PASS when there is none."""
    order = list(Verdict)
    return max((finding.verdict for finding in findings), key=order.index, default=Verdict.PASS)
