"""Fit the two colour maps that a direction acts by (Voynov et al. 2021, Eq. 4)."""

from dataclasses import replace

from gseg.directions.affine import fit_maps, generated_batches
from gseg.directions.affine_config import AffineConfig
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.storage.digests import canonical


@exact()
def fit_operators(
    generator: Generator, direction: Direction, epsilon: float, config: AffineConfig | None = None
) -> Direction:
    """Give a direction its colour maps, with which masks by Eq. (5) are made.

    Args:
        generator: The one that the direction belongs to; its device does the work.
        direction: Its lighter vector counts.
        epsilon: Length of the shift, the same as for the masks.
        config: Settings; by default the preset ``gseg``.

    Returns:
        The same direction with operators; loss, distance and settings stand in the provenance
        under ``operators``.

    Raises:
        ValueError: The direction does not fit the generator, or config has not two maps.
    """
    config = config or AffineConfig()
    direction.check(generator)
    shifts = epsilon * direction.lighter.to(generator.device)[None]
    fit = fit_maps(generated_batches(generator, shifts, config), config)
    facts = {
        "epsilon": epsilon,
        "restoration_loss": float(fit.losses[0]),
        "distance": float(fit.distances[0]),
        "config": canonical(config),
    }
    operators = replace(fit.maps, weights=fit.maps.weights.cpu())
    return replace(
        direction, operators=operators, provenance={**direction.provenance, "operators": facts}
    )
