"""Generators: architectures, their checkpoints, and one catalogue of them all."""
