"""gseg/features/{backbones,contract,named}.py: weights files, any network, names."""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.transforms.functional import normalize, resize

from gseg.features import backbones
from gseg.features.backbones import inception_features, load_weights, resnet50_features
from gseg.features.contract import NetworkFeatures
from gseg.features.named import features_name, open_features
from gseg.features.scenes import SCENES_FEATURES


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
    with pytest.raises(ValueError, match="does not hold weights of Conv2d"):
        load_weights(nn.Conv2d(3, 3, 1), file)
    file.write_bytes(pickle.dumps(_Runs(), protocol=2))
    with pytest.raises(ValueError, match="does not hold weights"):
        load_weights(nn.Conv2d(3, 3, 1), file)
    assert not (tmp_path / "ran").exists()


def test_other_weights_are_refused(tmp_path, resnet_file):
    with pytest.raises(ValueError, match="does not hold weights of InceptionNetwork"):
        inception_features(resnet_file)
    with pytest.raises(ValueError, match="no such file"):
        resnet50_features(tmp_path / "absent.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="does not hold weights"):
        resnet50_features(tmp_path / "list.pth")


def test_public_weights_come_from_the_cache_and_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    asked = []

    def fetch(address, target, *, hash_prefix, progress):
        asked.append((address, hash_prefix))
        Path(target).write_bytes(b"the weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    monkeypatch.setattr(backbones, "INCEPTION_SHA256", hashlib.sha256(b"the weights").hexdigest())
    for _ in range(2):
        assert backbones.fetch_inception() == file
    ((address, checksum),) = asked
    assert address.endswith("weights-inception-2015-12-05-6726825d.pth")
    assert checksum == backbones.INCEPTION_SHA256
    assert features_name("inception") == "inception-2015-12-05 (torch-fidelity)"
    file.write_bytes(b"others")
    with pytest.raises(ValueError, match="is not the public Inception weights"):
        backbones.fetch_inception()


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
