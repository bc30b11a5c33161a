"""Samples: generated pictures with masks, filtered, counted and stored shard by shard.

    config = SampleConfig(mask_kind="lighter", filters=filter_preset("gseg"))
    samples = draw(generator, direction, config, count=1_000)

`draw` works in one process; other ways of drawing call `draw_shard` for each shard, write it
with `Shard.save` and read the first N accepted samples with `load_samples`. All ways give the same
samples.
"""

from gseg.samples.config import SampleConfig, ShiftVectors
from gseg.samples.draw import Drawn, draw, draw_shard, draw_shards
from gseg.samples.filters import REASONS, FilterConfig, FilterPreset
from gseg.samples.filters import preset as filter_preset
from gseg.samples.filters import preset_name as filter_preset_name
from gseg.samples.growing import GrowingSet
from gseg.samples.headers import DamagedShardError, ShardFacts
from gseg.samples.latents import LatentConfig, near_embeddings
from gseg.samples.masks import MaskKind, MaskRule, make_masks
from gseg.samples.sets import (
    AcceptanceError,
    SampleSet,
    check_acceptance,
    first_samples,
    load_samples,
    sum_counts,
)
from gseg.samples.shards import Shard, shard_name

__all__ = [
    "REASONS",
    "AcceptanceError",
    "DamagedShardError",
    "Drawn",
    "FilterConfig",
    "FilterPreset",
    "GrowingSet",
    "LatentConfig",
    "MaskKind",
    "MaskRule",
    "SampleConfig",
    "SampleSet",
    "Shard",
    "ShardFacts",
    "ShiftVectors",
    "check_acceptance",
    "draw",
    "draw_shard",
    "draw_shards",
    "filter_preset",
    "filter_preset_name",
    "first_samples",
    "load_samples",
    "make_masks",
    "near_embeddings",
    "shard_name",
    "sum_counts",
]
