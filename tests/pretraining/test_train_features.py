"""gseg/pretraining/train_features.py: the shipped network of scenes, and how it is trained."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.transforms.functional import gaussian_blur

from gseg.features.named import SCENES_FEATURES
from gseg.features.networks import NetworkFeatures, scenes_features
from gseg.images import from_uint8
from gseg.pretraining.train_features import WEIGHTS, contrast, main, rounded, train, view
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.feature_statistics import Moments
from gseg.scores.fid import frechet_distance


@pytest.fixture(scope="module")
def pictures():
    return render(range(VALIDATION_FIRST, VALIDATION_FIRST + 300)).pictures


@pytest.fixture(scope="module")
def extractor() -> NetworkFeatures:
    return scenes_features()


def test_features_have_the_promised_form(extractor, pictures):
    features = extractor(pictures)
    assert extractor.name == SCENES_FEATURES
    assert features.shape == (300, extractor.dim) == (300, 64)
    assert features.dtype == torch.float32
    assert not features.requires_grad
    assert extractor(pictures[:0]).shape == (0, 64)


def test_a_picture_has_the_same_features_in_any_batch(extractor, pictures):
    whole = extractor(pictures)
    alone = torch.cat([extractor(picture[None]) for picture in pictures[:7]])
    torch.testing.assert_close(whole[:7], alone, rtol=0, atol=1e-5)


def test_shipped_weights_are_half_precision_and_few():
    state = load_file(WEIGHTS)
    floats = [value for value in state.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16}
    assert WEIGHTS.stat().st_size < 200_000
    assert 75_000 < sum(value.numel() for value in floats) < 85_000


def test_shipped_features_of_scenes_are_on_one_scale(extractor):
    features = extractor(render(range(VALIDATION_FIRST, VALIDATION_FIRST + 2_000)).pictures)
    assert features.mean(0).abs().max() < 0.1
    variances = torch.linalg.eigvalsh(torch.cov(features.T))
    # One share of the mean variance was added to each before they were divided by it.
    assert 0.05 < variances.min() < variances.max() < 1.3


def covered(pictures, side):
    """Hide a square of each behind one colour."""
    changed, rng = pictures.clone(), np.random.default_rng(0)
    for picture in changed if side else ():
        top, left = rng.integers(0, 33 - side, 2)
        colour = torch.from_numpy(rng.integers(0, 256, (3, 1, 1), dtype=np.uint8))
        picture[:, top : top + side, left : left + side] = colour
    return changed


def blurred(pictures, width):
    return gaussian_blur(pictures, 9, width) if width else pictures


def noisy(pictures, deviation):
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (pictures + deviation * noise).clamp(0, 255).to(torch.uint8)


def faded(pictures, share):
    return pictures.float().lerp(pictures.float().mean(1, True), share).to(torch.uint8)


def in_pieces(pictures, share):
    """Change the places of the quarters of a share of the pictures."""
    count = round(share * len(pictures))
    turned = pictures[:count].roll((16, 16), (2, 3))
    return torch.cat([turned, pictures[count:]])


def without_objects(pictures, share):
    """Give other scenes, in a share of which the object's pixels have the rest's mean colour."""
    scenes = render(range(VALIDATION_FIRST, VALIDATION_FIRST + len(pictures)))
    count = round(share * len(pictures))
    for picture, mask in zip(scenes.pictures[:count], scenes.masks[:count], strict=True):
        picture[:, mask] = picture[:, ~mask].float().mean(1).to(torch.uint8)[:, None]
    return scenes.pictures


@pytest.mark.parametrize(
    ("damage", "doses"),
    [
        (covered, (0, 4, 8, 16)),
        (blurred, (0, 0.7, 1.2, 2.0)),
        (noisy, (0, 10, 20, 40)),
        (faded, (0, 0.4, 0.7, 1)),
        (in_pieces, (0, 0.2, 0.5, 1)),
        (without_objects, (0, 0.2, 0.5, 1)),
    ],
)
def test_a_distance_in_them_grows_with_damage(extractor, pictures, damage, doses):
    real = extractor(render(range(1_500)).pictures)
    reference = Moments.of(real, extractor.name)
    found = [
        frechet_distance(Moments.of(extractor(damage(pictures, dose)), extractor.name), reference)
        for dose in doses
    ]
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


def test_training_is_deterministic_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    seen = []
    few = {"steps": 3, "batch": 8, "scaled_by": 100}
    first = train(**few, progress=lambda step, loss: seen.append(step)).state_dict()
    second = train(**few).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)
    assert seen == []
    other = train(**few, seed=1).state_dict()
    assert not torch.equal(first["whitening.weight"], other["whitening.weight"])


def test_two_views_of_a_picture_are_drawn_by_its_number_alone():
    images = from_uint8(render(range(8)).pictures)
    whole = view(images, range(8), 1)
    assert torch.equal(whole[3:5], view(images[3:5], range(3, 5), 1))
    assert not torch.equal(whole, view(images, range(8), 2))
    assert whole.shape == images.shape
    grey = view(images.mean(1, True).expand(-1, 3, -1, -1), range(8), 1)
    # Hue and its strength leave greys as they are.
    torch.testing.assert_close(grey[:, :1].expand(-1, 3, -1, -1), grey, rtol=0, atol=1e-5)


def test_the_loss_is_that_of_a_loop_over_pairs():
    views = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    unit = views / views.norm(dim=1, keepdim=True)
    losses = []
    for i, j in ((0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2)):
        terms = [torch.exp(unit[i] @ unit[k] / 0.2) for k in range(6) if k != i]
        losses.append(-torch.log(torch.exp(unit[i] @ unit[j] / 0.2) / sum(terms)))
    torch.testing.assert_close(contrast(views), sum(losses) / 6)


def test_rounding_changes_the_network_and_survives_a_round_trip():
    network = train(steps=2, batch=8, scaled_by=100)
    state = rounded(network)
    for name, value in network.state_dict().items():
        assert torch.equal(value.to(state[name].dtype), state[name])
        assert torch.equal(state[name].to(value.dtype), value)


def test_command_writes_weights(tmp_path, caplog):
    target = tmp_path / "features.safetensors"
    with caplog.at_level("INFO"):
        assert main(["--steps", "2", "--out", str(target)]) == 0
    assert set(load_file(target)) == set(load_file(WEIGHTS))
    assert [path.name for path in tmp_path.iterdir()] == ["features.safetensors"]
    assert "found again" in caplog.text


def test_pictures_of_other_kinds_are_refused(extractor, pictures):
    with pytest.raises(ValueError, match="uint8"):
        extractor(from_uint8(pictures[:2]))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        extractor(pictures[0])


def test_training_needs_steps():
    with pytest.raises(ValueError, match="at least 1 step"):
        train(steps=0)
