"""Unsupervised foreground segmentation from pretrained GANs, at scale on Ray.

The flow, each step of it a plain function that needs no Ray::

    generator = gseg.load_generator("sngan.scenes32")
    direction = gseg.search_direction(generator, gseg.SearchConfig())
    samples = gseg.draw(generator, direction, gseg.SampleConfig(), 1_000)
    trained = gseg.fit(samples.pictures, samples.masks, gseg.fit_preset("embedded"))
    scores = gseg.score(trained.segmenter.probability, gseg.open_benchmark("scenes"))

Sweeps over many settings run on Ray (``python sweeps/all_gans.py``); `gseg.results` reads the rows
that they leave. Names are imported when they are first used, so ``import gseg`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gseg.directions.affine import two_affine_ratio
    from gseg.directions.config import SearchConfig
    from gseg.directions.direction import Direction
    from gseg.directions.search import search_direction
    from gseg.generators.cards import GeneratorCard
    from gseg.generators.catalogue import list_generators, load_generator, register_generator
    from gseg.generators.checkpoints import from_checkpoint
    from gseg.generators.contract import Generator
    from gseg.pipeline.rows import results
    from gseg.samples.config import FilterConfig, SampleConfig, filter_preset
    from gseg.samples.draw import draw
    from gseg.samples.shards import SampleSet
    from gseg.scores.benchmarks import open_benchmark
    from gseg.scores.protocol import Scores, score
    from gseg.segmenters.config import FitConfig, fit_preset
    from gseg.segmenters.fit import FitResult, fit
    from gseg.segmenters.segment import segment_files
    from gseg.segmenters.segmenter import Ensemble, Segmenter

__all__ = [
    "Direction",
    "Ensemble",
    "FilterConfig",
    "FitConfig",
    "FitResult",
    "Generator",
    "GeneratorCard",
    "SampleConfig",
    "SampleSet",
    "Scores",
    "SearchConfig",
    "Segmenter",
    "draw",
    "filter_preset",
    "fit",
    "fit_preset",
    "from_checkpoint",
    "list_generators",
    "load_generator",
    "open_benchmark",
    "register_generator",
    "results",
    "score",
    "search_direction",
    "segment_files",
    "two_affine_ratio",
]

_NAMES: Final = {
    "directions.config": ("SearchConfig",),
    "directions.direction": ("Direction",),
    "directions.affine": ("two_affine_ratio",),
    "directions.search": ("search_direction",),
    "generators.cards": ("GeneratorCard",),
    "generators.catalogue": ("list_generators", "load_generator", "register_generator"),
    "generators.checkpoints": ("from_checkpoint",),
    "generators.contract": ("Generator",),
    "pipeline.rows": ("results",),
    "samples.config": ("FilterConfig", "SampleConfig", "filter_preset"),
    "samples.draw": ("draw",),
    "samples.shards": ("SampleSet",),
    "scores.benchmarks": ("open_benchmark",),
    "scores.protocol": ("Scores", "score"),
    "segmenters.config": ("FitConfig", "fit_preset"),
    "segmenters.fit": ("FitResult", "fit"),
    "segmenters.segment": ("segment_files",),
    "segmenters.segmenter": ("Ensemble", "Segmenter"),
}
_HOMES: Final = {name: f"gseg.{module}" for module, names in _NAMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker takes names from the imports above, and knows no others

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module 'gseg' has no attribute '{name}'")
        found = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted(__all__)
