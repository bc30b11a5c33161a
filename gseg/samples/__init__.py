"""Samples: generated pictures with masks, filtered, counted and stored shard by shard.

    config = SampleConfig(mask_kind="lighter", filters=filter_preset("gseg"))
    samples = draw(generator, direction, config, count=1_000)

`draw` works in one process; other ways of drawing call `draw_shard` for each shard, write it
with `Shard.save` and read the first N accepted samples with `load_samples`. All ways give the same
samples.
"""
