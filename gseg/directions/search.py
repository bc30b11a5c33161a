"""Find the lighter and the darker direction of a generator (Melas-Kyriazi et al. 2022, 3.1).

Both directions are optimised side by side: the original pictures G(z) and their edges are the
same for both and are computed once for each step. `gseg.directions.objective` says what is
minimised and which sign is which.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from gseg.directions.codes import draw_codes
from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.directions.objective import objective, shared_map
from gseg.directions.polarity import border_vote
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, normals
from gseg.storage.digests import canonical

__all__ = ["Progress", "SearchConfig", "optimise", "search_direction"]

Progress = Callable[[int, int], None]

_SIDES: Final = ("lighter", "darker")
_SIGNS: Final = (1, -1)


@exact()
def search_direction(
    generator: Generator, config: SearchConfig, *, progress: Progress | None = None
) -> Direction:
    """Search both directions of a generator together.

    Args:
        generator: Stays as it is; its device does the work.
        config: Settings.
        progress: Called after each step with (steps done, steps in all).

    Returns:
        Unit vectors on the CPU with provenance and the curves ``lighter_contrast``,
        ``lighter_edges``, ``darker_contrast`` and ``darker_edges``: batch means of the
        unweighted losses.

    Raises:
        ValueError: The generator's pictures are not finite, or do not depend on the code.
    """
    vectors, curves = optimise(generator, config, _SIGNS, progress=progress)
    provenance: dict[str, Any] = {
        "generator": generator.card.name,
        "config": canonical(config),
        "edge_weight": objective(config.objective).edge_weight,
        "device": generator.device.type,
    }
    if not config.centre_prior:
        vote = border_vote(generator, vectors, config)
        provenance["border_vote"] = vote
        if vote > 0.5:  # the border, so the background, got lighter: the names are exchanged
            vectors = vectors.flip(0)
            curves = curves.flip(1) * torch.tensor([-1.0, 1.0])
    losses = {
        f"{side}_{term}": curves[:, k, t].contiguous()
        for k, side in enumerate(_SIDES)
        for t, term in enumerate(("contrast", "edges"))
    }
    provenance["final_losses"] = {name: float(curve[-1]) for name, curve in losses.items()}
    provenance["cosine"] = float(vectors[0] @ vectors[1])
    return Direction(lighter=vectors[0], darker=vectors[1], provenance=provenance, losses=losses)


@exact()
def optimise(
    generator: Generator,
    config: SearchConfig,
    signs: Sequence[int],
    *,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Optimise K unit vectors side by side on the same latents.

    With the centre prior the vectors do not influence each other: Adam works on each
    coordinate by itself.

    Args:
        generator: A frozen generator.
        config: Settings.
        signs: 1 for a lighter direction, -1 for a darker one; each sign has its own start.
            The prior-free form needs exactly (1, -1).
        progress: Called after each step.

    Returns:
        (K, D) unit vectors and (steps, K, 2) contrast and edge losses, on the CPU.
    """
    search = _Search(generator, config, signs)
    with torch.enable_grad():
        for step in range(config.steps):
            search.step(step)
            if progress is not None:
                progress(step + 1, config.steps)
    curves = search.curves.cpu()
    vectors = search.vectors.detach().cpu()
    _check_outcome(generator.card.name, vectors, curves)
    return vectors, curves


class _Search:
    """The state of an optimisation: K vectors and Adam's moments."""

    def __init__(self, generator: Generator, config: SearchConfig, signs: Sequence[int]) -> None:
        device = generator.device
        dim = generator.card.code_dim
        rows = [_SIGNS.index(sign) for sign in signs]
        start = normals(derive_seed(config.seed, "direction", "start"), rows, dim)
        vectors = torch.from_numpy(start).float().to(device)
        self.vectors = (vectors / vectors.norm(dim=1, keepdim=True)).requires_grad_()
        self.curves = torch.zeros(config.steps, len(signs), 2, device=device)
        self._adam = torch.optim.Adam([self.vectors], lr=config.learning_rate)
        self._signs = torch.tensor(signs, dtype=torch.float32, device=device)
        self._generator = generator
        self._config = config
        self._objective = objective(config.objective)
        self._prior = self._objective.prior(generator.card.resolution).to(device)

    def step(self, step: int) -> None:
        """Draw latents, shift them along every vector, and update the vectors."""
        losses = self._losses(step)
        with torch.no_grad():
            self.curves[step] = losses
        contrast, edges = losses.unbind(1)
        weighted = self._config.contrast_weight * self._signs * contrast
        total = (weighted + self._objective.edge_weight * edges).sum()
        (self.vectors.grad,) = torch.autograd.grad(total, self.vectors)
        self._adam.step()
        with torch.no_grad():
            self.vectors /= self.vectors.norm(dim=1, keepdim=True)

    def _losses(self, step: int) -> Tensor:
        """Compute the (K, 2) batch means of contrast and edge loss."""
        terms, count = self._objective, len(self.vectors)
        with torch.no_grad():
            code, y, epsilon = draw_codes(self._generator, self._config, "search", step)
            edges = terms.edges(terms.planes(self._generator(code, y)))
        units = self.vectors / self.vectors.norm(dim=1, keepdim=True)
        shifted = (code + epsilon * units[:, None]).flatten(0, 1)
        many = None if y is None else y.repeat(count)
        planes = terms.planes(self._generator(shifted, many))
        contrast = terms.contrast_loss(planes, self._outside(planes))
        edge = terms.edge_loss(terms.edges(planes), edges.repeat(count, 1, 1))
        return torch.stack([contrast.view(count, -1).mean(1), edge.view(count, -1).mean(1)], 1)

    def _outside(self, planes: Tensor) -> Tensor:
        if self._config.centre_prior:
            return self._prior
        lighter, darker = planes.sum(1).chunk(2)
        return shared_map(lighter, darker, self._prior.std(correction=0)).repeat(2, 1, 1)


def _check_outcome(name: str, vectors: Tensor, curves: Tensor) -> None:
    broken = (~curves.isfinite()).flatten(1).any(1)
    if broken.any():
        raise ValueError(
            f"The search on {name} gave a loss that is not finite at step "
            f"{int(broken.nonzero()[0])}: its pictures are not finite. Check the checkpoint, or "
            "lower epsilon."
        )
    if not vectors.isfinite().all():
        raise ValueError(f"The search on {name} left the finite numbers: lower learning_rate.")
