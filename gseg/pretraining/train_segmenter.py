"""Train the default segmenter of `gseg segment`: `python -m gseg.pretraining.train_segmenter`.

The whole method on one embedded generator: its lighter direction, filtered samples, a U-Net on
them. Two minutes or so on one quiet CPU core. The weights are rounded to float16; the file says in
its header how they came about, and what they score on held-out scenes.
"""

import argparse
import logging
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch

from gseg.directions.config import SearchConfig
from gseg.directions.search import search_direction
from gseg.generators.catalogue import load_generator
from gseg.generators.weights import weights_digest
from gseg.randomness import derive_seed
from gseg.recipes.grids import grids
from gseg.samples.config import SampleConfig
from gseg.samples.draw import draw
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.protocol import score
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.segmenters.config import FitConfig, fit_preset
from gseg.segmenters.fit import fit
from gseg.segmenters.segmenter import SHIPPED, Segmenter
from gseg.storage.store import versions

log = logging.getLogger(__name__)

WEIGHTS: Final = Path(__file__).parents[1] / "scenes" / "weights" / SHIPPED
_STEPS: Final = 1_500
# Held-out scenes, which no choice has seen.
_BENCHMARK: Final = "scenes"


@dataclass(frozen=True, kw_only=True, slots=True)
class DefaultSegmenter:
    """How the shipped segmenter is made.

    Attributes:
        generator: Catalogue name.
        search: Of the direction.
        samples: Of the samples.
        count: Samples to train on.
        held_out: Samples to measure with.
        training: Of the network; float32, so that any machine gives weights like these.
    """

    generator: str = "contragan.scenes32-large"
    search: SearchConfig = field(default_factory=SearchConfig)
    samples: SampleConfig = field(default_factory=lambda: grids()["embedded"].samples)
    count: int = 10_000
    held_out: int = 500
    training: FitConfig = field(default_factory=lambda: _training(_STEPS))

    def __post_init__(self) -> None:
        if self.count < 1 or self.held_out < 1:
            raise ValueError(
                f"Expected at least 1 sample to train on and 1 to measure with, got {self.count} "
                f"and {self.held_out}."
            )


def _training(steps: int) -> FitConfig:
    decay = max(1, steps * 2 // 3)
    return replace(fit_preset("embedded"), steps=steps, decay_at=decay, precision="float32")


def train(config: DefaultSegmenter) -> Segmenter:
    """Go through the whole method.

    Returns:
        The segmenter, its weights rounded to float16; its provenance says how it came about.
    """
    began = time.perf_counter()
    generator = load_generator(config.generator)
    direction = search_direction(generator, config.search)
    samples = draw(generator, direction, config.samples, config.count)
    other = replace(config.samples, seed=derive_seed(config.samples.seed, "validation"))
    held_out = draw(generator, direction, other, config.held_out)
    log.info("%d samples drawn", len(samples))
    validation = held_out.pictures, held_out.masks
    trained = fit(samples.pictures, samples.masks, config.training, validation=validation)
    seconds = time.perf_counter() - began
    # Rounded before it is measured: the scores are those of the file.
    segmenter = trained.segmenter.rounded()
    segmenter.provenance |= {
        "generator": config.generator,
        "generator_weights": weights_digest(config.generator),
        "direction": asdict(config.search),
        "samples": asdict(config.samples),
        "validation_iou": trained.validation_iou,
        "scenes": _scores(segmenter),
        "seconds": round(seconds),
        "versions": versions(),
    }
    return segmenter


def _scores(segmenter: Segmenter) -> dict[str, Any]:
    profile = DEFAULT_PROFILES[0]
    benchmark = open_benchmark(_BENCHMARK)
    means = score(segmenter.probability, benchmark).aggregates[profile]
    rounded = {name: round(getattr(means, name), 4) for name in ("accuracy", "iou", "max_f_beta")}
    return {"profile": profile, "images": len(benchmark), **rounded}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    default = DefaultSegmenter()
    parser = argparse.ArgumentParser("python -m gseg.pretraining.train_segmenter", None, __doc__)
    parser.add_argument("--generator", default=default.generator, help="catalogue name")
    parser.add_argument("--count", type=int, default=default.count, help="samples to train on")
    parser.add_argument("--steps", type=int, default=default.training.steps, help="training steps")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)  # their number changes bits
    chosen = {"generator": options.generator, "count": options.count}
    segmenter = train(replace(default, **chosen, training=_training(options.steps)))
    segmenter.save(options.out, dtype=torch.float16)
    record = segmenter.provenance
    log.info("IoU %.3f on held-out samples", record["validation_iou"])
    log.info("on held-out scenes: %s", record["scenes"])
    log.info("wrote %s after %d s", options.out, record["seconds"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
