"""Samples: generated pictures with masks, filtered, counted and stored shard by shard."""
