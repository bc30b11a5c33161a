"""Candidate directions: each kind against what it is by definition, and learning that resumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gseg.directions.candidates import (
    closed_form_directions,
    load_candidates,
    make_candidates,
    principal_directions,
    save_candidates,
)
from gseg.directions.config import CandidateConfig, LearntConfig
from gseg.directions.learnt import Reconstructor, fitting_reconstructor, learn_directions
from gseg.generators.analytic import analytic_generator
from gseg.generators.biggan_deep import BigGANDeepGenerator
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator
from gseg.generators.studiogan import (
    BigResNetConfig,
    BigResNetGenerator,
    ResNetConfig,
    ResNetGenerator,
)
from gseg.generators.stylegan2 import StyleGAN2Config, StyleGAN2Generator

SMALL = {"latent_dim": 6, "resolution": 16, "channels": (5, 4, 3)}


class Linear(nn.Module):
    """Pictures that are linear in z, coordinate k as strong as given."""

    def __init__(self, strengths: Tensor, side: int = 8) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(0)
        patterns = torch.linalg.qr(torch.randn(3 * side**2, len(strengths), generator=stream))[0]
        self.weight = nn.Parameter(patterns * strengths)
        self.side = side

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return (z @ self.weight.T).view(len(z), 3, self.side, self.side)


def generator_of(network: nn.Module, dim: int, side: int, classes: int = 0) -> Generator:
    card = GeneratorCard(
        name="test.small",
        family="test",
        architecture="test",
        dataset="none",
        resolution=side,
        num_classes=classes,
        latent_dim=dim,
        code_dim=dim,
    )
    return Generator(network, card)


def networks() -> dict[str, tuple[Generator, tuple[str, ...]]]:
    """A generator of each architecture, and how the layers are called that its codes enter."""
    torch.manual_seed(0)
    deep = {
        "output_dim": 8,
        "z_dim": 6,
        "class_embed_dim": 6,
        "channel_width": 4,
        "num_classes": 3,
        "layers": [[False, 16, 8], [True, 8, 4], [False, 4, 2], [False, 2, 1]],
        "attention_layer_position": 9,
        "eps": 1e-4,
        "n_stats": 51,
    }
    style = StyleGAN2Config(latent_dim=6, style_dim=6, resolution=8, channels=(4, 4))
    clusters = SelfConditionedConfig(**SMALL, num_classes=3, embed_dim=2)
    chunks = BigResNetConfig(**SMALL, shared_dim=4, num_classes=3, attention_after=1)
    return {
        "resnet": (
            generator_of(ResNetGenerator(ResNetConfig(**SMALL, num_classes=0)), 6, 16),
            ("linear",),
        ),
        "self_conditioned": (
            generator_of(SelfConditionedGenerator(clusters), 6, 16, 3),
            ("linear",),
        ),
        "big_resnet": (
            generator_of(BigResNetGenerator(chunks), 6, 16, 3),
            ("linear", ".gain", ".bias"),
        ),
        "stylegan2": (generator_of(StyleGAN2Generator(style), 6, 8), (".affine",)),
        "biggan_deep": (
            generator_of(BigGANDeepGenerator(deep), 6, 8, 3),
            ("gen_z", ".scale", ".offset"),
        ),
    }


ARCHITECTURES = ("resnet", "self_conditioned", "big_resnet", "stylegan2", "biggan_deep")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_first_weights_say_how_a_shift_moves_what_the_code_enters(name: str) -> None:
    generator, endings = networks()[name]
    outputs: dict[str, list[Tensor]] = {}
    for module_name, module in generator.network.named_modules():
        if module_name.endswith(endings):
            module.register_forward_hook(
                lambda _module, _inputs, output, key=module_name: outputs.setdefault(
                    key, []
                ).append(output)
            )
    stream = torch.Generator().manual_seed(1)
    code, shift = torch.randn(2, 1, 6, generator=stream)
    y = torch.tensor([1]) if generator.card.num_classes else None
    generator(code, y)
    generator(code + shift, y)
    moved = torch.cat([after - before for before, after in outputs.values()], dim=1)
    expected = generator.code_weights() @ shift[0]
    if name == "stylegan2":  # its layers scale their weights by 1 / sqrt(inputs) when used
        expected = expected / 6**0.5
    assert expected.norm().item() == pytest.approx(moved.norm().item(), rel=1e-4)
    assert len(expected) == moved.shape[1]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_components_and_factors(name: str) -> None:
    generator, _ = networks()[name]
    for kind in ("closed_form", "pca"):
        found = make_candidates(generator, CandidateConfig(kind=kind, count=4, samples=60)).vectors
        assert found.shape == (4, 6)
        torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
        assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_factors_are_the_right_singular_vectors() -> None:
    generator, _ = networks()["resnet"]
    rows = generator.network.linear.weight.numpy().astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.linalg.svd(rows)[2]
    found = closed_form_directions(generator, 10).numpy()
    assert found.shape == (6, 6)
    np.testing.assert_allclose(np.abs(found @ expected.T), np.eye(6), atol=1e-4)


def test_components_of_linear_pictures_are_their_coordinates() -> None:
    strengths = torch.tensor([1.0, 8.0, 2.0, 4.0])
    generator = generator_of(Linear(strengths), 4, 8)
    found = principal_directions(generator, 10, samples=3000, layer=".")
    assert found.shape == (4, 4)
    assert found.abs().argmax(1).tolist() == [1, 3, 2, 0]
    assert (found.abs().amax(1) > 0.99).all()
    few = principal_directions(generator, 2, samples=40, layer=".")  # fewer pictures than pixels
    assert few.abs().argmax(1).tolist() == [1, 3]


def test_random_candidates_are_unit_vectors_and_a_longer_list_begins_with_a_shorter_one() -> None:
    generator = analytic_generator()
    few, many, other = (
        make_candidates(generator, CandidateConfig(kind="random", count=k, seed=seed)).vectors
        for k, seed in ((3, 0), (7, 0), (3, 1))
    )
    assert torch.equal(few, many[:3])
    assert not torch.equal(few, other)
    torch.testing.assert_close(many.norm(dim=1), torch.ones(7))


def test_learning_tells_directions_apart() -> None:
    generator = generator_of(Linear(torch.tensor([2.0, 2.0, 2.0, 2.0]), side=32), 4, 32)
    config = LearntConfig(steps=60, batch=16, learning_rate=1e-2)
    learnt = learn_directions(generator, 4, config)
    assert learnt.accuracy > 0.6  # by chance: .25
    assert learnt.losses[-10:].mean() < learnt.losses[:10].mean()


@pytest.mark.parametrize("deformator", ["orthogonal", "linear"])
def test_learning_goes_on_exactly_where_it_was(deformator, tmp_path) -> None:
    generator = analytic_generator(num_classes=3)
    config = LearntConfig(deformator=deformator, steps=4, batch=4, learning_rate=1e-2)
    whole = learn_directions(generator, 5, config)
    path = tmp_path / "training.pt"

    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn_directions(generator, 5, config, checkpoint=path, progress=stop)
    steps = []
    resumed = learn_directions(
        generator, 5, config, checkpoint=path, progress=lambda done, _: steps.append(done)
    )
    assert steps == [3, 4]
    assert torch.equal(resumed.vectors, whole.vectors)
    assert torch.equal(resumed.losses, whole.losses)
    products = whole.vectors @ whole.vectors.T
    torch.testing.assert_close(products.diagonal(), torch.ones(5))
    if deformator == "orthogonal":
        torch.testing.assert_close(products, torch.eye(5), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="another training"):
        learn_directions(generator, 5, config, seed=1, checkpoint=path)
    path.write_bytes(b"no such file")
    with pytest.raises(ValueError, match="Cannot read the unfinished training"):
        learn_directions(generator, 5, config, checkpoint=path)


def test_the_reconstructor_suits_the_pictures() -> None:
    assert fitting_reconstructor("auto", 64) == "lenet"
    assert fitting_reconstructor("auto", 128) == "resnet18"
    with pytest.raises(ValueError, match="32 px or more"):
        fitting_reconstructor("lenet", 16)
    for kind, side in (("lenet", 32), ("resnet18", 64)):
        networks = [Reconstructor(kind, 7, torch.Generator().manual_seed(2)) for _ in range(2)]
        first, second = (network.state_dict() for network in networks)
        assert all(torch.equal(first[name], second[name]) for name in first)
        logits, lengths = networks[0](torch.rand(2, 3, side, side), torch.rand(2, 3, side, side))
        assert (logits.shape, lengths.shape) == ((2, 7), (2,))


def test_a_set_on_disk(tmp_path) -> None:
    found = make_candidates(analytic_generator(), CandidateConfig(kind="random", count=3))
    save_candidates(tmp_path, found)
    assert torch.equal(load_candidates(tmp_path), found.vectors)
    (tmp_path / "candidates.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"Cannot read candidate directions .*safetensors"):
        load_candidates(tmp_path)


def test_nonsense_is_refused() -> None:
    generator = analytic_generator()
    with pytest.raises(ValueError, match="no architecture whose first layers are known"):
        closed_form_directions(generator, 3)
    with pytest.raises(ValueError, match="name one as layer"):
        principal_directions(generator, 3)
    with pytest.raises(ValueError, match=r"has no layer 'blocks\.7'"):
        principal_directions(networks()["resnet"][0], 3, layer="blocks.7")
    for settings, message in (
        ({"kind": "pcs"}, "Unknown candidates 'pcs'; expected one of: random, learnt, pca"),
        ({"count": 0}, "at least 1, got 0"),
        ({"kind": "pca", "learnt": LearntConfig()}, "leave learnt out"),
        ({"kind": "pca", "samples": 1}, "samples"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(ValueError, match=message):
            CandidateConfig(**settings)
    for field, value in (
        ("batch", 1),
        ("learning_rate", 0.0),
        ("shift_min", 7.0),
        ("deformator", "ortho"),
    ):
        with pytest.raises(ValueError, match=field):
            replace(LearntConfig(), **{field: value})


@pytest.mark.parametrize(
    ("number", "told"),
    [(float("nan"), "'vectors' holds NaN .* row 2 of 3"), (7.0, "row 2 of 3 has norm 7")],
)
def test_a_set_on_disk_holds_unit_vectors(tmp_path, number, told) -> None:
    vectors = torch.eye(3)
    vectors[2, 2] = number
    found = make_candidates(analytic_generator(), CandidateConfig(kind="random", count=3))
    save_candidates(tmp_path, replace(found, vectors=vectors))
    with pytest.raises(ValueError, match=told):
        load_candidates(tmp_path)
