"""A finished run: what its numbers depend on, and the numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from barber.evaluation.batch import Finished
from barber.evaluation.cases import Experiment, Material, Stratum
from barber.evaluation.features import Titles
from barber.evaluation.measure import Measurements
from barber.evaluation.methods import Chosen
from barber.evaluation.summary import Metric, metrics, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What every number of a run depends on."""

    bundle: str
    digest: str
    preset: str
    settings: tuple[str, ...]
    seed: int
    noise: str
    software: str

    def stamp(self, n: str) -> str:
        """What stands under every figure."""
        by_hand = f" with {', '.join(self.settings)}" if self.settings else ""
        return (
            f"{n}, seed {self.seed}, preset {self.preset}{by_hand}, "
            f"bundle {self.bundle} {self.digest[:12]}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A finished run."""

    facts: Facts
    material: Material
    chosen: Chosen
    finished: Finished
    measured: Measurements
    titles: Titles
    sheets: Mapping[str, int]  # cases on each picture, by its name: worst, middle, best

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those that at least one composite was measured by."""
        rows = [row for row in self.measured.rows if row.experiment is Experiment.TRANSFER]
        found = {name for row in rows for name in row.values}
        return tuple(m for m in metrics(self.titles.vgg, self.titles.lpips) if m.name in found)

    @property
    def strata(self) -> tuple[Stratum, ...]:
        return tuple(s for s in Stratum if any(row.stratum is s for row in self.measured.rows))

    def values(
        self, method: str, metric: Metric, stratum: Stratum | None = None
    ) -> dict[str, float]:
        """One metric of a method's composites by case."""
        return values(self.measured.rows, Experiment.TRANSFER, method, metric.name, stratum)

    def cases(self, stratum: Stratum | None = None) -> int:
        """How many cases were measured."""
        return len(
            {
                row.case
                for row in self.measured.rows
                if row.experiment is Experiment.TRANSFER and stratum in (None, row.stratum)
            }
        )
