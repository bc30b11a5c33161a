"""Find the lighter and the darker direction of a generator (Melas-Kyriazi et al. 2022, 3.1).

`gseg.directions.objective` says what is minimised and which sign is which.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.directions.codes import Progress, draw_codes
from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.directions.objective import objective, shared_map
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, normals
from gseg.storage.digests import canonical
from gseg.transfers import send

_SIDES: Final = ("lighter", "darker")
_SIGNS: Final = (1, -1)
_BORDER_PICTURES: Final = 256


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
    names = [f"{side}_{term}" for side in _SIDES for term in ("contrast", "edges")]
    losses = dict(zip(names, curves.flatten(1).T.contiguous(), strict=True))
    provenance["final_losses"] = {name: float(curve[-1]) for name, curve in losses.items()}
    provenance["cosine"] = float(vectors[0] @ vectors[1])
    return Direction(lighter=vectors[0], darker=vectors[1], provenance=provenance, losses=losses)


@exact()
@torch.enable_grad()
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
    card, device = generator.card, generator.device
    # Starts are numbered by sign: a direction that is searched alone begins as beside the other.
    rows = [_SIGNS.index(sign) for sign in signs]
    start = normals(derive_seed(config.seed, "direction", "start"), rows, card.code_dim)
    vectors = F.normalize(torch.from_numpy(start).float().to(device)).requires_grad_()
    adam = torch.optim.Adam([vectors], lr=config.learning_rate)
    curves = torch.zeros(config.steps, len(signs), 2, device=device)
    terms = objective(config.objective)
    prior = terms.prior(card.resolution).to(device)
    weights = torch.tensor(
        [[config.contrast_weight * sign, terms.edge_weight] for sign in signs], device=device
    )
    for step in range(config.steps):
        losses = _losses(generator, config, prior, vectors, step)
        curves[step] = losses.detach()
        (vectors.grad,) = torch.autograd.grad((weights * losses).sum(), vectors)
        adam.step()
        with torch.no_grad():  # back onto the sphere, which Adam's step has left
            vectors /= vectors.norm(dim=1, keepdim=True)
        if progress is not None:
            progress(step + 1, config.steps)
    curves, found = curves.cpu(), vectors.detach().cpu()
    broken = (~curves.isfinite()).flatten(1).any(1)
    if broken.any():
        raise ValueError(
            f"The search on {card.name} gave a loss that is not finite at step "
            f"{int(broken.nonzero()[0])}: its pictures are not finite. Check the checkpoint, or "
            "lower epsilon."
        )
    if not found.isfinite().all():
        raise ValueError(f"The search on {card.name} left the finite numbers: lower learning_rate.")
    return found, curves


@exact()
@torch.no_grad()
def border_vote(generator: Generator, vectors: Tensor, config: SearchConfig) -> float:
    """Count in how many pictures the first vector lightens the border against the whole.

    Args:
        generator: The generator that was searched.
        vectors: (2, D), supposedly lighter and darker.
        config: Gives seed, batch and epsilon.

    Returns:
        Share of fresh pictures in [0, 1]; above one half the two should be exchanged.
    """
    # The prior-free loss does not know which of its two directions lightens the foreground. What
    # is taken from outside is that a picture's border shows background more than the picture as
    # a whole does; it decides one bit, and a vote near one half says that it decides it badly.
    terms = objective(config.objective)
    fixed = replace(config, epsilon_std=0.0)  # its mean length is enough
    # The outermost sixteenth of each side; found on the CPU, since a device would be waited for to
    # know how many places there are.
    side = generator.card.resolution
    depth = max(1, side // 16)
    border = torch.ones(side, side, dtype=torch.bool)
    border[depth:-depth, depth:-depth] = False
    rows, columns = (send(places, generator.device) for places in border.nonzero(as_tuple=True))
    votes = []
    vectors = send(vectors, generator.device)
    for step in range(math.ceil(_BORDER_PICTURES / config.batch)):
        code, y, epsilon = draw_codes(generator, fixed, "border", step)
        first, second = (
            terms.planes(generator(code + epsilon * vector, y)).sum(1) for vector in vectors
        )
        change = first - second
        votes.append(change[:, rows, columns].mean(1) > change.mean((1, 2)))
    return float(torch.cat(votes).float().mean())


def _losses(
    generator: Generator, config: SearchConfig, prior: Tensor, vectors: Tensor, step: int
) -> Tensor:
    """Compute the (K, 2) batch means of contrast and edge loss on fresh latents."""
    terms, count = objective(config.objective), len(vectors)
    # The originals and their edges are the same for all vectors: computed once.
    with torch.no_grad():
        code, y, epsilon = draw_codes(generator, config, "search", step)
        edges = terms.edges(terms.planes(generator(code, y)))
    # Normalised here, too: then the gradient has no part along a vector, to change its length.
    shifted = (code + epsilon * F.normalize(vectors)[:, None]).flatten(0, 1)
    planes = terms.planes(generator(shifted, None if y is None else y.repeat(count)))
    if not config.centre_prior:
        lighter, darker = planes.sum(1).chunk(2)
        prior = shared_map(lighter, darker, prior.std(correction=0)).repeat(2, 1, 1)
    contrast = terms.contrast_loss(planes, prior)
    edge = terms.edge_loss(terms.edges(planes), edges.repeat(count, 1, 1))
    return torch.stack([contrast.view(count, -1).mean(1), edge.view(count, -1).mean(1)], 1)
