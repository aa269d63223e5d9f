from __future__ import annotations

import lpips
import pytest
import torch
from torch import Tensor

from barber.errors import CheckpointError, StageError
from barber.losses.perceptual import Perceptual, is_empty, mask_levels, unit_length
from barber.models.vgg import VGGFeatures
from tests.support.tiny_bundle import VGG_WIDTHS, tiny_bundle, tiny_heads


@pytest.fixture
def perceptual() -> Perceptual:
    return tiny_bundle().perceptual


def picture(seed: int, size: int = 64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(1, 3, size, size, generator=source) - 1


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained'", "ignore:Arguments other than")
def test_the_distance_equals_the_lpips_package_on_equal_weights() -> None:
    theirs = lpips.LPIPS(pretrained=False, net="vgg", pnet_rand=True, verbose=False).eval()
    vgg = VGGFeatures()
    vgg.load_state_dict(
        {f"features.{key.split('.', 1)[1]}": v for key, v in theirs.net.state_dict().items()}
    )
    heads = {
        f"lin{k}.model.1.weight": head.model[1].weight.detach().abs()
        for k, head in enumerate(theirs.lins)
    }
    theirs.load_state_dict(heads, strict=False)
    ours = Perceptual(vgg, heads)
    a, b = picture(1), picture(2)

    with torch.no_grad():
        expected = theirs(a, b).flatten()
        found = ours.distance(a, ours.features(b))

    assert expected > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)


def test_a_picture_is_at_no_distance_from_itself(perceptual: Perceptual) -> None:
    assert perceptual.distance(picture(1), perceptual.features(picture(1))) == 0


def test_a_batch_equals_its_samples(perceptual: Perceptual) -> None:
    pair, target = torch.cat([picture(1), picture(2)]), perceptual.features(picture(3))

    together = perceptual.distance(pair, target)

    apart = torch.cat([perceptual.distance(p[None], target) for p in pair])
    assert together.shape == (2,)
    torch.testing.assert_close(together, apart)


def test_a_mask_of_ones_gives_the_plain_distance_of_three_taps(perceptual: Perceptual) -> None:
    a, b = picture(1), picture(2)
    target = perceptual.features(b)

    masked = perceptual.masked(a, target, torch.ones(1, 1, 64, 64))

    own = perceptual.features(a)
    taps = [perceptual._spread(k, own[k], target[k]).mean() for k in range(3)]
    torch.testing.assert_close(masked[0], sum(taps, start=torch.zeros(())))


def test_only_the_masked_part_of_the_picture_counts(perceptual: Perceptual) -> None:
    a = picture(1)
    changed = a.clone()
    changed[:, :, :, 48:] = picture(2)[:, :, :, 48:]
    left, right = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    left[..., :16], right[..., 48:] = 1, 1
    target = perceptual.features(a, taps=3)

    assert perceptual.masked(changed, target, left) == 0
    assert perceptual.masked(changed, target, right) > 0


def test_masks_shrink_by_picking_every_second_pixel() -> None:
    mask = torch.arange(64.0).view(1, 1, 8, 8)

    levels = mask_levels(mask, 3)

    assert torch.equal(levels[2], mask[:, :, ::4, ::4])


@pytest.mark.parametrize("where", [None, (1, 1), (2, 2)])
def test_a_mask_that_vanishes_at_some_size_is_refused_by_name(
    perceptual: Perceptual, where: tuple[int, int] | None
) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    if where is not None:
        mask[:, :, where[0], where[1]] = 1  # is not picked at half, or at a quarter, of the size

    assert is_empty(mask)
    with pytest.raises(StageError, match="blend mask has no pixel") as caught:
        perceptual.masked(picture(1), perceptual.features(picture(2)), mask)
    assert caught.value.stage == "blend"


def test_one_pixel_that_every_size_keeps_is_enough(perceptual: Perceptual) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 4, 8] = 1

    assert not is_empty(mask)
    assert torch.isfinite(perceptual.masked(picture(1), perceptual.features(picture(2)), mask))


def test_the_gradient_at_a_zero_feature_vector_is_finite() -> None:
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)

    unit_length(features).sum().backward()

    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_heads_of_another_network_are_refused() -> None:
    vgg = VGGFeatures(VGG_WIDTHS)
    heads = tiny_heads(vgg, torch.Generator().manual_seed(0))
    heads.pop("lin3.model.1.weight")

    with pytest.raises(CheckpointError, match="lin3"):
        Perceptual(vgg, heads)
