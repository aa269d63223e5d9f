from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from barber.errors import CheckpointError
from barber.labels import CELEBAMASK_CLASSES, REGION_COUNT, LabelSet, Region
from barber.models.segmenter import Segmenter, SegmenterWidths, merge_classes
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
    "change",
    [{"trunk": [8, 8]}, {"stem_kernel": 4}, {"stem_stride": 3}, {"surplus": 1}, {"labels": "20"}],
)
def test_widths_that_make_no_network_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="segmenter"):
        SegmenterWidths.from_json({**SEGMENTER_WIDTHS.to_json(), **change})


def test_the_19_class_parser_differs_from_the_official_one_in_its_heads_only() -> None:
    with torch.device("meta"):
        ours = Segmenter().state_dict()
        theirs = Segmenter(SegmenterWidths(labels=LabelSet.CELEBAMASK)).state_dict()

    wider = {key for key in ours if ours[key].shape != theirs[key].shape}
    assert ours.keys() == theirs.keys()
    assert wider == {f"conv_out{n}.conv_out.weight" for n in ("", "16", "32")}
    assert {theirs[key].shape[0] for key in wider} == {19}


def test_merging_gives_each_region_the_probability_of_its_classes() -> None:
    logits = 3 * torch.randn(2, 19, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    theirs = logits.softmax(dim=1)

    ours = merge_classes(logits, LabelSet.CELEBAMASK).softmax(dim=1)

    for region in Region:
        classes = [k for k, (_, to) in enumerate(CELEBAMASK_CLASSES) if to is region]
        torch.testing.assert_close(ours[:, region], theirs[:, classes].sum(dim=1))


def test_the_19_classes_cover_every_region_and_pairs_meet() -> None:
    parts = [name for name, _ in CELEBAMASK_CLASSES]
    by_region = {r: [n for n, to in CELEBAMASK_CLASSES if to is r] for r in Region}

    assert len(set(parts)) == 19
    assert all(by_region.values())
    pairs = {r: names for r, names in by_region.items() if len(names) > 1}
    assert pairs == {
        Region.EYES: ["l_eye", "r_eye"],
        Region.BROWS: ["l_brow", "r_brow"],
        Region.EARS: ["l_ear", "r_ear"],
    }


def test_a_19_class_parser_gives_label_logits_and_their_gradient() -> None:
    parser = Segmenter(replace(SEGMENTER_WIDTHS, labels=LabelSet.CELEBAMASK))
    parser.eval().requires_grad_(False)
    picture = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    picture.requires_grad_()

    heads = parser.all_logits(picture)
    torch.nn.functional.cross_entropy(heads[0], torch.full((1, 64, 64), Region.EYES)).backward()

    assert all(h.shape == (1, REGION_COUNT, 64, 64) for h in heads)
    assert picture.grad is not None and bool(torch.isfinite(picture.grad).all())
    assert picture.grad.abs().max() > 0


def test_the_documented_mapping_of_the_19_classes_is_the_one_in_use() -> None:
    text = (Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text()

    rows = re.findall(r"^\| (\d+) \| (\w+) \| ([a-z-]+) \|$", text, re.MULTILINE)

    assert rows == [(str(k), name, to.word) for k, (name, to) in enumerate(CELEBAMASK_CLASSES)]
