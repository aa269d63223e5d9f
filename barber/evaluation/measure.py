"""From finished jobs to numbers: one set of measurements per case and method.

Where the true composite is known, pictures are compared with it. Elsewhere only what can be known
is measured: whether the hair lies where the reference's does, and whether the rest was kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation
from torch import Tensor

from barber.evaluation.baselines import cut_and_paste
from barber.evaluation.batch import Finished
from barber.evaluation.cases import Case, Experiment, Material, Stratum, used
from barber.evaluation.features import Distances, frechet
from barber.evaluation.methods import Chosen, Method, Pasted, reconstructions
from barber.evaluation.metrics import PEAK, Mask, capped_psnr, overlap, rmse, ssim
from barber.labels import Region
from barber.models.parsing import PortraitParser
from barber.photographs.picture import LabelMap
from barber.pixels import Pixels, decode
from barber.spec import PortraitKey

RIM_SHARE = 1 / 32  # of the side: how far around hair a picture without a truth may change


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One picture that a method made, compared."""

    experiment: Experiment
    case: str
    method: str
    stratum: Stratum | None
    values: Mapping[str, float]  # by the names of `report.METRICS`; what cannot be told is absent

    def to_json(self, names: Mapping[str, str]) -> dict[str, Any]:
        """For the file of numbers; `names` are what some values are called there."""
        return {
            "experiment": self.experiment,
            "case": self.case,
            "method": self.method,
            "stratum": self.stratum,
            **{names.get(name, name): round(value, 5) for name, value in self.values.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All numbers of a run."""

    rows: tuple[Measured, ...]
    frechet: Mapping[tuple[Experiment, str], float | None]  # by experiment and method
    ceiling: float | None  # mean hair IoU of the true composites themselves, by the parser


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A case with everything that it can be looked at by."""

    case: Case
    inputs: Mapping[str, Pixels]  # identity, hair, and colour where it is a third portrait's
    truth: Pixels | None
    results: Mapping[str, Pixels]  # by method; without those that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Studio:
    """What measuring needs."""

    material: Material
    chosen: Chosen
    finished: Finished
    size: int  # side of the portraits
    load: Callable[[str], bytes] = field(repr=False)  # a file of the store by its digest
    parser: PortraitParser = field(repr=False)
    distances: Distances = field(repr=False)

    def portrait(self, key: PortraitKey) -> Pixels:
        """uint8 [R, R, 3]."""
        return decode(self.material.pictures[key].png, name=self.material.names[key])

    def result(self, job: str) -> Pixels | None:
        """What a job made; None when it failed."""
        digest = self.finished.results.get(job)
        return None if digest is None else decode(self.load(digest), name=job)

    def labels(self, key: PortraitKey) -> LabelMap:
        """A portrait's own label map, or the parser's."""
        own = self.material.pictures[key].label_map()
        return self.parser([self.portrait(key)])[0] if own is None else own

    def show(self, case: Case) -> Shown:
        """A case's pictures."""
        inputs = {"identity": self.portrait(case.identity), "hair": self.portrait(case.hair)}
        if case.colour != case.hair:
            inputs["colour"] = self.portrait(case.colour)
        truth = self.material.truth(case, self.size)
        results = {}
        for method in self.chosen.methods:
            found = self._made(case, method, inputs)
            if found is not None:
                results[method.name] = found
        return Shown(
            case=case,
            inputs=inputs,
            truth=None if truth is None else truth.pixels,
            results=results,
        )

    def _made(self, case: Case, method: Method, inputs: Mapping[str, Pixels]) -> Pixels | None:
        match method.pasted:
            case None:
                return self.result(Experiment.TRANSFER.job(case.name, method.name))
            case Pasted.UNEDITED:
                return inputs["identity"]
            case Pasted.CUT_AND_PASTE:
                third = case.colour if "colour" in inputs else None
                return cut_and_paste(
                    inputs["identity"],
                    inputs["hair"],
                    self.labels(case.hair),
                    inputs.get("colour"),
                    None if third is None else self.labels(third),
                )


def measure(studio: Studio, told: Callable[[int, int], None]) -> Measurements:
    """Measures everything that a run made.

    Args:
        studio: The run.
        told: Told how many cases are done, of how many.
    """
    rows = list(_reconstructions(studio))
    sets: dict[tuple[Experiment, str], list[Tensor]] = defaultdict(list)
    references: dict[Experiment, list[Tensor]] = defaultdict(list)
    for key in used(studio.material.cases):
        references[Experiment.RECONSTRUCTION].append(
            studio.distances.features(studio.portrait(key))
        )
    for name in reconstructions(studio.chosen):
        for key in used(studio.material.cases):
            made = studio.result(Experiment.RECONSTRUCTION.job(studio.material.names[key], name))
            if made is not None:
                sets[Experiment.RECONSTRUCTION, name].append(studio.distances.features(made))
    ceilings: list[float] = []
    total = len(studio.material.cases)
    for number, case in enumerate(studio.material.cases, start=1):
        shown = studio.show(case)
        rows += _transfers(studio, shown, ceilings)
        for name, picture in shown.results.items():
            sets[Experiment.TRANSFER, name].append(studio.distances.features(picture))
        if shown.truth is not None:
            references[Experiment.TRANSFER].append(studio.distances.features(shown.truth))
        told(number, total)
    references.setdefault(Experiment.TRANSFER, references[Experiment.RECONSTRUCTION])
    return Measurements(
        rows=tuple(rows),
        frechet={at: frechet(found, references[at[0]]) for at, found in sets.items()},
        ceiling=float(np.mean(ceilings)) if ceilings else None,
    )


def _reconstructions(studio: Studio) -> Iterator[Measured]:
    """Every portrait against its own reconstruction."""
    for key in used(studio.material.cases):
        portrait, name = studio.portrait(key), studio.material.names[key]
        maps = studio.distances.maps(portrait)
        for method in reconstructions(studio.chosen):
            made = studio.result(Experiment.RECONSTRUCTION.job(name, method))
            if made is not None:
                values = _likeness(studio, made, portrait, maps)
                yield Measured(
                    experiment=Experiment.RECONSTRUCTION,
                    case=name,
                    method=method,
                    stratum=None,
                    values=values,
                )


def _transfers(studio: Studio, shown: Shown, ceilings: list[float]) -> Iterator[Measured]:
    case, identity = shown.case, shown.inputs["identity"]
    before, reference = studio.labels(case.identity), studio.labels(case.hair)
    truth = studio.material.truth(case, studio.size)
    if truth is None:
        wanted = reference == Region.HAIR
        changed = _near(_hair(before) | wanted, studio.size)
        stratum = Stratum.GROWS if wanted.sum() > _hair(before).sum() else Stratum.SHRINKS
        maps = None
    else:
        wanted = _nearest(truth.label_map == Region.HAIR, len(reference))
        changed = (truth.pixels != identity).any(axis=2)
        stratum = case.stratum or Stratum.GROWS
        maps = studio.distances.maps(truth.pixels)
        seen = overlap(_hair(studio.parser([truth.pixels])[0]), wanted)
        ceilings += [] if seen is None else [seen]
    for name, picture in shown.results.items():
        values: dict[str, float] = {}
        if truth is not None and maps is not None:
            values |= _likeness(studio, picture, truth.pixels, maps)
            _put(values, "psnr_inside", capped_psnr(picture, truth.pixels, changed))
        kept = identity if truth is None else truth.pixels
        _put(values, "psnr_outside", capped_psnr(picture, kept, ~changed))
        _put(values, "hair_iou", overlap(_hair(studio.parser([picture])[0]), wanted))
        yield Measured(
            experiment=Experiment.TRANSFER,
            case=case.name,
            method=name,
            stratum=stratum,
            values=values,
        )


def _likeness(studio: Studio, made: Pixels, wanted: Pixels, maps: list[Tensor]) -> dict[str, float]:
    """The six numbers of the paper's table but FID, of one picture."""
    found = {"rmse": rmse(made, wanted) / PEAK, "ssim": ssim(made, wanted)}
    _put(found, "psnr", capped_psnr(made, wanted))
    return found | studio.distances.between(studio.distances.maps(made), maps)


def _put(values: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        values[name] = value


def _hair(label_map: LabelMap) -> Mask:
    hair: Mask = label_map == Region.HAIR
    return hair


def _nearest(mask: Mask, side: int) -> Mask:
    image = Image.fromarray(mask.astype(np.uint8))
    small: Mask = np.asarray(image.resize((side, side), Image.Resampling.NEAREST)) > 0
    return small


def _near(mask: Mask, side: int) -> Mask:
    """The mask at side x side with a rim around it."""
    grown: Mask = binary_dilation(_nearest(mask, side), iterations=max(1, round(side * RIM_SHARE)))
    return grown
