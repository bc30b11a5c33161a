"""Affine maps agree with the official program, recover what is known, and rank directions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import SHARED
from torch import Tensor

from gseg.directions import colour_maps
from gseg.directions.affine import (
    AffineFit,
    fit_maps,
    fixed_mask_residuals,
    generated_batches,
    picture_batches,
    two_affine_ratio,
)
from gseg.directions.codes import shifted_pictures
from gseg.directions.colour_maps import ColourMaps, homogeneous, pixel_targets
from gseg.directions.config import AffineConfig, affine_preset
from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.randomness import derive_seed, latents

SMALL = Path(__file__).parents[1] / "data" / "directions"
COMPLETE = SHARED / "conformance" / "losses"

LIGHTENING = torch.tensor([[0.5, 0.1, 0.0, 0.4], [0.0, 0.6, 0.1, 0.3], [0.1, 0.0, 0.5, 0.35]])
DARKENING = torch.tensor([[0.8, 0.0, 0.1, -0.2], [0.1, 0.7, 0.0, -0.3], [0.0, 0.1, 0.8, -0.25]])


def assigned(fit: AffineFit, originals: Tensor, shifted: Tensor) -> Tensor:
    """Say which map each pixel takes, Eq. (5): (K, N, H, W)."""
    _, number = fit.maps.nearest(homogeneous(originals), pixel_targets(shifted))
    return number.view(len(shifted), len(originals), *originals.shape[2:])


def facts(cases: Path, expected: Path) -> list[tuple[dict, dict]]:
    arrays = dict(np.load(cases))
    return [(arrays, case) for case in json.loads(expected.read_text())["cases"]]


def check_operators_case(arrays: dict[str, np.ndarray], expected: dict) -> None:
    case = expected["case"]
    matrix, offset = (torch.from_numpy(arrays[f"{case}_op_{k}"]) for k in ("weight", "bias"))
    weights = torch.cat([matrix, offset[:, :, None]], dim=2)[None]
    maps = ColourMaps(weights=weights, clamped=True)
    colours = homogeneous(torch.from_numpy(arrays[f"{case}_img"]))
    targets = pixel_targets(torch.from_numpy(arrays[f"{case}_shifted"])[None])
    loss, gradient = maps.loss_and_gradient(colours, targets)
    assert loss.item() == pytest.approx(expected["operators_loss"], rel=1e-5)
    for ours, name in ((gradient[0, :, :, :3], "weight"), (gradient[0, :, :, 3], "bias")):
        theirs = torch.from_numpy(arrays[f"{case}_op_grad_{name}"])
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
    distances, number = maps.nearest(colours, targets)
    assert distances.mean().item() == pytest.approx(expected["operators_loss"], rel=1e-5)
    np.testing.assert_array_equal(number.view(-1), arrays[f"{case}_op_index"].reshape(-1))


@pytest.mark.parametrize("number", [0, 1])
def test_operators_of_the_official_program(number: int) -> None:
    check_operators_case(*facts(SMALL / "losses.npz", SMALL / "losses.json")[number])


def test_operators_of_the_official_program_in_every_case() -> None:
    if not COMPLETE.exists():
        pytest.skip("the conformance facts are not beside this repository")
    for arrays, expected in facts(COMPLETE / "cases.npz", COMPLETE / "expected.json"):
        check_operators_case(arrays, expected)


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("maps", [1, 2, 3])
def test_written_gradient_is_that_of_autograd(clamped: bool, maps: int) -> None:
    random = torch.Generator().manual_seed(maps)
    weights = torch.randn(5, maps, 3, 4, generator=random, dtype=torch.float64)
    colours = homogeneous(torch.rand(2, 3, 6, 6, generator=random, dtype=torch.float64) * 2 - 1)
    targets = torch.rand(5, 3, 72, generator=random, dtype=torch.float64) * 2 - 1
    free = weights.clone().requires_grad_()
    mapped = torch.einsum("kmij,jp->kmip", free, colours)
    mapped = mapped.clamp(-1, 1) if clamped else mapped
    expected = (mapped - targets[:, None]).norm(dim=2).amin(1).mean(1)
    (gradient,) = torch.autograd.grad(expected.sum(), free)
    ours = ColourMaps(weights=weights, clamped=clamped).loss_and_gradient(colours, targets)
    torch.testing.assert_close(ours[0].double(), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(ours[1], gradient)


def test_a_perfect_map_has_no_gradient() -> None:
    images = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    maps = ColourMaps(weights=torch.eye(3, 4).expand(1, 2, 3, 4).contiguous(), clamped=False)
    loss, gradient = maps.loss_and_gradient(homogeneous(images), pixel_targets(images[None]))
    assert loss.item() == 0
    assert (gradient == 0).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(1)
    maps = ColourMaps(weights=torch.randn(7, 2, 3, 4, generator=random), clamped=True)
    colours = homogeneous(torch.rand(2, 3, 5, 5, generator=random))
    targets = torch.rand(7, 3, 50, generator=random)
    whole = (*maps.loss_and_gradient(colours, targets), maps.mean_distance(colours))
    monkeypatch.setitem(colour_maps._BLOCK_PIXELS, "cpu", 150)
    parts = (*maps.loss_and_gradient(colours, targets), maps.mean_distance(colours))
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b)


def test_each_map_is_charged_with_the_pixels_that_take_it() -> None:
    offsets = torch.tensor([-0.2, 0.1])
    weights = torch.zeros(1, 2, 3, 4)
    weights[..., :3] = torch.eye(3)
    weights[0, :, :, 3] = offsets[:, None]
    maps = ColourMaps(weights=weights, clamped=False)
    grey = torch.tensor([0.5, 0.4, 0.3, -0.6])
    colours = torch.cat([grey.expand(3, 4), torch.ones(1, 4)])
    taken = torch.tensor([0, 0, 0, 1])
    targets = (grey + offsets[taken]).expand(1, 3, 4)
    sums, counts = maps.brightness_changes(colours, targets)
    assert counts.tolist() == [[3.0, 1.0]]
    assert sums[0].tolist() == pytest.approx([-0.6, 0.1], abs=1e-3)
    ordered = maps.ordered(torch.tensor([[1, 0]]))
    assert torch.equal(ordered.weights[0, 0], weights[0, 1])


def two_tone_pictures(count: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Random pictures, the same under the two maps above, and where the lightening one acts."""
    random = torch.Generator().manual_seed(4)
    originals = torch.rand(count, 3, 12, 12, generator=random) * 1.2 - 0.6
    masks = torch.rand(count, 12, 12, generator=random) < 0.4
    colours = homogeneous(originals)
    light, dark = (
        (weights @ colours).view(3, count, 12, 12).movedim(0, 1)
        for weights in (LIGHTENING, DARKENING)
    )
    return originals, torch.where(masks[:, None], light, dark), masks


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [
        (AffineConfig(), 0.02),
        (AffineConfig(steps=2000), 1e-3),
        (replace(affine_preset("voynov2021_text"), steps=2000, decay=True), 1e-3),
    ],
)
def test_known_maps_are_recovered(config: AffineConfig, tolerance: float) -> None:
    originals, shifted, masks = two_tone_pictures()
    fit = fit_maps(picture_batches(originals, shifted[None], config), config)
    expected = torch.stack([LIGHTENING, DARKENING])
    assert (fit.maps.weights[0] - expected).abs().max() < tolerance
    assert fit.losses[0] < tolerance
    lightened = assigned(fit, originals, shifted[None])[0] == 0
    assert (lightened == masks).float().mean() > 0.999
    colours = homogeneous(originals)
    parted = ((LIGHTENING - DARKENING) @ colours).norm(dim=0).mean()
    assert fit.distances[0].item() == pytest.approx(parted.item(), abs=3 * tolerance)


def test_fits_together_are_fits_by_themselves() -> None:
    generator = analytic_generator()
    shifts = generator.network.rotation[:5]
    config = replace(affine_preset("voynov2021_program"), steps=30)
    together = fit_maps(generated_batches(generator, shifts, config), config)
    for k in range(5):
        alone = fit_maps(generated_batches(generator, shifts[k : k + 1], config), config)
        assert together.losses[k].item() == pytest.approx(alone.losses[0].item(), rel=1e-3)
        torch.testing.assert_close(
            together.maps.weights[k], alone.maps.weights[0], atol=1e-3, rtol=0
        )


def test_originals_are_shared_between_directions() -> None:
    generator = analytic_generator(num_classes=3)
    batches = generated_batches(generator, torch.eye(8)[:4], AffineConfig(batch=2))
    sizes = []
    generator.network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    originals, shifted = batches(3)
    assert sizes == [2, 8]
    assert shifted.shape == (4, 2, 3, 32, 32)
    assert not torch.equal(originals, batches(4)[0])
    assert torch.equal(originals, batches(3)[0])


def test_assignment_is_the_mask_on_the_analytic_generator() -> None:
    generator = analytic_generator()
    shifts = known_direction(generator)[None]
    config = AffineConfig()
    fit = fit_maps(generated_batches(generator, shifts, config), config)
    originals, shifted = shifted_pictures(generator, shifts, range(1000, 1032))
    lightened = assigned(fit, originals, shifted)[0] == 0
    codes = latents(derive_seed(0, "affine", "latents"), range(1000, 1032), 8)
    masks = known_mask(codes, 32)
    overlap = (lightened & masks).sum() / (lightened | masks).sum()
    assert overlap > 0.9


def test_ratio_ranks_the_known_direction_above_exposure_and_motion() -> None:
    generator = analytic_generator(latent_dim=20)
    vectors = torch.cat(
        [known_direction(generator)[None], generator.network.rotation[[0, 1, 2, 3, 5]]]
    )
    scores = two_affine_ratio(*shifted_pictures(generator, vectors, range(32)))
    assert scores.argmin() == 0
    assert scores[0] < 0.45
    assert (scores[1:] > 0.6).all()


def test_ratio_of_one_direction_is_a_scalar_and_no_change_scores_one() -> None:
    originals, shifted, _ = two_tone_pictures(4)
    quick = AffineConfig(steps=50)
    many = two_affine_ratio(originals, torch.stack([shifted, originals]), quick)
    assert many.shape == (2,)
    assert many[1] == 1
    single = two_affine_ratio(originals, shifted, quick)
    assert single.shape == ()
    assert single.item() == pytest.approx(many[0].item(), rel=1e-4)


def test_presets_and_nonsense() -> None:
    for name in ("voynov2021_text", "voynov2021_program"):
        config = affine_preset(name)
        assert (config.steps, config.batch, config.learning_rate) == (200, 4, 0.005)
    assert affine_preset("voynov2021_program").clamped
    assert not affine_preset("voynov2021_text").clamped
    with pytest.raises(ValueError, match="voynov2021_program, gseg"):
        affine_preset("voynov")
    for field, value in (("maps", 0), ("steps", 0), ("learning_rate", 0), ("offset_split", -1)):
        with pytest.raises(ValueError, match=field):
            AffineConfig(**{field: value})
    with pytest.raises(ValueError, match="start equal"):
        AffineConfig(offset_split=0)
    with pytest.raises(ValueError, match=r"\(4, 3, 8, 8\) and \(2, 3, 3, 8, 8\)"):
        two_affine_ratio(torch.zeros(4, 3, 8, 8), torch.zeros(2, 3, 3, 8, 8))


def left_by_lstsq(original: np.ndarray, shifted: np.ndarray, mask: np.ndarray) -> float:
    """Sum what numpy's least squares leaves of the pixels of a mask; pictures (3, H, W)."""
    x = np.concatenate([original[:, mask].T, np.ones((mask.sum(), 1))], axis=1).astype(float)
    y = shifted[:, mask].T.astype(float)
    return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum()) if len(x) else 0.0


def test_fixed_mask_residuals_are_those_of_least_squares() -> None:
    draw = np.random.default_rng(0)
    original = draw.uniform(-1, 1, (9, 3, 8, 6)).astype(np.float32)
    shifted = (0.7 * original + 0.2 * draw.normal(size=original.shape)).astype(np.float32)
    masks = draw.random((9, 8, 6)) < draw.uniform(0.1, 0.9, (9, 1, 1))
    masks[0], masks[1] = True, False
    masks[2], masks[2, 0, :3] = False, True  # fewer pixels than a map has numbers
    original[3] = original[3, :1]  # grey
    original[4] = 0.25  # plain
    shifted[5] = original[5] * 0.5 + 0.1  # one map explains all of it
    two, one = fixed_mask_residuals(*map(torch.from_numpy, (original, shifted, masks)))
    for n in range(9):
        picture = original[n], shifted[n]
        both = left_by_lstsq(*picture, masks[n]) + left_by_lstsq(*picture, ~masks[n])
        assert two[n].item() == pytest.approx(both / 48, rel=1e-6, abs=1e-9)
        alone = left_by_lstsq(*picture, np.ones((8, 6), bool))
        assert one[n].item() == pytest.approx(alone / 48, rel=1e-6, abs=1e-9)
    assert torch.equal(two[:2], one[:2])
    assert (two <= one).all()


def test_fixed_mask_residuals_do_not_depend_on_the_batch() -> None:
    draw = torch.Generator().manual_seed(0)
    original, shifted = (torch.rand(33, 3, 32, 32, generator=draw) * 2 - 1 for _ in range(2))
    masks = torch.rand(33, 32, 32, generator=draw) < 0.3
    whole = fixed_mask_residuals(original, shifted, masks)
    each = [fixed_mask_residuals(original[[n]], shifted[[n]], masks[[n]]) for n in range(33)]
    for k in range(2):
        assert torch.equal(whole[k], torch.cat([found[k] for found in each]))


def test_fixed_mask_residuals_vanish_for_the_true_mask_alone() -> None:
    original = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    true = torch.zeros(4, 16, 16, dtype=torch.bool)
    true[:, 4:12, 3:9] = True
    colours = homogeneous(original)
    lighter, darker = (
        (maps @ colours).view(3, 4, 16, 16).movedim(1, 0) for maps in (LIGHTENING, DARKENING)
    )
    shifted = torch.where(true[:, None], lighter, darker)
    two, one = fixed_mask_residuals(original, shifted, true)
    assert (two < 1e-10).all()
    assert (one > 0.01).all()
    assert (fixed_mask_residuals(original, shifted, ~true)[0] < 1e-10).all()
    assert (fixed_mask_residuals(original, shifted, true.roll(2, 1))[0] > 0.001).all()


def test_fixed_mask_residuals_refuse_other_shapes() -> None:
    pictures = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"masks \(N, H, W\)"):
        fixed_mask_residuals(pictures, pictures, torch.ones(2, 1, 4, 4, dtype=torch.bool))
