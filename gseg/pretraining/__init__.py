"""How the embedded generators, features and segmenter were trained, and are again."""
