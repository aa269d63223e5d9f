from __future__ import annotations

import pytest
import torch

from barber.errors import CheckpointError
from barber.labels import REGION_COUNT
from barber.models.segmenter import Segmenter, SegmenterWidths
from tests.support.tiny_bundle import SEGMENTER_WIDTHS, tiny_bundle


def test_the_official_widths_have_the_official_entries() -> None:
    with torch.device("meta"):
        state = Segmenter().state_dict()

    assert len(state) == 191
    assert state["conv_out.conv_out.weight"].shape == (16, 256, 1, 1)
    assert state["cp.resnet.layer4.0.downsample.0.weight"].shape == (512, 256, 1, 1)
    size_mb = sum(v.numel() * v.element_size() for v in state.values()) / 1e6
    assert round(size_mb, 1) == 53.2


def test_logits_have_the_inputs_size_whatever_the_stem() -> None:
    for widths in (SEGMENTER_WIDTHS, SegmenterWidths(trunk=(8, 8, 8, 8), context=8, fusion=8)):
        parser = Segmenter(widths).eval()

        logits = parser(torch.zeros(2, 3, 64, 64))

        assert logits.shape == (2, REGION_COUNT, 64, 64)


def test_the_first_head_alone_gives_the_label_logits() -> None:
    parser = tiny_bundle().segmenter
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    heads = parser.all_logits(x)

    assert torch.equal(parser(x), heads[0])
    assert all(h.shape == heads[0].shape for h in heads)


def test_the_lowest_label_wins_a_tie() -> None:
    logits = torch.zeros(1, REGION_COUNT, 2, 2)
    logits[:, [4, 10]] = 1.0

    assert (Segmenter.label_map(logits) == 4).all()


def test_normalising_maps_the_training_mean_to_zero() -> None:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 2, 2)

    assert Segmenter.normalise(mean).abs().max() == 0
    torch.testing.assert_close(
        Segmenter.normalise(torch.ones(1, 3, 1, 1)).flatten(),
        torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]),
    )


def test_widths_survive_json() -> None:
    assert SegmenterWidths.from_json(SEGMENTER_WIDTHS.to_json()) == SEGMENTER_WIDTHS


@pytest.mark.parametrize(
    "change", [{"trunk": [8, 8]}, {"stem_kernel": 4}, {"stem_stride": 3}, {"surplus": 1}]
)
def test_widths_that_make_no_network_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="segmenter"):
        SegmenterWidths.from_json({**SEGMENTER_WIDTHS.to_json(), **change})
