"""Latents and labels of candidates: functions of (seed, index), whoever draws them.

- The prior: z from N(0, I), y uniform over the classes.
- The truncated prior (Brock et al. 2019, "Large Scale GAN Training", section 3.1): coordinates
  beyond a threshold are drawn again.
- Near real pictures (Voynov et al. 2021, Eq. (6)): z = E(I_j) + α ξ with j uniform over a data
  set's embeddings and ξ from N(0, I). The paper takes α = 0 for ImageNet and 0.2 for small sets.

The embeddings that Voynov et al. 2021 publish are ``.npy`` arrays (pictures, latent_dim). `gseg`
writes the same, and beside it Parquet, which names each latent's picture, the encoder and the
generator whose latents these are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from gseg.arrays import check_finite, load_numpy
from gseg.downloads import why_unreadable
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, labels, latents, uniforms
from gseg.samples.config import LatentConfig
from gseg.storage.checksums import file_digest
from gseg.storage.files import replacing
from gseg.transfers import send

_KEY: Final = b"gseg.embeddings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """Latents of a set of pictures.

    Attributes:
        latents: (M, latent_dim) float32.
        pictures: Name of each picture: its path below the folder, or its number.
        skipped: What could not be read, with the reason.
    """

    latents: NDArray[np.float32]
    pictures: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def save_embeddings(path: Path, found: Embeddings, told: Mapping[str, Any]) -> None:
    """Write latents as NumPy array and as Parquet.

    Args:
        path: ``.npy`` file, gets an (M, latent_dim) float32 array; the same name with
            ``.parquet`` gets columns ``picture`` and ``embedding``.
        found: What to write.
        told: JSON values for the header: ``generator`` and whatever else is known.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    flat = pa.array(np.ascontiguousarray(found.latents).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, found.latents.shape[1])
    table = pa.table({"picture": list(found.pictures), "embedding": column})
    header = json.dumps({**told, "skipped": list(found.skipped)}).encode()
    with replacing(path.with_suffix(".parquet")) as part:
        pq.write_table(table.replace_schema_metadata({_KEY: header}), part)
    with replacing(path) as part, part.open("wb") as opened:
        np.save(opened, found.latents, allow_pickle=False)


def near_embeddings(path: str | Path, *, alpha: float = 0.0) -> LatentConfig:
    """Draw latents near a data set's embeddings (Voynov et al. 2021, Eq. (6)).

    Args:
        path: File (.npy) of an (M, latent_dim) array of floating-point numbers.
        alpha: Scale α of the noise; the paper's are 0 for large sets and 0.2 for small ones.

    Raises:
        ValueError: The file is not there or is no such array.
    """
    file = str(Path(path).expanduser().absolute())
    name = _digest(file)
    _map_embeddings(file, name)
    return LatentConfig(embeddings=file, embeddings_digest=name, alpha=alpha)


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
        table = _open_embeddings(config, card)
        places = uniforms(derive_seed(seed, "embedding"), indices, 1)[:, 0] * len(table)
        z = torch.from_numpy(table[places.astype(np.int64)].astype(np.float32))
        return z.add_(latents(seed, indices, width), alpha=config.alpha) if config.alpha else z
    if config.truncation is not None and not card.truncates:
        # Drawing again what falls outside is the inverse of a part of the distribution function.
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


def _open_embeddings(config: LatentConfig, card: GeneratorCard) -> NDArray[np.floating]:
    """Give the table of embeddings, which has to be as planned and for this generator."""
    file, planned = config.embeddings, config.embeddings_digest
    if _digest(file) != planned:
        raise ValueError(f"{file} has changed since the samples were planned: start again.")
    table = _map_embeddings(file, planned)
    if table.shape[1] != card.latent_dim:
        raise ValueError(
            f"{file} holds embeddings of width {table.shape[1]}, {card.name} takes latents of "
            f"{card.latent_dim}: were they made by another generator's encoder?"
        )
    made_for = _generator_of(file, planned)
    if made_for and made_for != card.name:
        raise ValueError(
            f"{file} holds latents of {made_for}, which mean nothing to {card.name}: embed the "
            f"pictures with an encoder of {card.name}."
        )
    return table


def _digest(file: str) -> str:
    if not Path(file).is_file():
        raise ValueError(f"{file}: there is no such file of embeddings.")
    return file_digest(Path(file))


# The digest is an argument so that a file that has changed is opened anew.
@lru_cache(maxsize=4)
def _generator_of(file: str, _digest: str) -> str:
    """Say whose latents a file holds; empty where nobody wrote it down, as the program did not."""
    beside = Path(file).with_suffix(".parquet")
    try:
        told = json.loads((pq.read_schema(beside).metadata or {}).get(_KEY, b"{}"))
    except FileNotFoundError:
        return ""
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"{beside} cannot be read ({why_unreadable(beside, error)}): it says whose latents the "
            f"file beside it holds; make it again with gseg embed, or remove it."
        ) from error
    if not isinstance(told, dict):
        raise ValueError(f"{beside} says {told!r} of itself, expected what gseg embed writes.")
    return str(told.get("generator", ""))


@lru_cache(maxsize=4)
def _map_embeddings(file: str, _digest: str) -> NDArray[np.floating]:
    arrays = load_numpy(Path(file), mapped=True)
    table = arrays.get("array")
    if table is None:
        raise ValueError(
            f"{file} holds {', '.join(arrays)}: expected one array of embeddings, as numpy.save "
            "writes it."
        )
    if table.ndim != 2 or len(table) == 0 or not np.issubdtype(table.dtype, np.floating):
        raise ValueError(
            f"{file} holds {table.dtype} of shape {table.shape}, expected embeddings: floating-"
            "point numbers of shape (M, latent_dim)."
        )
    check_finite(file, {"array": table})
    opened: NDArray[np.floating] = table
    return opened
