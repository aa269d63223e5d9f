"""What a chaos run showed, read from the record that it left, and in the words of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from barber.chaos.checker import Finding
from barber.chaos.faults import FaultKind
from barber.chaos.rules import DOUBLED, DROPPED

QUANTILES = (("median", 0.5), ("p95", 0.95), ("worst", 1.0))

# Per stage lost with its worker: from the last heartbeat, with which the lease began that ran out,
# until the next claim.
RECOVERY = text(
    "SELECT extract(epoch FROM next.started_at - (lost.data->>'lease_until')::timestamptz)"
    " + :lease_s FROM event AS lost JOIN LATERAL (SELECT started_at FROM attempt"
    "   WHERE stage_id = lost.stage_id AND token > (lost.data->>'token')::int"
    "   ORDER BY token LIMIT 1) AS next ON true"
    " WHERE lost.data ? 'lease_until'"
)
BUILT = text(
    "SELECT stage.kind, count(*) FROM attempt JOIN stage ON stage.id = attempt.stage_id"
    " WHERE outcome = 'succeeded' GROUP BY 1 ORDER BY 1"
)
REUSED = text("SELECT count(*) FROM event WHERE kind = 'reused'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the catalogue says of a run."""

    jobs: Mapping[str, int]  # by status
    attempts: Mapping[str, int]  # by outcome
    built: Mapping[str, int]  # stages that a worker did, by kind
    reused: int  # stages that found their artifact ready
    recovery_s: tuple[float, ...]  # from a lost worker's last heartbeat to the next claim, sorted

    def recovery(self, share: float) -> float:
        """A quantile of the recovery times; nan without any."""
        return float(np.quantile(self.recovery_s, share)) if self.recovery_s else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosReport:
    """What a run showed."""

    seed: int
    seconds: float
    lease_s: float
    blows: Mapping[FaultKind, int]
    dice: Mapping[str, int]  # messages lost and doubled
    record: Record
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return all(finding.kept for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """The report: faults, work, recovery, and a line per promise."""
        for kind, count in sorted(self.blows.items()):
            yield f"fault   {kind}: {count}"
        yield f"messages  {_listed(self.dice)}"
        yield f"jobs  {_listed(self.record.jobs)}"
        yield f"attempts  {_listed(self.record.attempts)}"
        rate = sum(self.record.built.values()) / self.seconds
        yield (
            f"stages  {_listed(self.record.built)} built, {rate:.1f} a second; "
            f"{self.record.reused} reused"
        )
        if self.record.recovery_s:
            times = (f"{word} {self.record.recovery(share):.1f} s" for word, share in QUANTILES)
            yield (
                f"recovery  {len(self.record.recovery_s)} lost stages claimed anew after the last "
                f"heartbeat: {', '.join(times)}; the lease is {self.lease_s:g} s"
            )
        yield from map(str, self.findings)
        yield f"{'sound' if self.sound else 'BROKEN'}: seed {self.seed}, {self.seconds:.0f} s"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items()) or "none"


def read_record(engine: Engine, *, lease_s: float) -> Record:
    """Reads what a finished run left in the catalogue."""
    with engine.connect() as connection:
        built = {str(kind): int(count) for kind, count in connection.execute(BUILT)}
        reused = int(connection.scalar(REUSED) or 0)
        recovery = tuple(
            sorted(float(s) for s in connection.scalars(RECOVERY, {"lease_s": lease_s}))
        )
    return Record(
        jobs=_counts(engine, "job", "status"),
        attempts=_counts(engine, "attempt", "outcome"),
        built=built,
        reused=reused,
        recovery_s=recovery,
    )


def _counts(engine: Engine, table: str, column: str) -> dict[str, int]:
    query = text(f"SELECT {column}, count(*) FROM {table} GROUP BY 1 ORDER BY 2 DESC")  # noqa: S608 (our own words)
    with engine.connect() as connection:
        return {str(word): int(count) for word, count in connection.execute(query)}


def count_dice(logs: Path) -> dict[str, int]:
    """How many messages the processes say that they lost or doubled on purpose."""
    counts = {"lost": 0, "doubled": 0}
    for log in logs.glob("*.log"):
        with log.open(errors="replace") as lines:
            for line in lines:
                counts["lost"] += DROPPED in line
                counts["doubled"] += DOUBLED in line
    return counts
