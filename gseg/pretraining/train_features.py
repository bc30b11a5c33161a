"""Train the feature network of scenes: `python -m gseg.pretraining.train_features`.

Without labels, so that a distance does not favour generators that were given them: two views of a
picture shall be each other's nearest in a batch (SimCLR; Chen et al. 2020, section 2). Views are
crops, mirrored or not, whose colours change a little: a network that is to see wrong colours must
not learn to ignore them. The features are then brought to one scale, so that colours, in which
pictures differ most, do not outweigh all else. The weights are rounded to float16 and written where
`gseg.features.networks` reads them.
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from gseg.features.named import SCENES_FEATURES
from gseg.features.networks import ScenesNetwork
from gseg.images import from_uint8
from gseg.pretraining.training import half_weights
from gseg.randomness import derive_seed, uniforms
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.storage.files import replacing

log = logging.getLogger(__name__)

WEIGHTS: Final = Path(__file__).parents[1] / "scenes" / "weights" / "features.safetensors"
_STEPS: Final = 600
_BATCH: Final = 128
_RATE: Final = 3e-3
_WARM_UP: Final = 50
_TEMPERATURE: Final = 0.2
# Of a view: least share of the picture, largest change of its shape, and of its colours.
_LEAST_AREA: Final = 0.4
_LARGEST_RATIO: Final = 4 / 3
_COLOUR: Final = 0.2
_DRAWS: Final = 9
# Scenes whose features give the scale. The floor below is a share of the mean variance: directions
# with less of it are mostly what the training left over, and are not blown up to that of others.
_SCALED_BY: Final = 10_000
_FLOOR: Final = 0.1


def train(
    *,
    steps: int = _STEPS,
    batch: int = _BATCH,
    seed: int = 0,
    scaled_by: int = _SCALED_BY,
    progress: Callable[[int, float], None] | None = None,
) -> ScenesNetwork:
    """Train a feature network of scenes from scratch, and give it in eval mode.

    Args:
        steps: Of Adam, with a rate that falls linearly to 0; each sees pictures of its own.
        batch: Pictures in a step, two views of each.
        seed: Of the initial weights and the views; picture order is by index.
        scaled_by: Training scenes that give the features' scale.
        progress: Called with (steps done, loss) every 100 steps.

    Raises:
        ValueError: There are no steps, or too few pictures for batch normalisation.
    """
    if steps < 1 or batch < 2:
        got = f"got {steps} and {batch}."
        raise ValueError(f"Expected at least 1 step and 2 pictures in a step, {got}")
    # The global generator is seeded in here alone: modules draw from no other.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "features") % 2**32)
        network = ScenesNetwork().to(memory_format=torch.channels_last)
        width = network.whitening.in_features
        # Thrown away afterwards: what it takes in is richer than what the loss leaves of it.
        head = nn.Sequential(
            nn.Linear(width, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, width)
        )
    weights = [*network.convolutions.parameters(), *network.norms.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(weights, lr=_RATE)
    for step in range(steps):
        warm = min(1.0, (step + 1) / _WARM_UP)
        optimiser.param_groups[0]["lr"] = _RATE * warm * (1 - step / steps)
        rows = range(step * batch, (step + 1) * batch)
        images = from_uint8(render(rows).pictures)
        two = torch.cat([view(images, rows, derive_seed(seed, "view", side)) for side in (0, 1)])
        loss = contrast(head(network.pooled(two.contiguous(memory_format=torch.channels_last))))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if progress is not None and (step + 1) % 100 == 0:
            progress(step + 1, loss.item())
    network.eval().requires_grad_(False)
    _whiten(network, torch.cat([network.pooled(part) for part in _scenes(0, scaled_by)]))
    return network


def view(images: Tensor, rows: range, seed: int) -> Tensor:
    """Cut out a part of each picture at random, mirror it or not, and change its colours a little.

    Args:
        images: (N, 3, H, W) in [-1, 1].
        rows: Their numbers.
        seed: Of the views.

    Returns:
        (N, 3, H, W), a little out of [-1, 1] at times.
    """
    drawn = torch.from_numpy(uniforms(seed, rows, _DRAWS)).float()
    area, ratio, x, y, side, *colours = drawn.unbind(1)
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    ratio = _LARGEST_RATIO ** (2 * ratio - 1)
    width, height = ((area * part).sqrt().clamp(max=1) for part in (ratio, 1 / ratio))
    place = torch.zeros(len(images), 2, 3)
    place[:, 0, 0], place[:, 1, 1] = torch.where(side < 0.5, -width, width), height
    place[:, 0, 2], place[:, 1, 2] = (1 - width) * (2 * x - 1), (1 - height) * (2 * y - 1)
    grid = F.affine_grid(place, list(images.shape), align_corners=False)
    cut = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    contrast, light, hue, strength = (_COLOUR * (2 * each - 1) for each in colours)
    mean = cut.mean((2, 3), keepdim=True)
    cut = (cut - mean) * (1 + contrast)[:, None, None, None] + mean
    turn = _turned(hue * math.pi / 2, 1 + strength)
    return torch.einsum("nij,njhw->nihw", turn, cut) + light[:, None, None, None] / 2


def _turned(angle: Tensor, strength: Tensor) -> Tensor:
    """Turn colours about the axis of greys, and scale their distance from it: (N, 3, 3)."""
    grey = torch.full((3, 3), 1 / 3)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    angle, strength = angle[:, None, None], strength[:, None, None]
    # Rodrigues' formula, less its part along the axis.
    return grey + strength * (angle.cos() * (torch.eye(3) - grey) + angle.sin() * across)


def contrast(views: Tensor) -> Tensor:
    """Compute the loss of Chen et al. 2020, Eq. (1), NT-Xent, over a batch.

    Args:
        views: (2 N, D): first views, then the second ones in the same order.
    """
    count = len(views) // 2
    unit = F.normalize(views, dim=1)
    alike = (unit @ unit.T / _TEMPERATURE).fill_diagonal_(-math.inf)
    return F.cross_entropy(alike, torch.arange(2 * count).roll(count))


def _whiten(network: ScenesNetwork, pooled: Tensor) -> None:
    """Let the network's features have mean 0, and variances of up to 1 in all directions."""
    mean, covariance = pooled.double().mean(0), torch.cov(pooled.double().T)
    variances, directions = torch.linalg.eigh(covariance)
    scale = (variances.clamp(min=0) + _FLOOR * variances.mean()).rsqrt()
    matrix = directions * scale @ directions.T
    network.whitening.weight.copy_(matrix)
    network.whitening.bias.copy_(-matrix @ mean)


def _scenes(first: int, count: int) -> list[Tensor]:
    """Render scenes, (n, 3, 32, 32) in [-1, 1] each."""
    pictures = render(range(first, first + count)).pictures
    return [from_uint8(part) for part in torch.split(pictures, 500)]


def rounded(network: ScenesNetwork) -> dict[str, Tensor]:
    """Give the network's weights as they are shipped; the network takes on the rounded values."""
    state = half_weights(network)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return state


@torch.no_grad()
def found_again(network: ScenesNetwork, first: int = VALIDATION_FIRST, count: int = 500) -> float:
    """Measure the share of scenes of which a view is nearest to another view of the same scene."""
    rows = range(first, first + count)
    images = from_uint8(render(rows).pictures)
    one, other = (network(view(images, rows, derive_seed(0, "check", side))) for side in (0, 1))
    nearest = torch.cdist(one, other).argmin(1)
    return float((nearest == torch.arange(count)).float().mean())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m gseg.pretraining.train_features", None, __doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights")
    parser.add_argument("--steps", type=int, default=_STEPS, help="training steps")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)  # their number changes bits
    began = time.process_time()
    network = train(steps=options.steps, progress=partial(log.info, "step %5d  loss %.3f"))
    with replacing(options.out) as part:
        save_file(rounded(network), part, metadata={"name": SCENES_FEATURES})
    seconds = time.process_time() - began
    log.info(
        "%.3f of 500 validation scenes found again in another view, %.0f s of a core",
        found_again(network),
        seconds,
    )
    log.info("wrote %s", options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
