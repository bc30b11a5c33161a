"""The choice among candidates: rules by hand, and a generator whose operators are known exactly."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gseg.directions.affine import AffineFit
from gseg.directions.choosing import CandidateScores, choose_direction, score_candidates
from gseg.directions.codes import codes_and_labels, shifted_pictures
from gseg.directions.colour_maps import ColourMaps, homogeneous, pixel_targets
from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig, affine_preset
from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed

LIGHTENING = torch.tensor([0.05, 0.04, 0.06])
DARKENING = torch.tensor([-0.03, -0.05, -0.02])


def assigned(fit: AffineFit, originals: Tensor, shifted: Tensor) -> Tensor:
    """Say which map each pixel takes, Eq. (5): (K, N, H, W)."""
    _, number = fit.maps.nearest(homogeneous(originals), pixel_targets(shifted))
    return number.view(len(shifted), len(originals), *originals.shape[2:])


class TwoTone(nn.Module):
    """Coloured noise; the last coordinate adds one colour inside a disc, another one outside."""

    def __init__(self) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(3)
        patterns = 0.08 * torch.randn(7, 3, 12, 12, generator=stream)
        self.patterns = nn.Parameter(patterns)
        y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
        self.register_buffer("mask", (x**2 + y**2 < 0.4)[None, None])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make (N, 3, 12, 12)."""
        base = torch.einsum("nd,dchw->nchw", z[:, :7], self.patterns)
        added = torch.where(self.mask, LIGHTENING[:, None, None], DARKENING[:, None, None])
        return base + z[:, 7, None, None, None] * added


def two_tone_generator() -> Generator:
    card = GeneratorCard(
        name="test.twotone12",
        family="test",
        architecture="test",
        dataset="none",
        resolution=12,
        num_classes=0,
        latent_dim=8,
        code_dim=8,
    )
    return Generator(TwoTone(), card)


def expected_operators(epsilon: float) -> Tensor:
    maps = torch.eye(3, 4).repeat(2, 1, 1)
    maps[0, :, 3], maps[1, :, 3] = epsilon * LIGHTENING, epsilon * DARKENING
    return maps


def scores(losses: list[float], distances: list[float], one: list[float]) -> CandidateScores:
    maps = ColourMaps(weights=torch.zeros(len(losses), 2, 3, 4), clamped=False)
    shares = torch.full((len(losses),), 0.3)
    two = AffineFit(maps, torch.tensor(losses), torch.tensor(distances), shares)
    return CandidateScores(two=two, one=replace(two, losses=torch.tensor(one)))


def test_the_paper_keeps_the_best_by_loss_and_takes_the_largest_distance() -> None:
    # Ten candidates, 70 %: losses above 7 are out, and with them the largest distances.
    found = scores(
        losses=[3, 9, 1, 8, 5, 7, 2, 10, 6, 4],
        distances=[0.1, 0.9, 0.2, 0.8, 0.3, 0.6, 0.1, 1.0, 0.5, 0.7],
        one=[10.0] * 10,
    )
    assert found.kept(0.7).sum() == 7
    assert not found.kept(0.7)[[1, 3, 7]].any()
    assert found.best(ChoiceConfig()) == 9
    assert found.best(ChoiceConfig(keep=1.0)) == 7
    assert found.best(ChoiceConfig(rule="affine_ratio")) == 2
    found.two.shares[9] = 0.96
    found.two.shares[5] = 0.04
    assert found.best(ChoiceConfig()) == 8
    assert found.best(ChoiceConfig(least_share=0.0)) == 9
    assert found.kept(0.01).tolist() == [n == 2 for n in range(10)]


@pytest.mark.parametrize(
    ("config", "tolerance"),
    [
        (AffineConfig(learning_rate=0.005), 4e-3),
        (replace(affine_preset("voynov2021_text"), steps=2000, decay=True), 1e-3),
    ],
)
def test_the_known_direction_is_chosen_and_its_operators_found(config, tolerance) -> None:
    generator = two_tone_generator()
    settings = ChoiceConfig(epsilon=5.0, affine=config)
    choice = choose_direction(generator, torch.eye(8)[[0, 1, 2, 7]], settings)
    assert choice.number == 3
    assert torch.equal(choice.direction.lighter, torch.eye(8)[7])
    assert choice.direction.cosine == -1
    found = choice.scores.two.maps.weights[3]
    assert (found - expected_operators(5.0)).abs().max() < tolerance
    parted = (expected_operators(5.0)[0] - expected_operators(5.0)[1])[:, 3].norm().item()
    assert choice.scores.two.distances[3].item() == pytest.approx(parted, abs=2 * tolerance)
    originals, shifted = shifted_pictures(generator, 5 * torch.eye(8)[7:], range(500, 510))
    fit = replace(choice.scores.two, maps=replace(choice.scores.two.maps, weights=found[None]))
    assert torch.equal(
        assigned(fit, originals, shifted)[0] == 0, generator.network.mask[0].expand(10, -1, -1)
    )


def test_both_rules_rank_the_known_direction_of_ellipses_first_and_turn_it() -> None:
    generator = analytic_generator(latent_dim=12)
    # Not the hues: a change of the ellipse's colour alone parts it from the background as well.
    vectors = torch.cat(
        [generator.network.rotation[[0, 1, 2, 3, 5]], -known_direction(generator)[None]]
    )
    settings = ChoiceConfig(epsilon=1.0, pictures=16, keep=1.0)
    found = score_candidates(generator, vectors, settings)
    assert found.best(settings) == found.best(replace(settings, rule="affine_ratio")) == 5
    choice = choose_direction(generator, vectors, settings)
    assert choice.direction.provenance["border_vote"] > 0.5
    torch.testing.assert_close(choice.direction.lighter, known_direction(generator))
    code, _ = codes_and_labels(generator, derive_seed(0, "affine", "latents"), range(16))
    originals, shifted = shifted_pictures(generator, vectors, range(16))
    foreground = assigned(found.two, originals, shifted)[5] == 1  # it darkens the foreground
    masks = known_mask(code, 32)
    assert (foreground & masks).sum() / (foreground | masks).sum() > 0.9


def test_maps_that_nothing_uses_do_not_win_by_their_distance() -> None:
    generator = two_tone_generator()
    still = torch.eye(8)[:1] * 1e-6  # changes nothing: one map does it all
    quick = ChoiceConfig(affine=AffineConfig(steps=60))
    found = score_candidates(generator, still, quick)
    assert found.two.distances.item() > 10 * found.two.losses.item()
    assert not 0.05 < found.two.shares.item() < 0.95
    with pytest.raises(ValueError, match="None of 1 candidates"):
        choose_direction(generator, still, quick)


def test_nonsense_is_refused() -> None:
    generator = two_tone_generator()
    with pytest.raises(ValueError, match=r"shape \(K, 8\), got \(3, 9\)"):
        choose_direction(generator, torch.eye(9)[:3], ChoiceConfig())
    for field, value in (
        ("rule", "largest"),
        ("epsilon", 0.0),
        ("keep", 0.0),
        ("pictures", -1),
        ("least_share", 0.5),
    ):
        with pytest.raises(ValueError, match=field):
            ChoiceConfig(**{field: value})
    with pytest.raises(ValueError, match="two maps"):
        ChoiceConfig(affine=AffineConfig(maps=1))


def test_a_seed_is_that_of_candidates_and_pictures() -> None:
    config = ChoiceConfig(candidates=CandidateConfig(kind="random")).with_seed(4)
    assert (config.seed, config.candidates.seed, config.affine.seed) == (4, 4, 4)
