"""Choose a segmenting direction among candidates (Voynov et al. 2021, section 3.2).

For each candidate h, scaled by the length of the shift, two affine maps are fitted to what it does
to colours. Two rules choose, both without labels:

- ``voynov2021``: among the 70 % of the candidates with the lowest restoration loss, the one whose
  maps are furthest apart (mean distance D).
- ``affine_ratio``: the one whose two maps explain most against a single one
  (`gseg.directions.affine.two_affine_ratio`).

Which sign of the direction lightens the foreground is left to the eye in the paper; here the
pictures' borders decide (`gseg.directions.search.border_vote`).
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from gseg.directions import affine
from gseg.directions.codes import Progress, shifted_pictures
from gseg.directions.config import ChoiceConfig, SearchConfig
from gseg.directions.direction import Direction
from gseg.directions.search import border_vote
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.storage.digests import canonical
from gseg.storage.files import replacing


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CandidateScores:
    """How well affine maps explain each of K candidates.

    Attributes:
        two: Fit of two maps: restoration losses L and mean distances D.
        one: Fit of a single map.
    """

    two: affine.AffineFit
    one: affine.AffineFit

    @property
    def ratios(self) -> Tensor:
        """(K,) losses of two maps over those of one; low is good."""
        return affine.loss_ratio(self.two, self.one)

    def kept(self, share: float) -> Tensor:
        """Mark a share in (0, 1], but at least one, of lowest restoration losses: (K,) bool."""
        losses = self.two.losses
        ranks = losses.argsort(stable=True).argsort()
        return ranks < max(1, math.floor(share * len(losses)))

    def eligible(self, config: ChoiceConfig) -> Tensor:
        """Mark the candidates that rule ``voynov2021`` chooses from, (K,) bool."""
        # D means something only where both maps are used. A map that is never the nearest one
        # stays where it started, and its distance from the other is large: from the program's
        # random start, and for shifts that change next to nothing from any start. So candidates
        # of whose maps one takes next to no pixels are out; the paper does not say so.
        lesser = torch.minimum(self.two.shares, 1 - self.two.shares)
        return self.kept(config.keep) & (lesser >= config.least_share)

    def best(self, config: ChoiceConfig) -> int:
        """Give the number of the candidate that a rule chooses.

        Raises:
            ValueError: No candidate treats two parts of the pictures differently.
        """
        if config.rule == "affine_ratio":
            return int(self.ratios.argmin())
        eligible = self.eligible(config)
        if not eligible.any():
            raise ValueError(
                f"None of {len(eligible)} candidates acts on two parts of the pictures, of at "
                f"least {config.least_share:.0%} each: give more candidates, a larger epsilon, or "
                "a lower least_share."
            )
        return int(self.two.distances.masked_fill(~eligible, -math.inf).argmax())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Choice:
    """A chosen direction.

    Attributes:
        direction: The chosen vector, turned so that it lightens the foreground, and its opposite.
        number: Of the candidate.
        scores: Of all candidates.
    """

    direction: Direction
    number: int
    scores: CandidateScores


@exact()
def score_candidates(
    generator: Generator,
    vectors: Tensor,
    config: ChoiceConfig,
    *,
    progress: Progress | None = None,
) -> CandidateScores:
    """Fit maps to what each candidate does.

    Args:
        generator: A frozen generator; its device does the work.
        vectors: (K, D) unit vectors.
        config: Settings.
        progress: Called after each step.

    Raises:
        ValueError: The vectors do not fit the generator, or the pictures are not finite.
    """
    card = generator.card
    if vectors.ndim != 2 or vectors.shape[1] != card.code_dim or not len(vectors):
        raise ValueError(
            f"{card.name} takes directions of shape (K, {card.code_dim}), got "
            f"{tuple(vectors.shape)}: were these candidates made for another generator?"
        )
    shifts = config.epsilon * vectors.to(generator.device, torch.float32)
    settings = config.affine
    if config.pictures:
        # The same pictures in every step; then the test batches go through all of them.
        tests = math.ceil(config.pictures / settings.batch)
        settings = replace(settings, test_batches=tests)
        shown = shifted_pictures(generator, shifts, range(config.pictures), seed=config.seed)
        batches = affine.picture_batches(*shown, settings)
    else:
        batches = affine.generated_batches(generator, shifts, settings)
    two, one = affine.fit_several(batches, settings, progress=progress)
    if not two.losses.isfinite().all():
        raise ValueError(
            f"The pictures of {card.name}, shifted by {config.epsilon}, are not finite: check the "
            "checkpoint, or lower epsilon."
        )
    return CandidateScores(two=two, one=one)


def choose_direction(
    generator: Generator,
    vectors: Tensor,
    config: ChoiceConfig,
    *,
    progress: Progress | None = None,
) -> Choice:
    """Choose one of several candidates as segmenting direction.

    Args:
        generator: A frozen generator; its device does the work.
        vectors: (K, D) unit vectors, from `gseg.directions.candidates` or anywhere.
        config: Settings; what they say about candidates goes to the provenance only.
        progress: Called after each step.

    Raises:
        ValueError: See `score_candidates` and `CandidateScores.best`.
    """
    scores = score_candidates(generator, vectors, config, progress=progress)
    number = scores.best(config)
    chosen = vectors[number].detach().cpu().float()
    look = SearchConfig(epsilon=config.epsilon, seed=config.seed)
    vote = border_vote(generator, torch.stack([chosen, -chosen]), look)
    lighter = -chosen if vote > 0.5 else chosen
    provenance: dict[str, Any] = {
        "generator": generator.card.name,
        "config": canonical(config),
        "candidates": len(vectors),
        "number": number,
        "border_vote": vote,
        "restoration_loss": float(scores.two.losses[number]),
        "distance": float(scores.two.distances[number]),
        "two_affine_ratio": float(scores.ratios[number]),
        "device": generator.device.type,
    }
    direction = Direction(lighter=lighter, darker=-lighter, provenance=provenance)
    return Choice(direction=direction, number=number, scores=scores)


def save_choice(folder: Path, choice: Choice, config: ChoiceConfig) -> None:
    """Write a direction, as `Direction.save` does, and beside it ``candidates.parquet``.

    The table has one row for each candidate: ``number``, ``restoration_loss``, ``distance`` (D),
    ``one_map_loss``, ``two_affine_ratio``, ``share`` of the pixels that take the lightening map,
    ``eligible`` (for rule ``voynov2021``) and ``chosen``.
    """
    two, one = choice.scores.two, choice.scores.one
    numbers = torch.arange(len(two.losses))
    table = pa.table(
        {
            "number": numbers.tolist(),
            "restoration_loss": two.losses.tolist(),
            "distance": two.distances.tolist(),
            "one_map_loss": one.losses.tolist(),
            "two_affine_ratio": choice.scores.ratios.tolist(),
            "share": two.shares.tolist(),
            "eligible": choice.scores.eligible(config).tolist(),
            "chosen": (numbers == choice.number).tolist(),
        }
    )
    with replacing(folder / "candidates.parquet") as part:
        pq.write_table(table, part)
    choice.direction.save(folder)
