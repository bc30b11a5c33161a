"""gseg/features/inception.py and its weights file against torch-fidelity's network.

The public weights are not at hand in tests, so both networks read one file of random weights.
"""

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x,
)

from gseg.features.backbones import inception_features
from gseg.features.inception import InceptionNetwork, like_pytorch_fid, like_tensorflow


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
    ours = inception_features(weights)
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
    assert inception_features(weights, like="pytorch-fid").name.endswith("(pytorch-fid)")
