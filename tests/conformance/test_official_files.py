"""Official files in full: the recipe's weights written, added, verified and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from barber.geometry import Geometry
from barber.labels import LabelSet
from barber.models import official
from barber.models.adding import Brought, Request, add_bundle
from barber.models.bundle import ModelBundle
from barber.models.segmenter import Segmenter, SegmenterWidths
from barber.models.stylegan2 import Generator
from barber.models.verification import verify
from barber.models.vgg import VGGFeatures
from tests.conformance.conftest import OWN
from tests.conformance.recipe import Recipe

# In the form of before PyTorch 1.6, which the public files have, and in today's.
FORMS = (True, False)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "multiplier"), [(1024, 2), (1024, 1), (512, 2)])
def test_files_of_official_size_become_a_bundle_that_holds_them(
    tmp_path: Path, size: int, multiplier: int
) -> None:
    recipe = Recipe(OWN)
    geometry = Geometry.official(size, channel_multiplier=multiplier)
    generator = recipe.fill("gen", Generator(geometry).state_dict())
    parser = recipe.fill("seg", Segmenter().state_dict())
    wider = Segmenter(SegmenterWidths(labels=LabelSet.CELEBAMASK)).state_dict()
    parser |= {key: value for key, value in wider.items() if value.shape != parser[key].shape}
    vgg = recipe.fill("vgg", VGGFeatures().state_dict())
    whole = {**vgg, "classifier.0.weight": torch.zeros(4096, 25088)}
    paths = {name: tmp_path / f"{name}.pt" for name in ("generator", "parser", "vgg")}
    content = {"g_ema": generator, "g": generator, "latent_avg": recipe.w_avg()[None]}
    for archive in FORMS:
        torch.save(content, paths["generator"], _use_new_zipfile_serialization=archive)
        torch.save(parser, paths["parser"], _use_new_zipfile_serialization=archive)
        torch.save(whole, paths["vgg"], _use_new_zipfile_serialization=archive)
        brought = Brought(**paths, lpips=official.lpips_package_file())
        request = Request(
            path=tmp_path / "bundles" / f"archive-{archive}", brought=brought, pca_samples=20_000
        )

        manifest = add_bundle(request, lambda *_: None).manifest

        assert manifest.geometry == geometry
        loaded = ModelBundle.load(request.path)
        for network, state in (
            (loaded.generator, generator),
            (loaded.segmenter, parser),
            (loaded.vgg, vgg),
        ):
            found = network.state_dict()
            assert found.keys() == state.keys()
            assert all(torch.equal(found[key], state[key]) for key in state)
        assert torch.equal(loaded.w_avg, recipe.w_avg())

    findings = list(verify(request.path))
    assert len(findings) == 10
    assert all(finding.sound for finding in findings), findings
