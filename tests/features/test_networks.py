"""gseg/features/{networks,named}.py: weights files, any network, names.

Inception is compared with torch-fidelity's extractor. The public weights are not at hand in tests,
so both networks read one file of random weights.
"""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x,
)
from torchvision.models import resnet50
from torchvision.transforms.functional import normalize, resize

from gseg.features import networks
from gseg.features.named import SCENES_FEATURES, features_name, open_features
from gseg.features.networks import (
    InceptionNetwork,
    NetworkFeatures,
    like_pytorch_fid,
    like_tensorflow,
    load_weights,
)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "resnet.pth"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(resnet50(weights=None).state_dict(), file)
    return file


def bytes_of(*shape):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_resnet_gives_what_torchvision_gives(resnet_file):
    pictures = bytes_of(1, 3, 60, 80)
    network = resnet50(weights=None)
    network.load_state_dict(torch.load(resnet_file, weights_only=True))
    network.fc = nn.Identity()
    resized = resize(pictures.float() / 255, [224, 224], antialias=True)
    with torch.no_grad():
        want = network.eval()(normalize(resized, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    features = open_features(f"resnet50:{resnet_file}")
    torch.testing.assert_close(features(pictures), want, rtol=1e-4, atol=1e-5)
    checksum = hashlib.sha256(resnet_file.read_bytes()).hexdigest()[:8]
    assert features.name == f"resnet50-{checksum}" == features_name(f"resnet50:{resnet_file}")


def test_any_network_gives_features():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    features = NetworkFeatures(
        network, "mine", dim=5, compute=lambda pictures: network(pictures.float()), batch=3
    )
    pictures = bytes_of(7, 3, 16, 16)
    assert not network.training
    with torch.no_grad():
        torch.testing.assert_close(features(pictures), network(pictures.float()))
    assert features(pictures[:0]).shape == (0, 5)
    wrong = NetworkFeatures(nn.Flatten(), "flat", dim=5)
    with pytest.raises(ValueError, match=r"flat gave \(7, 768\) .* pool over space"):
        wrong(pictures)


class _Runs:
    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_a_weights_file_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pth"
    torch.save({"conv.weight": _Runs()}, file)
    with pytest.raises(ValueError, match=r"evil\.pth is refused: it asks for .*getattr"):
        load_weights(nn.Conv2d(3, 3, 1), file)
    file.write_bytes(pickle.dumps(_Runs(), protocol=2))
    with pytest.raises(ValueError, match="is refused"):
        load_weights(nn.Conv2d(3, 3, 1), file)
    assert not (tmp_path / "ran").exists()


def test_other_weights_are_refused(tmp_path, resnet_file):
    with pytest.raises(ValueError, match="does not hold weights of InceptionNetwork"):
        open_features(f"inception:{resnet_file}")
    with pytest.raises(ValueError, match="no such file"):
        open_features(f"resnet50:{tmp_path / 'absent.pth'}")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list\.pth holds a list where a state dict"):
        open_features(f"resnet50:{tmp_path / 'list.pth'}")


def test_public_weights_come_from_the_cache_and_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    asked = []

    def fetch(address, target, *, hash_prefix, progress):
        asked.append((address, hash_prefix))
        Path(target).write_bytes(b"the weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(networks, "INCEPTION_SHA256", hashlib.sha256(b"the weights").hexdigest())
    for _ in range(2):
        assert networks.fetch_inception() == file
    ((address, checksum),) = asked
    assert address.endswith("weights-inception-2015-12-05-6726825d.pth")
    assert checksum == networks.INCEPTION_SHA256
    assert features_name("inception") == "inception-2015-12-05 (torch-fidelity)"
    file.write_bytes(b"others")
    with pytest.raises(ValueError, match="is not the public Inception weights"):
        networks.fetch_inception()


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ValueError, match=r"no route to host.* name it: inception:FILE"):
        open_features("inception")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("incption", "did you mean 'inception'"),
        ("vgg", "There are scenes, inception"),
        ("scenes:file.pth", "take no file"),
        ("resnet50", "resnet50:FILE"),
    ],
)
def test_unknown_names_are_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        open_features(spec)
    with pytest.raises(ValueError, match=message):
        features_name(spec)


def test_scenes_need_no_file():
    assert open_features("scenes").name == features_name("scenes") == SCENES_FEATURES


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights whose signal survives 94 layers, with statistics off 0 and 1."""
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    generator = torch.Generator().manual_seed(3)
    state = InceptionNetwork().state_dict()
    for name, tensor in state.items():
        if tensor.ndim == 4:
            deviation = (2 / tensor[0].numel()) ** 0.5
            state[name] = torch.randn(tensor.shape, generator=generator) * deviation
        elif tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            state[name] = 0.7 + 0.6 * noise if name.endswith(("var", "bn.weight")) else noise - 0.5
    torch.save(state, file)
    return file


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, 40, 56), dtype=torch.uint8, generator=generator)


def test_features_are_torch_fidelity_s(weights, pictures):
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(weights))(pictures)[0]
    ours = open_features(f"inception:{weights}")
    got = ours(pictures)
    scale = theirs.abs().max()
    assert theirs.std() > 0.01 * scale  # the weights let a signal through
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3 * scale
    torch.testing.assert_close(got, theirs, rtol=0, atol=1e-5 * scale.item())
    assert ours.dim == 2048
    assert ours.name.startswith("inception-")
    assert ours.name.endswith("(torch-fidelity)")


def test_weights_have_the_names_of_torch_fidelity(weights):
    theirs = FeatureExtractorInceptionV3("inception", ["2048"], str(weights)).state_dict()
    ours = InceptionNetwork().state_dict()
    assert {name: v.shape for name, v in ours.items()} == {n: v.shape for n, v in theirs.items()}
    assert len(ours) == 566


@pytest.mark.parametrize("shape", [(32, 32), (299, 299), (500, 120), (1, 7)])
def test_pictures_are_resized_as_tensorflow_does(shape):
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8, generator=generator)
    theirs = interpolate_bilinear_2d_like_tensorflow1x(
        pictures.float(), size=(299, 299), align_corners=False
    )
    torch.testing.assert_close(like_tensorflow(pictures), (theirs - 128) / 128, rtol=0, atol=2e-5)


def test_the_two_ways_of_resizing_differ_and_so_do_their_names(weights):
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8, generator=generator)
    assert (like_tensorflow(pictures) - like_pytorch_fid(pictures)).abs().max() > 0.5
    constant = torch.full((1, 3, 5, 5), 255, dtype=torch.uint8)
    torch.testing.assert_close(like_pytorch_fid(constant), torch.ones(1, 3, 299, 299))
    assert like_tensorflow(constant).eq(127 / 128).all()
    assert open_features(f"inception-pytorch-fid:{weights}").name.endswith("(pytorch-fid)")


def test_weights_that_are_not_finite_are_named(resnet_file, tmp_path):
    state = torch.load(resnet_file, weights_only=True)
    state["layer1.0.bn1.running_var"][3] = -1.0
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: the variances 'layer1\.0\.bn1\.running_var'"):
        open_features(f"resnet50:{tmp_path / 'w.pth'}")
    state["layer1.0.bn1.running_var"][3] = float("nan")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth: 'layer1\.0\.bn1\.running_var' holds NaN"):
        open_features(f"resnet50:{tmp_path / 'w.pth'}")
