"""Latents and labels of candidates: functions of (seed, index), whoever draws them.

- The prior: z from N(0, I), y uniform over the classes.
- The truncated prior (Brock et al. 2019, "Large Scale GAN Training", section 3.1): coordinates
  beyond a threshold are drawn again.
- Near real pictures (Voynov et al. 2021, Eq. (6)): z = E(I_j) + α ξ with j uniform over a data
  set's embeddings and ξ from N(0, I). The paper takes α = 0 for ImageNet and 0.2 for small sets.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, labels, latents, uniforms
from gseg.samples.embedding_files import told_of
from gseg.storage.digests import since
from gseg.storage.store import file_digest
from gseg.transfers import send

LatentSource = Literal["prior", "embeddings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedScenes:
    """Scenes that stand for the pictures of a data set: their embeddings are made by a stage.

    Attributes:
        count: How many, the first ones that the generator was trained on.
        encoder: Generator whose encoder ships with the package.
    """

    count: int
    encoder: str

    def __post_init__(self) -> None:
        if self.count < 1 or not self.encoder:
            raise ValueError(
                f"Embedded scenes need an encoder and at least 1 picture, got {self.encoder!r} "
                f"and {self.count}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentConfig:
    """Where latents and labels come from.

    Attributes:
        embeddings: File of embeddings (.npy, (M, latent_dim)), empty for the prior; make such a
            config with `near_embeddings`. Where the file lies is not part of what samples are.
        embeddings_digest: Of the file's content.
        alpha: Scale α of the noise around embeddings; 0 for large sets and 0.2 for small ones in
            Voynov et al. 2021.
        truncation: Truncation of the generator, None for none. Where the architecture truncates by
            itself (StyleGAN2's psi, BigGAN-deep's), the truncation with which the generator is
            loaded; otherwise the largest absolute value of a coordinate of the prior.
        classes: Labels that are drawn; all of them if empty.
        class_weights: How often, relative to each other; the same for all if empty.
        scenes: Pictures whose embeddings are still to be made, instead of a file of them; they have
            to be made before anything is drawn.
    """

    embeddings: str = field(default="", compare=False)
    embeddings_digest: str = ""
    alpha: float = 0.0
    truncation: float | None = None
    classes: tuple[int, ...] = ()
    class_weights: tuple[float, ...] = ()
    scenes: EmbeddedScenes | None = since("0.1", None)

    def __post_init__(self) -> None:
        if bool(self.embeddings) != bool(self.embeddings_digest):
            raise ValueError("Embeddings need their file and its digest: use near_embeddings.")
        if self.embeddings and self.scenes is not None:
            raise ValueError("Latents lie near a file of embeddings or near scenes, not both.")
        near = self.source == "embeddings"
        if not 0 <= self.alpha < math.inf or (self.alpha > 0 and not near):
            raise ValueError(
                f"alpha is 0 or more and scales the noise around embeddings, got {self.alpha} "
                f"with {self.source} as the source."
            )
        if self.truncation is not None and not self.truncation > 0:
            raise ValueError(f"truncation is above 0 or None, got {self.truncation}.")
        if self.truncation is not None and near:
            raise ValueError("Embeddings are not drawn from the prior: leave truncation out.")
        self._check_classes()

    def _check_classes(self) -> None:
        if len(set(self.classes)) < len(self.classes) or min(self.classes, default=0) < 0:
            raise ValueError(f"classes are different labels from 0, got {self.classes}.")
        if not self.class_weights:
            return
        if len(self.class_weights) != len(self.classes):
            raise ValueError(
                f"class_weights needs one weight for each of the {len(self.classes)} classes "
                f"named in classes, got {len(self.class_weights)}."
            )
        if not min(self.class_weights) >= 0 or not 0 < sum(self.class_weights) < math.inf:
            raise ValueError(f"class_weights are 0 or more, one above 0, got {self.class_weights}.")

    @property
    def source(self) -> LatentSource:
        """Where latents come from: the prior N(0, I), or near the embeddings of pictures."""
        return "embeddings" if self.embeddings_digest or self.scenes else "prior"

    @property
    def drawn_classes(self) -> str | None:
        """Labels that are drawn, with their weights; None for all alike."""
        if not self.class_weights:
            return ", ".join(map(str, self.classes)) or None
        pairs = zip(self.classes, self.class_weights, strict=True)
        return ", ".join(f"{label}: {weight:g}" for label, weight in pairs)


def near_embeddings(path: str | Path, *, alpha: float = 0.0) -> LatentConfig:
    """Draw latents near a data set's embeddings (Voynov et al. 2021, Eq. (6)).

    Args:
        path: File (.npy) of an (M, latent_dim) array of floating-point numbers.
        alpha: Scale α of the noise; the paper's are 0 for large sets and 0.2 for small ones.

    Returns:
        The config.

    Raises:
        ValueError: The file is not there or is no such array.
    """
    absolute = Path(path).expanduser().absolute()
    _open_embeddings(str(absolute), _digest(absolute))
    return LatentConfig(embeddings=str(absolute), embeddings_digest=_digest(absolute), alpha=alpha)


def prior(
    card: GeneratorCard, seed: int, indices: ArrayLike, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor | None]:
    """Draw candidates from the generator's own prior: z from N(0, I), y uniform.

    Args:
        card: Of the generator.
        seed: Seed of the samples.
        indices: (N,) candidate numbers.
        device: Where the tensors go; they are drawn on the CPU, so that every device gets the
            same ones.

    Returns:
        z (N, latent_dim) float32, and y (N,) int64 or None if labels are ignored.
    """
    return candidates(card, LatentConfig(), seed, indices, device=device)


def candidates(
    card: GeneratorCard,
    config: LatentConfig,
    seed: int,
    indices: ArrayLike,
    *,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor | None]:
    """Draw the latents and labels of candidates.

    Args:
        card: Of the generator.
        config: Where they come from.
        seed: Seed of the samples.
        indices: (N,) candidate numbers.
        device: Where the tensors go; they are drawn on the CPU, so that every device gets the
            same ones.

    Returns:
        z (N, latent_dim) float32, and y (N,) int64 or None if labels are ignored.

    Raises:
        ValueError: The embeddings' width or the classes do not fit the generator.
    """
    z = _latents(card, config, seed, indices)
    y = _labels(card, config, seed, indices)
    return send(z, device), None if y is None else send(y, device)


def check_truncation(generator: Generator, config: LatentConfig) -> None:
    """Make sure that a generator that truncates by itself was loaded as the config says.

    Args:
        generator: Where pictures come from.
        config: Where latents come from.

    Raises:
        ValueError: It was loaded with another truncation.
    """
    if not generator.card.truncates:
        return
    loaded = generator.truncation
    wanted = 1.0 if config.truncation is None else config.truncation
    if loaded != wanted:
        raise ValueError(
            f"{generator.card.name} was loaded with truncation {loaded:g}, but the samples ask for "
            f"{wanted:g}: load it with truncation={wanted:g}, or leave latents.truncation out."
        )


def _latents(card: GeneratorCard, config: LatentConfig, seed: int, indices: ArrayLike) -> Tensor:
    width = card.latent_dim
    assert config.scenes is None, "made into a file before anything is drawn"
    if config.embeddings_digest:
        table = _open_embeddings(config.embeddings, config.embeddings_digest)
        if table.shape[1] != width:
            raise ValueError(
                f"{config.embeddings} holds embeddings of width {table.shape[1]}, {card.name} "
                f"takes latents of {width}: were they made by another generator's encoder?"
            )
        made_for = _generator_of(config.embeddings, config.embeddings_digest)
        if made_for and made_for != card.name:
            raise ValueError(
                f"{config.embeddings} holds latents of {made_for}, which mean nothing to "
                f"{card.name}: embed the pictures with an encoder of {card.name}."
            )
        places = uniforms(derive_seed(seed, "embedding"), indices, 1)[:, 0] * len(table)
        z = torch.from_numpy(table[places.astype(np.int64)].astype(np.float32))
        return z.add_(latents(seed, indices, width), alpha=config.alpha) if config.alpha else z
    if config.truncation is not None and not card.truncates:
        below = ndtr(-config.truncation)
        u = uniforms(derive_seed(seed, "latent"), indices, width)
        return torch.from_numpy(ndtri(below + u * (1 - 2 * below)).astype(np.float32))
    return latents(seed, indices, width)


def _labels(
    card: GeneratorCard, config: LatentConfig, seed: int, indices: ArrayLike
) -> Tensor | None:
    if not config.classes:
        return labels(seed, indices, card.num_classes)
    if max(config.classes) >= card.num_classes:
        raise ValueError(
            f"{card.name} has {card.num_classes} classes, asked for class {max(config.classes)}: "
            "choose lower ones, or leave latents.classes out."
        )
    weights = np.array(config.class_weights or [1.0] * len(config.classes))
    borders = np.cumsum(weights / weights.sum())
    u = uniforms(derive_seed(seed, "label"), indices, 1)[:, 0]
    # The last border may come out just below 1, and a class of weight 0 has no room at all.
    last = np.flatnonzero(weights)[-1]
    chosen = np.minimum(np.searchsorted(borders, u, side="right"), last)
    return torch.from_numpy(np.array(config.classes, dtype=np.int64)[chosen])


def _digest(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file of embeddings.")
    return file_digest(path)


def _open_embeddings(path: str, digest: str) -> NDArray[np.floating]:
    """Map a file of embeddings into memory, once for each content."""
    if _digest(Path(path)) != digest:
        raise ValueError(f"{path} has changed since the samples were planned: start again.")
    return _map_embeddings(path, digest)


@lru_cache(maxsize=4)
def _generator_of(path: str, _digest: str) -> str:
    """Say whose latents a file holds; empty where nobody wrote it down."""
    return str(told_of(Path(path)).get("generator", ""))


@lru_cache(maxsize=4)
def _map_embeddings(path: str, _digest: str) -> NDArray[np.floating]:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is no array of NumPy: {error}.") from error
    if table.ndim != 2 or len(table) == 0 or not np.issubdtype(table.dtype, np.floating):
        raise ValueError(
            f"{path} holds {table.dtype} of shape {table.shape}, expected embeddings: floating-"
            "point numbers of shape (M, latent_dim)."
        )
    opened: NDArray[np.floating] = table
    return opened
