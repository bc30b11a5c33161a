"""The losses agree with the official program's numbers, with naive sums, and in their signs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import SHARED
from torch import Tensor

from gseg.directions.config import OBJECTIVE_NAMES
from gseg.directions.objective import objective, outside_circle, radial_prior, shared_map

SMALL = Path(__file__).parents[1] / "data" / "directions"
COMPLETE = SHARED / "conformance" / "losses"


def check_program_case(arrays: dict[str, np.ndarray], expected: dict) -> None:
    case = expected["case"]
    terms = objective("melas2022_program")
    original = torch.from_numpy(arrays[f"{case}_img"])
    shifted = torch.from_numpy(arrays[f"{case}_shifted"]).requires_grad_()
    circle = outside_circle(expected["size"])
    if f"{case}_circle" in arrays:
        np.testing.assert_allclose(circle, arrays[f"{case}_circle"], atol=1e-5)
    planes = terms.planes(shifted)
    contrast = terms.contrast_loss(planes, circle).mean()
    edge = terms.edge_loss(terms.edges(planes), terms.edges(terms.planes(original))).mean()
    unweighted = ("outside_circle_loss_unweighted", "sobel_shift_loss_unweighted")
    for loss, name, gradient in zip(
        (contrast, edge), unweighted, ("outside_circle", "sobel"), strict=True
    ):
        assert loss.item() == pytest.approx(expected[name], rel=1e-5)
        (ours,) = torch.autograd.grad(loss, shifted, retain_graph=True)
        theirs = torch.from_numpy(arrays[f"{case}_grad_{gradient}"])
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()
    total = 2 * contrast + terms.edge_weight * edge
    assert total.item() == pytest.approx(expected["loss"], rel=1e-5)
    darker = -2 * contrast + terms.edge_weight * edge
    assert darker.item() == pytest.approx(expected["loss_with_negative_circle_weight"], rel=1e-5)


def facts(cases: Path, expected: Path) -> list[tuple[dict, dict]]:
    arrays = dict(np.load(cases))
    return [(arrays, case) for case in json.loads(expected.read_text())["cases"]]


@pytest.mark.parametrize("number", [0, 1])
def test_program_losses_and_gradients(number: int) -> None:
    check_program_case(*facts(SMALL / "losses.npz", SMALL / "losses.json")[number])


def test_program_losses_and_gradients_of_every_case() -> None:
    if not COMPLETE.exists():
        pytest.skip("the conformance facts are not beside this repository")
    for arrays, expected in facts(COMPLETE / "cases.npz", COMPLETE / "expected.json"):
        check_program_case(arrays, expected)


def test_gseg_is_the_program_with_another_edge_weight() -> None:
    program, ours = objective("melas2022_program"), objective("gseg")
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(program.edges(program.planes(images)), ours.edges(ours.planes(images)))
    assert torch.equal(program.prior(8), ours.prior(8))
    assert (program.edge_weight, ours.edge_weight) == (10, 75)


def test_radial_prior_runs_from_the_centre_to_the_corners() -> None:
    prior = radial_prior(5)
    assert prior[2, 2] == -1
    assert prior[0, 0] == prior[4, 0] == pytest.approx(1)
    assert prior[2, 3] == pytest.approx(4 / np.sqrt(32) - 1)  # α·1 - 1


def text_oracle(shifted: np.ndarray, original: np.ndarray) -> tuple[float, float]:
    """Follow section 3.1's formulas pixel by pixel for one picture (3, R, R)."""
    side = shifted.shape[1]

    def strength(picture: np.ndarray, i: int, j: int) -> float:
        total = 0.0
        for channel in picture:
            window = np.pad(channel, 1, mode="edge")[i : i + 3, j : j + 3]
            across = np.outer([1, 2, 1], [1, 0, -1])
            total += (across * window).sum() ** 2 + (across.T * window).sum() ** 2
        return total

    alpha = 4 / np.sqrt(2 * (side - 1) ** 2)
    contrast = edges = 0.0
    for i in range(side):
        for j in range(side):
            r = 1 - alpha * np.hypot(i - (side - 1) / 2, j - (side - 1) / 2)
            contrast += (shifted[:, i, j] * -r).sum()
            edges += (strength(shifted, i, j) - strength(original, i, j)) ** 2
    return contrast, edges


def test_text_losses_follow_the_formulas() -> None:
    terms = objective("melas2022_text")
    images = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
    shifted, original = images[:2], images[2:]
    contrast = terms.contrast_loss(terms.planes(shifted), terms.prior(6))
    edges = terms.edge_loss(terms.edges(terms.planes(shifted)), terms.edges(terms.planes(original)))
    for k in range(2):
        expected = text_oracle(shifted[k].double().numpy(), original[k].double().numpy())
        assert contrast[k].item() == pytest.approx(expected[0], rel=1e-5)
        assert edges[k].item() == pytest.approx(expected[1], rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVE_NAMES)
def test_minimising_contrast_brightens_the_centre(name: str) -> None:
    terms = objective(name)
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    terms.contrast_loss(terms.planes(image), terms.prior(16)).sum().backward()
    downhill = -image.grad[0]
    assert (downhill[:, 6:10, 6:10] > 0).all()
    assert (downhill[:, [0, 0, -1, -1], [0, -1, 0, -1]] < 0).all()


@pytest.mark.parametrize("name", OBJECTIVE_NAMES)
def test_edge_loss_ignores_a_change_of_exposure(name: str) -> None:
    terms = objective(name)
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))

    def loss(other: Tensor) -> float:
        planes = [terms.edges(terms.planes(x)) for x in (other, image)]
        return terms.edge_loss(*planes).item()

    assert loss(image + 0.25) == pytest.approx(0, abs=1e-6)
    assert loss(image.flip(3)) > 1e-4


def test_shared_map_is_the_best_map_of_its_spread() -> None:
    random = torch.Generator().manual_seed(3)
    lighter = torch.rand(3, 8, 8, generator=random, dtype=torch.float64).requires_grad_()
    darker = torch.rand(3, 8, 8, generator=random, dtype=torch.float64).requires_grad_()
    spread = torch.tensor(1.7)
    best = shared_map(lighter, darker, spread)
    torch.testing.assert_close(best.mean((1, 2)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        best.std((1, 2), correction=0), torch.full((3,), 1.7, dtype=torch.float64)
    )
    loss = ((lighter - darker) * best).mean()
    direct = -spread * (lighter - darker).std((1, 2), correction=0).mean()
    assert loss.item() == pytest.approx(direct.item())
    ours = torch.autograd.grad(loss, (lighter, darker))
    theirs = torch.autograd.grad(direct, (lighter, darker))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_unknown_objective_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'melas2022'.*melas2022_text, melas2022_program, gseg"):
        objective("melas2022")
