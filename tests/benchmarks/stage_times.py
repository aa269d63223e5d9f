"""What the stages themselves take with the shipped bundle on a CPU: one thread, CPU seconds."""

from __future__ import annotations

import time
from collections import defaultdict

import torch

from barber.artifacts import Artifact, Portrait
from barber.manifest import find_bundle
from barber.models.bundle import ModelBundle
from barber.pipeline import run_stage
from barber.pixels import portrait_key
from barber.plan import ArtifactKey, StageKind, plan
from barber.spec import JobSpec, PortraitKey, default_preset, preset_params
from barber.standalone.modes import PEOPLE
from tests.benchmarks.page import Section, table
from tests.benchmarks.seed import toy_spec

BUNDLE = "rendered-128"


def measure() -> Section:
    """One job of one reference (hair, shape and colour), two drawn people, the default preset."""
    torch.set_num_threads(1)
    bundle = ModelBundle.load(find_bundle(BUNDLE), torch.device("cpu"))
    side = bundle.manifest.geometry.image_size
    portraits: dict[PortraitKey, Portrait] = {}
    for name in ("ada", "bea"):
        pixels = PEOPLE[name].portrait(side)
        key = portrait_key(pixels)
        portraits[key] = Portrait(sha256=key, pixels=pixels)
    preset = default_preset(bundle.presets)
    spec = JobSpec(
        identity=next(iter(portraits)),
        regions=toy_spec(*portraits).regions,
        bundle=bundle.digest,
        params=preset_params(preset, bundle.presets),
    )
    took: dict[StageKind, list[float]] = defaultdict(list)
    done: dict[ArtifactKey, Artifact] = {}
    for stage in plan(spec):
        began = time.process_time()
        done[stage.key] = run_stage(
            bundle,
            spec,
            stage,
            portraits=portraits.__getitem__,
            artifacts=done.__getitem__,
            on_step=lambda _: None,
        )
        took[stage.kind].append(time.process_time() - began)
    mean = {kind: sum(seconds) / len(seconds) for kind, seconds in took.items()}
    whole = sum(map(sum, took.values()))
    rows = [(kind, len(took[kind]), f"{mean[kind]:.1f}") for kind in StageKind]
    text = f"""
One job of one reference with the shipped bundle (`{BUNDLE}`, {side} pixels, preset
`{preset}`), one thread. CPU seconds: on an idle core the clock says the same.

{table(("stage", "of a job", "CPU s each"), rows)}

The whole job: {whole:.0f} s.
"""
    figures = {"stage_s": {str(kind): seconds for kind, seconds in mean.items()}}
    return Section(name="stages", title="The stages themselves", text=text, figures=figures)
