"""Generators: architectures, their checkpoints, and one catalogue of them all.

Example:
    >>> generator = load_generator("analytic.ellipses32")
    >>> generator.card.resolution
    32
"""
