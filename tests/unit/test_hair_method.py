"""One hair region against sections 11 to 13, written down straight and apart from the stages.

What is shared with the stages is below them: networks, losses, noise. Masks, composition,
optimisation, mix and weights are written here a second time, for one hair region only.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from barber.artifacts import Alignment, Portrait, Reconstruction, TargetMask
from barber.labels import Region
from barber.losses.segmentation import (
    cross_entropy,
    cross_entropy_background_only,
    cross_entropy_without_background,
)
from barber.losses.style import region_grams, style_distance
from barber.models.segmenter import Segmenter
from barber.models.stylegan2 import Noise
from barber.pipeline import compose
from barber.plan import PlannedStage, Role, StageKind, Variant, plan
from barber.spec import AlignParams, BlendParams, MaskMode, NoiseMode, StageParams, TargetParams
from barber.stages.pictures import low_resolution, to_pixels
from tests.support.compositions import QUICK, job, portraits, tiny_bundle

HAIR, CLOTH = 10, 15
BUNDLE = tiny_bundle()
FREE = BUNDLE.geometry.align_rows
CROSS = ndimage.generate_binary_structure(2, 1)
PARAMS: StageParams = replace(
    QUICK,
    target=TargetParams(steps=2),
    align=AlignParams(identity_steps=2, reference_steps=2),
    blend=BlendParams(steps=2, mix_smoothing=2, mask_smoothing=1),
)


def seen(picture: Tensor) -> Tensor:
    return BUNDLE.segmenter(Segmenter.normalise((picture + 1) / 2))


def labels_of(portrait: Portrait) -> Tensor:
    unit = torch.tensor(portrait.pixels).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        return BUNDLE.segmenter(Segmenter.normalise(unit)).argmax(dim=1)


def morphed(mask: Tensor, steps: int, *, grow: bool) -> Tensor:
    work = ndimage.binary_dilation if grow else ndimage.binary_erosion
    return torch.from_numpy(work(mask[0, 0].numpy(), CROSS, iterations=steps))[None, None]


def soft(mask: Tensor) -> Tensor:
    side = BUNDLE.geometry.f_size
    return functional.interpolate(mask.float(), (side, side), mode="bicubic")


def target_mask(a: Tensor, r: Tensor, mode: MaskMode, noise: Noise) -> Tensor:
    """Section 11: the label map M."""
    h1, h2 = a == HAIR, r == HAIR
    bgmap = torch.ones_like(a)
    bgmap[(a == 0) & ~h2] = 0
    a0 = torch.where(h1, 0, a)
    hidden = (r != 0) & (r != HAIR) & (r != CLOTH) & (a0 == 0)
    assert bool(hidden.any()) and bool((h1 & ~h2).any())  # both passes have work
    t = torch.where(h2, HAIR, a0)

    plain, covered = t[0].numpy(), hidden[0].numpy()
    unknown = np.where((plain != 0) & (plain != HAIR), True, covered)
    image = np.where(unknown, 0, plain == HAIR).astype(np.float32)
    flowed = cv2.inpaint(image, 255 * unknown.astype(np.uint8), 3, cv2.INPAINT_NS)
    t = torch.where(hidden, torch.from_numpy(flowed.astype(np.uint8)).long()[None] * HAIR, t)

    def filled(wanted: Tensor) -> Tensor:
        w = BUNDLE.w_avg.expand(1, BUNDLE.geometry.rows, -1).clone().requires_grad_()
        adam = torch.optim.Adam([w], lr=PARAMS.target.rate)
        for _ in range(PARAMS.target.steps):
            code = torch.cat([w[:, :FREE], w[:, FREE:].detach()], dim=1)
            logits = seen(BUNDLE.generator.synthesize(code, noise))
            if mode is MaskMode.FIDELITY:
                loss = cross_entropy(logits, wanted)[0]
            else:
                loss = cross_entropy_without_background(logits, wanted)[0]
                loss = loss + cross_entropy_background_only(logits, bgmap)[0]
            adam.zero_grad()
            loss.backward()
            adam.step()
        return logits.argmax(dim=1)

    t1 = torch.where(h1 & ~h2, filled(t), t)
    g2 = filled(torch.where(hidden, 0, t1))
    return torch.where(hidden & (g2 != 0), g2, t1)


def aligned(code: Reconstruction, m: Tensor, noise: Noise, *, reference: bool) -> Tensor:
    """Sections 12.1 and 12.2: F of the moved code."""
    steps = PARAMS.align.reference_steps if reference else PARAMS.align.identity_steps
    w = code.w_plus.clone().requires_grad_()
    adam = torch.optim.Adam([w], lr=PARAMS.align.rate)

    def grams(picture: Tensor, logits: Tensor) -> list[Tensor]:
        mask = (logits.argmax(dim=1) == HAIR)[:, None].float()
        return region_grams(BUNDLE.vgg, picture, mask)

    if reference:
        with torch.no_grad():
            first = torch.cat([code.w_plus[:, :FREE], code.fs.s[:, FREE:]], dim=1)
            picture = BUNDLE.generator.synthesize(first, noise)
            wanted = grams(picture, seen(picture))
    for _ in range(steps):
        u = torch.cat([w[:, :FREE], code.fs.s[:, FREE:]], dim=1)
        picture = BUNDLE.generator.synthesize(u, noise)
        logits = seen(picture)
        loss = cross_entropy(logits, m)[0]
        if reference:
            style = style_distance(grams(picture, logits.detach()), wanted)[0]
            loss = loss + PARAMS.align.style_weight * style
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return BUNDLE.generator.structure(u.detach(), noise)


def mixed(
    f: tuple[Tensor, Tensor, Tensor, Tensor], h1: Tensor, h2: Tensor, m: Tensor, steps: int
) -> Tensor:
    """Section 12.3; f are F1, F1a, Fr, Fra."""
    f1, f1a, fr, fra = f
    ht = (m == HAIR)[:, None]
    a = soft(morphed(h1 | ht, steps, grow=True))
    b = soft(morphed(ht, steps, grow=False))
    c = soft(morphed(h2 & ht, steps, grow=False))
    x = f1a + (1 - a) * (f1 - f1a)
    x = fra + (1 - b) * (x - fra)
    return fr + (1 - c) * (x - fr)


def weights(
    z1: Portrait, z3: Portrait, x: Tensor, s1: Tensor, s3: Tensor, noise: Noise
) -> tuple[Tensor, Tensor]:
    """Section 13.1 to 13.6: t and S of the last pass."""
    steps = PARAMS.blend.mask_smoothing
    with torch.no_grad():
        ix = seen(BUNDLE.generator.render(x, s1, noise)).argmax(dim=1)
    d1, d3, dx = (
        morphed((label_map == HAIR)[:, None], steps, grow=True)
        for label_map in (labels_of(z1), labels_of(z3), ix)
    )
    mf = ((1 - d1.float()) * (1 - d3.float())) * (1 - dx.float())
    mh = morphed((labels_of(z3) == HAIR)[:, None], steps, grow=False).float()
    lpips = BUNDLE.perceptual
    with torch.no_grad():
        i1, i3 = (
            lpips.features(low_resolution(z, BUNDLE.geometry, BUNDLE.device)) for z in (z1, z3)
        )
    t = torch.zeros_like(s1[0]).requires_grad_()
    adam = torch.optim.Adam([t], lr=PARAMS.blend.rate)
    for _ in range(PARAMS.blend.steps):
        used = t.detach().clone()
        s = s1 + t * (s3 - s1)
        own = lpips.features(BUNDLE.generator.render(x, s, noise))
        loss = lpips.masked_between(own, i1, mf)[0] + lpips.masked_between(own, i3, mh)[0]
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            t.clamp_(0, 1)
    return used, s.detach()


@pytest.mark.parametrize(
    ("appearance", "noise", "mode"),
    [
        (1, NoiseMode.BUFFERS, MaskMode.FIDELITY),
        (2, NoiseMode.FRESH, MaskMode.REALISTIC),
    ],
    ids=["own colour", "colour of a third"],
)
def test_one_hair_region_is_sections_11_to_13_bit_for_bit(
    appearance: int, noise: NoiseMode, mode: MaskMode
) -> None:
    params = replace(PARAMS, target=replace(PARAMS.target, mask_mode=mode))
    spec = job(((Region.HAIR,), 1, appearance), noise=noise, params=params, seed=3)
    people = portraits(3)
    found = compose(BUNDLE, spec, {portrait.sha256: portrait for portrait in people})
    stages = {(s.kind, s.variant, s.role, s.portrait): s for s in plan(spec)}

    def of(kind: StageKind, *what: object) -> PlannedStage:
        variant, role, portrait = (*what, None, None, None)[:3]
        return stages[kind, variant, role, portrait]  # type: ignore[index]

    def noise_of(stage: PlannedStage) -> Noise:
        return Noise(noise, stage.noise_seed)

    def code(number: int) -> Reconstruction:
        artifact = found.artifacts[of(StageKind.RECONSTRUCT, None, None, people[number].sha256).key]
        assert isinstance(artifact, Reconstruction)
        return artifact

    def joined(variant: Variant, reference: int) -> Tensor:
        """Sections 11 and 12 for one pair, every artifact compared on the way."""
        a, r = labels_of(people[0]), labels_of(people[reference])
        stage = of(StageKind.TARGET, variant)
        m = target_mask(a, r, mode, noise_of(stage))
        mask = found.artifacts[stage.key]
        assert isinstance(mask, TargetMask) and torch.equal(mask.label_map, m)
        moved = []
        for role, number in ((Role.IDENTITY, 0), (Role.REFERENCE, reference)):
            stage = of(StageKind.ALIGN, variant, role, people[number].sha256)
            f = aligned(code(number), m, noise_of(stage), reference=role is Role.REFERENCE)
            alignment = found.artifacts[stage.key]
            assert isinstance(alignment, Alignment) and torch.equal(alignment.f, f)
            moved.append(f)
        f4 = (code(0).fs.f, moved[0], code(reference).fs.f, moved[1])
        steps = PARAMS.blend.mix_smoothing
        return mixed(f4, (a == HAIR)[:, None], (r == HAIR)[:, None], m, steps)

    x12 = joined(Variant.STRUCTURE, 1)
    x13 = x12 if appearance == 1 else joined(Variant.APPEARANCE, appearance)
    s1, s3 = code(0).fs.s, code(appearance).fs.s
    noise_of_blend = noise_of(of(StageKind.BLEND))
    t, s = weights(people[0], people[appearance], x13, s1, s3, noise_of_blend)
    with torch.no_grad():
        picture = BUNDLE.generator.render(x12, s, noise_of_blend)

    assert torch.equal(found.blend.fs.f, x12) and torch.equal(found.blend.fs.s, s)
    assert torch.equal(found.blend.weights[people[appearance].sha256], t)
    assert torch.equal(found.blend.weights[people[0].sha256], 1 - t)
    assert found.blend.image.tobytes() == to_pixels(picture).tobytes()
    assert bool((t > 0).any())
