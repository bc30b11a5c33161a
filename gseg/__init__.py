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
    from gseg.directions import Direction, SearchConfig, search_direction, two_affine_ratio
    from gseg.generators import (
        Generator,
        GeneratorCard,
        from_checkpoint,
        list_generators,
        load_generator,
        register_generator,
    )
    from gseg.pipeline.rows import results
    from gseg.samples import FilterConfig, SampleConfig, SampleSet, draw, filter_preset
    from gseg.scores.benchmarks import open_benchmark
    from gseg.scores.protocol import Scores, score
    from gseg.segmenters import Ensemble, FitConfig, FitResult, Segmenter, fit, fit_preset
    from gseg.segmenters.segment import segment_files

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
    "directions": ("Direction", "SearchConfig", "search_direction", "two_affine_ratio"),
    "generators": (
        "Generator",
        "GeneratorCard",
        "from_checkpoint",
        "list_generators",
        "load_generator",
        "register_generator",
    ),
    "pipeline.rows": ("results",),
    "samples": ("FilterConfig", "SampleConfig", "SampleSet", "draw", "filter_preset"),
    "scores.benchmarks": ("open_benchmark",),
    "scores.protocol": ("Scores", "score"),
    "segmenters": ("Ensemble", "FitConfig", "FitResult", "Segmenter", "fit", "fit_preset"),
    "segmenters.segment": ("segment_files",),
}
_HOMES: Final = {name: f"gseg.{module}" for module, names in _NAMES.items() for name in names}
_PACKAGES: Final = frozenset(
    {"directions", "distributed", "generators", "metrics", "reports", "samples", "scenes"}
    | {"scores", "segmenters"}
)

if not TYPE_CHECKING:  # a type checker takes names from the imports above, and knows no others

    def __getattr__(name: str) -> object:
        """Import a public name or a package when it is first asked for (PEP 562)."""
        if name in _PACKAGES:
            return importlib.import_module(f"gseg.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'gseg' has no attribute '{name}'")
        found = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
