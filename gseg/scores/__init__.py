"""Floor 5: what a segmenter or a generator is worth, measured on pictures."""
