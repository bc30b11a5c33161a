"""gseg/pretraining/train_features.py: the shipped network of scenes, and how it is trained."""

import pytest
import torch
from safetensors.torch import load_file

from gseg.features.named import SCENES_FEATURES
from gseg.features.networks import NetworkFeatures, scenes_features
from gseg.images import from_uint8
from gseg.pretraining.train_features import WEIGHTS, accuracy, main, rounded, train
from gseg.scenes.pictures import CLASS_NAMES, HELD_OUT_FIRST, VALIDATION_FIRST, render


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
    assert features.min() >= 0
    assert not features.requires_grad
    assert extractor(pictures[:0]).shape == (0, 64)


def test_a_picture_has_the_same_features_in_any_batch(extractor, pictures):
    whole = extractor(pictures)
    alone = torch.cat([extractor(picture[None]) for picture in pictures[:7]])
    torch.testing.assert_close(whole[:7], alone, rtol=0, atol=1e-5)


def test_shipped_weights_are_half_precision_and_classify_scenes():
    state = load_file(WEIGHTS)
    floats = [value for value in state.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16}
    assert WEIGHTS.stat().st_size < 200_000
    assert 70_000 < sum(value.numel() for value in floats) < 80_000
    network = scenes_features().network
    assert network.classifier.out_features == len(CLASS_NAMES)
    assert accuracy(network, HELD_OUT_FIRST, 500) > 0.85


def test_training_is_deterministic_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    seen = []
    first = train(steps=3, batch=8, progress=lambda step, loss: seen.append(step)).state_dict()
    second = train(steps=3, batch=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)
    assert seen == []
    other = train(steps=3, batch=8, seed=1).state_dict()
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_rounding_changes_the_network_and_survives_a_round_trip():
    network = train(steps=2, batch=8)
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
    assert "accuracy" in caplog.text


def test_pictures_of_other_kinds_are_refused(extractor, pictures):
    with pytest.raises(ValueError, match="uint8"):
        extractor(from_uint8(pictures[:2]))
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        extractor(pictures[0])


def test_training_needs_steps():
    with pytest.raises(ValueError, match="at least 1 step"):
        train(steps=0)
