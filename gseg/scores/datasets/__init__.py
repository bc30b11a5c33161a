"""Published benchmarks: where their files lie, which pictures count, what their masks mean."""
