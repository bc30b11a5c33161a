"""Networks that find the foreground of a picture: train, keep, load and use them (floor 4)."""

from gseg.segmenters.config import PRESETS as FIT_PRESETS
from gseg.segmenters.config import FitConfig
from gseg.segmenters.config import preset as fit_preset
from gseg.segmenters.fit import FitResult, fit, fit_source
from gseg.segmenters.held_out import Measurement
from gseg.segmenters.mixed import MixedPairs
from gseg.segmenters.run import Run
from gseg.segmenters.segmenter import Ensemble, Predictor, Segmenter
from gseg.segmenters.source import BatchSource, InMemoryPairs

__all__ = [
    "FIT_PRESETS",
    "BatchSource",
    "Ensemble",
    "FitConfig",
    "FitResult",
    "InMemoryPairs",
    "Measurement",
    "MixedPairs",
    "Predictor",
    "Run",
    "Segmenter",
    "fit",
    "fit_preset",
    "fit_source",
]
