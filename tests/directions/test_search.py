"""A search finds the direction that is known, repeats itself, and refuses nonsense."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gseg.directions.codes import draw_codes
from gseg.directions.config import OBJECTIVE_NAMES, SearchConfig, search_preset
from gseg.directions.search import optimise, search_direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import Generator
from gseg.images import centre_distance, luminance

QUICK = SearchConfig(steps=40, batch=16)


def brightening(generator: Generator, vector: Tensor) -> Tensor:
    """Mean change of brightness (R, R) over fresh pictures."""
    code = torch.randn(64, generator.card.latent_dim, generator=torch.Generator().manual_seed(9))
    return (luminance(generator(code + vector)) - luminance(generator(code))).mean(0)


@pytest.mark.parametrize("seed", [0, 1])
def test_known_direction_is_found(seed: int) -> None:
    generator = analytic_generator(latent_dim=20)
    known = known_direction(generator)
    found = search_direction(generator, replace(QUICK, seed=seed))
    assert found.lighter @ known > 0.9
    assert found.darker @ known < -0.9


# λ of the text belongs to 128 px; its sums over pixels need more at 32 px.
@pytest.mark.parametrize(("name", "weight"), [("melas2022_program", 2), ("melas2022_text", 1000)])
def test_every_objective_makes_the_centre_lighter(name: str, weight: float) -> None:
    generator = analytic_generator()
    config = replace(
        search_preset(name),
        contrast_weight=weight,
        steps=40,
        batch=8,
        learning_rate=0.05,
        epsilon=1,
    )
    found = search_direction(generator, config)
    distance = torch.from_numpy(centre_distance(32, 32))
    for vector, sign in ((found.lighter, 1), (found.darker, -1)):
        change = sign * brightening(generator, vector)
        assert change[distance < 0.2].mean() > 0.05
        assert change[distance > 0.8].mean() < -0.05


@pytest.mark.parametrize("seed", [0, 1])
def test_without_the_prior_the_border_tells_the_sign(seed: int) -> None:
    """These two seeds start on opposite sides, so one of them exchanges the names."""
    generator = analytic_generator()
    known = known_direction(generator)
    found = search_direction(generator, replace(QUICK, centre_prior=False, seed=seed, steps=60))
    assert found.lighter @ known > 0.9
    assert found.darker @ known < -0.9
    assert found.losses["lighter_contrast"][-1] < found.losses["darker_contrast"][-1]
    assert found.provenance["border_vote"] in (0.0, 1.0)


def test_joint_search_equals_two_separate_ones() -> None:
    generator = analytic_generator()
    together, curves = optimise(generator, QUICK, (1, -1))
    for k, sign in enumerate((1, -1)):
        alone, curve = optimise(generator, QUICK, (sign,))
        torch.testing.assert_close(together[k], alone[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(curves[:, k], curve[:, 0], atol=1e-4, rtol=1e-3)


def test_original_pictures_are_computed_once_for_each_step() -> None:
    generator = analytic_generator()
    batches = []
    generator.network.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    search_direction(generator, SearchConfig(steps=3, batch=4))
    assert batches == [4, 8] * 3


@pytest.mark.parametrize("name", OBJECTIVE_NAMES)
def test_same_seed_same_bits(name: str) -> None:
    generator = analytic_generator(num_classes=5)
    config = replace(search_preset(name), steps=3, batch=4)
    first, second = (search_direction(generator, config) for _ in range(2))
    other = search_direction(generator, replace(config, seed=1))
    assert torch.equal(first.lighter, second.lighter)
    assert torch.equal(first.losses["darker_edges"], second.losses["darker_edges"])
    assert not torch.equal(first.lighter, other.lighter)
    assert first.provenance["config"]["objective"] == name


def test_search_works_where_gradients_are_off_and_reports_progress() -> None:
    calls: list[tuple[int, int]] = []
    with torch.no_grad():
        found = search_direction(
            analytic_generator(),
            SearchConfig(steps=3, batch=2),
            progress=lambda done, total: calls.append((done, total)),
        )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert found.losses["lighter_edges"].shape == (3,)
    assert not found.lighter.requires_grad


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ggan.scenes32", "sagan.scenes32"])
@pytest.mark.parametrize("objective", OBJECTIVE_NAMES)
def test_steps_do_not_wait_for_the_device(device, steps_without_waiting, name, objective) -> None:
    steps, config = steps_without_waiting(), replace(search_preset(objective), steps=3, batch=4)
    optimise(load_generator(name, device=device), config, (1, -1), progress=steps)
    assert steps.done == [1, 2, 3]


def test_epsilon_is_drawn_for_every_coordinate() -> None:
    generator = analytic_generator(latent_dim=100)
    config = SearchConfig(epsilon=2, epsilon_std=0.5, batch=200)
    _, y, epsilon = draw_codes(generator, config, "search", 0)
    assert y is None
    assert epsilon.shape == (200, 100)
    assert epsilon.mean().item() == pytest.approx(2, abs=0.02)
    assert epsilon.std().item() == pytest.approx(0.5, abs=0.02)
    _, _, clipped = draw_codes(generator, replace(config, epsilon=0.3), "search", 0)
    assert clipped.min() == pytest.approx(0.1)
    assert draw_codes(generator, SearchConfig(), "search", 0)[2] == 1


class Mapped(nn.Module):
    """Directions live behind a mapping, in a space of another width."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = analytic_generator(latent_dim=12).network
        self.mapping = nn.Linear(5, 12)

    def map(self, z: Tensor) -> Tensor:
        return self.mapping(z)

    def forward(self, code: Tensor, y: Tensor | None = None) -> Tensor:
        return self.inner(code, y)


def test_direction_lives_in_code_space() -> None:
    card = GeneratorCard(
        name="mapped",
        family="mapped",
        architecture="mapped",
        dataset="none",
        resolution=32,
        num_classes=0,
        latent_dim=5,
        code_dim=12,
    )
    found = search_direction(Generator(Mapped(), card), SearchConfig(steps=2, batch=2))
    assert len(found.lighter) == 12


def test_pictures_that_are_not_finite_are_reported() -> None:
    generator = analytic_generator()
    generator.network.rotation.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite at step 0"):
        search_direction(generator, SearchConfig(steps=2, batch=2))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contrast_weight", 0),
        ("contrast_weight", -5.0),
        ("epsilon", 0),
        ("epsilon", float("nan")),
        ("epsilon_std", -0.1),
        ("epsilon_min", 0),
        ("learning_rate", float("inf")),
        ("steps", 0),
        ("batch", 0),
        ("seed", -1),
        ("objective", "melas"),
    ],
)
def test_nonsense_is_refused_with_the_field_and_value(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field) as error:
        SearchConfig(**{field: value})
    assert str(value) in str(error.value)


def test_presets_are_those_of_the_sources() -> None:
    text, program, ours = (search_preset(name) for name in OBJECTIVE_NAMES)
    assert (text.contrast_weight, text.epsilon, text.steps, text.learning_rate) == (
        5,
        2,
        1000,
        0.05,
    )
    assert (program.contrast_weight, program.steps, program.learning_rate) == (2, 300, 0.005)
    assert (program.epsilon, program.epsilon_std, program.epsilon_min) == (2, 0.5, 0.1)
    assert ours == SearchConfig()
    with pytest.raises(ValueError, match="melas2022_text"):
        search_preset("other")
