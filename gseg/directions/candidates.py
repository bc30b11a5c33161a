"""Sets of candidate directions, among which `gseg.directions.choosing` finds a segmenting one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from gseg.directions.activations import principal_directions
from gseg.directions.candidate_config import CandidateConfig
from gseg.directions.factorisation import closed_form_directions
from gseg.directions.learnt import learn_directions
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, normals
from gseg.storage.mirror import discard
from gseg.storage.store import write_atomically

Progress = Callable[[int, int], None]

_FILE: Final = "candidates.safetensors"
CHECKPOINT: Final = "training.safetensors"
"""File of an unfinished training of learnt candidates."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """A set of candidate directions.

    Attributes:
        vectors: (K, D) float32 unit vectors on the CPU.
        facts: What is known of them: ``accuracy`` of learnt ones.
    """

    vectors: Tensor
    facts: dict[str, Any] = field(default_factory=dict)


def make_candidates(
    generator: Generator,
    config: CandidateConfig,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Candidates:
    """Make a set of candidate directions.

    Args:
        generator: A frozen generator; its device does the work.
        config: Which set.
        folder: Keeps an unfinished training of learnt candidates, which the same call takes up.
        progress: Hears of the steps of learnt candidates.

    Returns:
        The set.

    Raises:
        ValueError: The set cannot be made for this generator; the message says why.
    """
    if config.kind == "random":
        return Candidates(vectors=_random(generator.card.code_dim, config.count, config.seed))
    if config.kind == "pca":
        found = principal_directions(
            generator, config.count, samples=config.samples, layer=config.layer, seed=config.seed
        )
        return Candidates(vectors=found)
    if config.kind == "closed_form":
        return Candidates(vectors=closed_form_directions(generator, config.count))
    assert config.learnt is not None
    learnt = learn_directions(
        generator,
        config.count,
        config.learnt,
        seed=config.seed,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        progress=progress,
    )
    return Candidates(vectors=learnt.vectors, facts={"accuracy": learnt.accuracy})


def save_candidates(folder: Path, candidates: Candidates) -> None:
    """Write a set; the unfinished training beside it goes.

    Args:
        folder: Made if missing; gets ``candidates.safetensors``.
        candidates: The set.
    """
    content = dump_tensors({"vectors": candidates.vectors.contiguous()})
    write_atomically(folder / _FILE, content)
    discard(folder / CHECKPOINT)


def load_candidates(folder: Path) -> Tensor:
    """Read the vectors that `save_candidates` wrote.

    Args:
        folder: Where they are.

    Returns:
        (K, D) float32 on the CPU.

    Raises:
        ValueError: The file is missing or damaged; the message names it.
    """
    path = folder / _FILE
    try:
        tensors = load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"Cannot read candidate directions {path}: {error}") from error
    if set(tensors) != {"vectors"} or tensors["vectors"].ndim != 2:
        raise ValueError(f"{path} holds {sorted(tensors)}, expected 'vectors' (K, D).")
    return tensors["vectors"]


def _random(dim: int, count: int, seed: int) -> Tensor:
    """Draw unit vectors evenly over the sphere."""
    drawn = normals(derive_seed(seed, "candidates", "random"), range(count), dim)
    vectors = torch.from_numpy(drawn).float()
    units: Tensor = vectors / vectors.norm(dim=1, keepdim=True)
    return units
