from __future__ import annotations

import pytest
import torch
import torchvision

from barber.errors import CheckpointError
from barber.models.vgg import VGGFeatures, VGGWidths
from tests.support.tiny_bundle import VGG_WIDTHS

TAPS = (3, 8, 15, 22, 29)


def test_features_equal_torchvisions_under_its_own_entry_names() -> None:
    theirs = torchvision.models.vgg16(weights=None, init_weights=False).features
    ours = VGGFeatures()
    ours.load_state_dict({f"features.{key}": v for key, v in theirs.state_dict().items()})
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        found, expected = ours(x, 5), []
        for k, layer in enumerate(theirs):
            x = layer(x)
            if k in TAPS:
                expected.append(x)

    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other)


def test_fewer_taps_run_fewer_blocks() -> None:
    vgg = VGGFeatures(VGG_WIDTHS)
    x = torch.randn(2, 3, 32, 32, requires_grad=True)

    found = vgg(x, 2)
    sum(f.sum() for f in found).backward()

    assert [f.shape for f in found] == [(2, 8, 32, 32), (2, 12, 16, 16)]
    ran = [name for name, p in vgg.named_parameters() if p.grad is not None]
    assert ran == ["features.0.weight", "features.0.bias", "features.3.weight", "features.3.bias"]


def test_widths_survive_json() -> None:
    assert VGGWidths.from_json(VGG_WIDTHS.to_json()) == VGG_WIDTHS


@pytest.mark.parametrize("data", [{}, {"blocks": []}, {"blocks": [[8, 0]]}, {"blocks": 3}])
def test_widths_that_make_no_network_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="VGG"):
        VGGWidths.from_json(data)
