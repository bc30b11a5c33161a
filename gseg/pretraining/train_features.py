"""Train the feature network of scenes: `python -m gseg.pretraining.train_features`.

A classifier of the ten scene classes on freshly rendered training pictures, about a minute on one
CPU core. The weights are rounded to float16 and written where `gseg.features.networks` reads them;
the printed accuracy is that of the rounded weights.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from gseg.features.named import SCENES_FEATURES
from gseg.features.networks import ScenesNetwork
from gseg.images import from_uint8
from gseg.pretraining.training import half_weights
from gseg.randomness import derive_seed
from gseg.scenes.pictures import CLASS_NAMES, VALIDATION_FIRST, render
from gseg.storage.files import replacing

log = logging.getLogger(__name__)

WEIGHTS: Final = Path(__file__).parents[1] / "scenes" / "weights" / "features.safetensors"
_STEPS: Final = 1200
_RATE: Final = 3e-3


def train(
    *,
    steps: int = _STEPS,
    batch: int = 64,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> ScenesNetwork:
    """Train a classifier of scenes from scratch, and give it in eval mode.

    Args:
        steps: Of Adam, with a rate that falls linearly to 0; each sees pictures of its own.
        batch: Pictures in a step.
        seed: Of the initial weights; picture order is by index.
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
        network = ScenesNetwork(len(CLASS_NAMES)).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=_RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        scenes = render(range(step * batch, (step + 1) * batch))
        images = from_uint8(scenes.pictures).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(network(images), scenes.labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if progress is not None and (step + 1) % 100 == 0:
            progress(step + 1, loss.item())
    return network.eval()


def rounded(network: ScenesNetwork) -> dict[str, Tensor]:
    """Give the network's weights as they are shipped; the network takes on the rounded values."""
    state = half_weights(network)
    network.load_state_dict({name: value.float() for name, value in state.items()})
    return state


@torch.no_grad()
def accuracy(network: ScenesNetwork, first: int = VALIDATION_FIRST, count: int = 2000) -> float:
    """Measure the share of rightly classified scenes, in [0, 1]; the network is in eval mode."""
    scenes = render(range(first, first + count))
    guess = network(from_uint8(scenes.pictures)).argmax(1)
    return float((guess == scenes.labels).float().mean())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m gseg.pretraining.train_features", None, __doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights")
    parser.add_argument("--steps", type=int, default=_STEPS, help="training steps")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)  # their number changes bits
    began = time.perf_counter()
    network = train(steps=options.steps, progress=partial(log.info, "step %5d  loss %.3f"))
    with replacing(options.out) as part:
        save_file(rounded(network), part, metadata={"name": SCENES_FEATURES})
    seconds = time.perf_counter() - began
    log.info("accuracy %.3f on validation scenes, %.0f s", accuracy(network), seconds)
    log.info("wrote %s", options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
