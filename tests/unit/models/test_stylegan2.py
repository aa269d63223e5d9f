from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from barber.geometry import Geometry
from barber.models import ops
from barber.models.bundle import ModelBundle
from barber.models.stylegan2 import Generator, Noise
from tests.support.tiny_bundle import GEOMETRY, tiny_bundle


@pytest.fixture
def generator() -> Generator:
    return tiny_bundle().generator


def codes(generator: Generator, count: int = 2, seed: int = 5) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    dim = generator.geometry.style_dim
    return torch.randn(count, generator.geometry.rows, dim, generator=source)


def reference_synthesis(generator: Generator, w_plus: Tensor) -> Tensor:
    """The whole pass written from the reference operations, with the noise buffers."""
    state = generator.state_dict()

    def linear(name: str, x: Tensor) -> Tensor:
        weight = state[f"{name}.weight"]
        return x @ weight.t() / math.sqrt(weight.shape[1]) + state[f"{name}.bias"]

    def styled(name: str, x: Tensor, row: int, *, upsample: bool) -> Tensor:
        style = linear(f"{name}.conv.modulation", w_plus[:, row])
        weight = state[f"{name}.conv.weight"][0]
        x = ops.reference_modulated_conv(x, weight, style, demodulate=True, upsample=upsample)
        x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{row}"]
        return ops.activate(x + state[f"{name}.activate.bias"][None, :, None, None])

    def rgb(name: str, x: Tensor, row: int) -> Tensor:
        style = linear(f"{name}.conv.modulation", w_plus[:, row])
        weight = state[f"{name}.conv.weight"][0]
        y = ops.reference_modulated_conv(x, weight, style, demodulate=False, upsample=False)
        return y + state[f"{name}.bias"]

    x = styled("conv1", state["input.input"].expand(len(w_plus), -1, -1, -1), 0, upsample=False)
    skip = rgb("to_rgb1", x, 1)
    for level in range(generator.geometry.last_layer):
        x = styled(f"convs.{2 * level}", x, 2 * level + 1, upsample=True)
        x = styled(f"convs.{2 * level + 1}", x, 2 * level + 2, upsample=False)
        kernel = state[f"to_rgbs.{level}.upsample.kernel"]
        skip = ops.reference_upfirdn(skip, kernel, up=2, down=1, pad=(2, 1))
        skip = skip + rgb(f"to_rgbs.{level}", x, 2 * level + 3)
    return skip


@pytest.mark.parametrize(
    ("size", "entries", "trainable", "values"),
    [
        (256, 135, 30_034_338, 30_209_266),
        (512, 153, 30_276_583, 30_975_831),
        (1024, 171, 30_370_060, 33_166_492),
    ],
)
def test_the_official_geometry_has_the_ports_entries(
    size: int, entries: int, trainable: int, values: int
) -> None:
    with torch.device("meta"):
        generator = Generator(Geometry.official(size))
    state = generator.state_dict()

    assert len(state) == entries
    assert sum(p.numel() for p in generator.parameters()) == trainable
    assert sum(value.numel() for value in state.values()) == values


def test_the_fast_pass_equals_the_reference_operations(generator: Generator) -> None:
    w_plus = codes(generator, count=3)

    fast = generator.synthesize(w_plus, Noise.buffers())

    torch.testing.assert_close(fast, reference_synthesis(generator, w_plus), atol=1e-4, rtol=1e-4)


def test_a_batch_equals_its_samples(generator: Generator) -> None:
    w_plus = codes(generator, count=3)

    together = generator.synthesize(w_plus, Noise.buffers())
    apart = [generator.synthesize(w[None], Noise.buffers()) for w in w_plus]

    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-5)


def test_structure_has_the_geometrys_size_and_needs_no_rows_from_the_split_on(
    generator: Generator,
) -> None:
    w_plus = codes(generator)
    geometry = generator.geometry

    f = generator.structure(w_plus, Noise.buffers())

    assert f.shape == (2, geometry.f_channels, geometry.f_size, geometry.f_size)
    short = generator.structure(w_plus[:, : geometry.split_row], Noise.buffers())
    assert torch.equal(f, short)


def test_render_depends_on_rows_from_the_split_on_only(generator: Generator) -> None:
    w_plus = codes(generator).requires_grad_()
    f = generator.structure(w_plus, Noise.buffers()).detach()

    generator.render(f, w_plus, Noise.buffers()).square().sum().backward()

    assert w_plus.grad is not None
    moves = w_plus.grad.abs().sum(dim=(0, 2)) > 0
    split = generator.geometry.split_row
    assert not moves[:split].any()
    assert moves[split:].all()


def test_rendering_a_codes_own_f_drops_the_skip_below(generator: Generator) -> None:
    w_plus, noise = codes(generator), Noise.buffers()

    whole = generator.synthesize(w_plus, noise)
    rendered = generator.render(generator.structure(w_plus, noise), w_plus, noise)

    assert (whole - rendered).abs().max() > 0.01


def test_rendering_a_codes_own_f_is_the_whole_pass_when_lower_rgb_is_silent() -> None:
    generator = Generator(GEOMETRY)
    silent = [generator.to_rgb1, *list(generator.to_rgbs)[: GEOMETRY.f_layer]]
    with torch.no_grad():
        for layer in silent:
            layer.bias.zero_()
            layer.conv.weight.zero_()
        w_plus, noise = codes(generator), Noise.buffers()
        whole = generator.synthesize(w_plus, noise)
        rendered = generator.render(generator.structure(w_plus, noise), w_plus, noise)

    torch.testing.assert_close(whole, rendered, atol=1e-6, rtol=1e-6)


def test_each_row_of_w_plus_moves_the_picture(generator: Generator) -> None:
    w_plus = codes(generator, count=1).requires_grad_()

    generator.synthesize(w_plus, Noise.zero()).square().sum().backward()

    assert w_plus.grad is not None
    assert (w_plus.grad.abs().sum(dim=(0, 2)) > 0).all()


def test_fresh_noise_repeats_with_its_seed_and_differs_between_passes(generator: Generator) -> None:
    w_plus = codes(generator, count=1)

    noise, again = Noise.fresh(3), Noise.fresh(3)
    first, second = (generator.synthesize(w_plus, noise) for _ in range(2))

    assert torch.equal(first, generator.synthesize(w_plus, again))
    assert not torch.equal(first, second)
    assert not torch.equal(first, generator.synthesize(w_plus, Noise.fresh(4)))


def test_fresh_noise_continues_from_a_saved_state(generator: Generator) -> None:
    w_plus = codes(generator, count=1)
    noise = Noise.fresh(3)
    generator.synthesize(w_plus, noise)
    state = noise.state()

    resumed = Noise.fresh(0)
    resumed.load_state(state)

    expected = generator.synthesize(w_plus, noise)
    assert torch.equal(expected, generator.synthesize(w_plus, resumed))


def test_noise_modes_give_three_pictures(generator: Generator) -> None:
    w_plus = codes(generator, count=1)
    pictures = [
        generator.synthesize(w_plus, n) for n in (Noise.zero(), Noise.buffers(), Noise.fresh(0))
    ]

    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    assert not torch.equal(pictures[1], pictures[2])


def test_rendering_from_f_draws_planes_for_its_own_layers_only(generator: Generator) -> None:
    w_plus, geometry = codes(generator, count=1), generator.geometry
    f = generator.structure(w_plus, Noise.zero())
    noise, by_hand = Noise.fresh(9), Noise.fresh(9)

    generator.render(f, w_plus, noise)
    for row in range(geometry.split_row, geometry.rows - 1):
        by_hand.plane(generator.noises[row], 1)

    assert torch.equal(noise.state(), by_hand.state())


def test_a_part_of_the_picture_is_rendered_by_its_own_code(generator: Generator) -> None:
    pair, side = codes(generator), generator.geometry.image_size
    f = generator.structure(pair[:1], Noise.zero())
    alone = [generator.render(f, code[None], Noise.buffers()) for code in pair]
    left = torch.zeros(1, 1, side, side)
    left[..., : side // 2] = 1
    shares = torch.cat([left, 1 - left], dim=1)
    both = generator.render(f, pair, Noise.buffers(), shares)
    reach = 4 * side // generator.geometry.f_size  # of the filters above F
    for part, whole in ((np.s_[..., : side // 2 - reach], 0), (np.s_[..., side // 2 + reach :], 1)):
        assert torch.allclose(both[part], alone[whole][part], atol=1e-5)
    assert not torch.allclose(both, alone[0]) and not torch.allclose(both, alone[1])


def test_one_code_with_all_the_shares_is_the_plain_render(generator: Generator) -> None:
    code, side = codes(generator, 1), generator.geometry.image_size
    f = generator.structure(code, Noise.zero())
    shared = generator.render(f, code, Noise.fresh(3), torch.ones(1, 1, side, side))
    assert torch.allclose(shared, generator.render(f, code, Noise.fresh(3)), atol=1e-5)


def test_too_few_rows_are_refused(generator: Generator) -> None:
    with pytest.raises(AssertionError, match=r"W\+ must be"):
        generator.synthesize(codes(generator)[:, :-1], Noise.zero())


def test_the_bundles_networks_are_frozen() -> None:
    bundle: ModelBundle = tiny_bundle()

    for network in (bundle.generator, bundle.segmenter, bundle.perceptual):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
