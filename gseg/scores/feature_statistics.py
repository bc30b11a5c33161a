"""What is kept of the features of a set of pictures, in memory and in a file: moments, and vectors.

Mean and covariance of all pictures are sums that merge; of some pictures the vectors are kept,
which a kernel distance needs. The file is an `.npz` with the arrays `mu` and `sigma` that
pytorch-fid and other programs read and write, and beside them how many pictures they are of, in
which features, and the vectors.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gseg.arrays import check_finite, load_numpy
from gseg.features.networks import NetworkFeatures
from gseg.randomness import derive_seed, uniforms
from gseg.storage.checksums import file_digest
from gseg.storage.files import replacing
from gseg.transfers import one_behind

KEPT: Final = 10_000
"""Vectors kept of a set at most: 80 MB of Inception features."""
_SEED: Final = 0
_FEWEST: Final = 2
# Of the largest variance: what a covariance that was summed up in float32 may be off by.
_ASYMMETRY: Final = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Mean and scatter of feature vectors; two of them add up.

    Attributes:
        count: Number of vectors; None for a set that nobody told the size of.
        mean: (D,) float64.
        scatter: (D, D) float64, sum of the outer products of deviations from the mean; the
            covariance itself where the count is not known.
        features: Name of the feature extractor.
    """

    count: int | None
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    features: str

    @classmethod
    def of(cls, vectors: Tensor | NDArray[np.float32], features: str) -> "Moments":
        """Take the moments of one batch.

        Args:
            vectors: (N, D) features; N may be 0.
            features: Name of the feature extractor.

        Raises:
            ValueError: The vectors are not a table, or not all finite.
        """
        table = np.asarray(vectors, dtype=np.float64)
        if table.ndim != 2:
            raise ValueError(f"Expected features (N, D), got an array of shape {table.shape}.")
        if not np.isfinite(table).all():
            raise ValueError("Features contain NaN or infinity; look at the pictures they are of.")
        if len(table) == 0:
            return cls.zero(table.shape[1], features)
        mean = table.mean(0)
        deviation = table - mean
        return cls(count=len(table), mean=mean, scatter=deviation.T @ deviation, features=features)

    @classmethod
    def zero(cls, dim: int, features: str) -> "Moments":
        """Give the moments of no vectors of length `dim`: adding them changes nothing."""
        return cls(count=0, mean=np.zeros(dim), scatter=np.zeros((dim, dim)), features=features)

    def __add__(self, other: "Moments") -> "Moments":
        """Merge with the moments of other pictures (Chan, Golub and LeVeque 1979)."""
        if (self.features, len(self.mean)) != (other.features, len(other.mean)):
            raise ValueError(
                f"Moments of {self.features!r} ({len(self.mean)} features) and of "
                f"{other.features!r} ({len(other.mean)}) cannot be added."
            )
        if self.count is None or other.count is None:
            raise ValueError("Moments of an unknown number of pictures cannot be added.")
        count = self.count + other.count
        if count == 0:
            return self
        # Differences of means, not sums of squares: these would lose all digits where the mean is
        # large beside the spread.
        step = other.mean - self.mean
        weight = other.count / count
        return Moments(
            count=count,
            mean=self.mean + step * weight,
            scatter=self.scatter + other.scatter + np.outer(step, step) * (self.count * weight),
            features=self.features,
        )

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D) float64, unbiased."""
        if self.count is None:
            return self.scatter
        if self.count < 2:
            raise ValueError(f"A covariance needs at least 2 pictures, got {self.count}.")
        return self.scatter / (self.count - 1)


# Compared and hashed as an object, so that what is computed of a reference can be remembered.
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptVectors:
    """Feature vectors of the pictures that were chosen from a set.

    Attributes:
        indices: (n,) int64, numbers of the pictures, ascending.
        vectors: (n, D) float32.
        features: Name of the feature extractor.
    """

    indices: NDArray[np.int64]
    vectors: NDArray[np.float32]
    features: str

    @classmethod
    def join(cls, parts: Sequence["KeptVectors"]) -> "KeptVectors":
        """Put the choices of the parts of one set together, whatever these were and their order.

        Raises:
            ValueError: The features differ, or a picture comes twice.
        """
        names = sorted({part.features for part in parts})
        if len(names) > 1:
            raise ValueError(f"Vectors of {names} do not go together.")
        indices = np.concatenate([part.indices for part in parts])
        order = np.argsort(indices, kind="stable")
        if (np.diff(indices[order]) == 0).any():
            raise ValueError("Parts of one set must be of different pictures; some come twice.")
        vectors = np.concatenate([part.vectors for part in parts])
        return cls(indices=indices[order], vectors=vectors[order], features=parts[0].features)


def kept_pictures(count: int, kept: int = KEPT) -> NDArray[np.bool_]:
    """Choose the pictures of a set whose vectors are kept.

    Args:
        count: Pictures of the set.
        kept: How many to choose at most.

    Returns:
        (count,) bool; all True if the set is no larger than that.
    """
    chosen = np.ones(count, bool)
    if count > kept:
        keys = uniforms(derive_seed(_SEED, "kid choice"), np.arange(count), 1)[:, 0]
        # At random, not the first: classes may come one after the other.
        chosen[np.argsort(keys, kind="stable")[kept:]] = False
    return chosen


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureStatistics:
    """Moments of all pictures of a set and vectors of some.

    Attributes:
        moments: Of all.
        kept: Vectors of the pictures that were chosen; None where a file has none.
        source: Which pictures these are, in a few words.
    """

    moments: Moments
    kept: KeptVectors | None
    source: str

    @property
    def features(self) -> str:
        """Name of the feature extractor."""
        return self.moments.features

    @property
    def count(self) -> int | None:
        """Number of pictures, if it is known."""
        return self.moments.count

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file, whole or not at all."""
        moments, size = self.moments, len(self.moments.mean)
        arrays: dict[str, NDArray[np.generic]] = {
            "mu": moments.mean,
            # A part may have one picture, or none.
            "sigma": np.zeros((size, size)) if moments.count in (0, 1) else moments.covariance,
            "features": np.array(self.features),
            "source": np.array(self.source),
        }
        if moments.count is not None:
            arrays |= {"count": np.array(moments.count)}
        if self.kept is not None:
            arrays |= {"kept_indices": self.kept.indices, "kept_vectors": self.kept.vectors}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, features: str, *, part: bool = False) -> "FeatureStatistics":
        """Read a file that `save` or pytorch-fid wrote; it cannot run code.

        Args:
            path: The file.
            features: Name of the extractor that it is to be compared in. A file of another
                program does not say what it was made with: then this is taken for true.
            part: Whether it is of a part of a set, which may have one picture or none, and whose
                kept vectors are numbered by the whole.

        Raises:
            ValueError: The file is no such file, or says that it was made with other features.
        """
        arrays = load_numpy(path)
        missing = {"mu", "sigma"} - set(arrays)
        if missing:
            raise ValueError(f"{path} holds no {' and no '.join(sorted(missing))}: no statistics.")
        made_with = str(arrays.get("features", features))
        if made_with != features:
            raise ValueError(
                f"{path} was made with the features {made_with!r}, not {features!r}: choose those."
            )
        mean, sigma = (_floats(path, arrays, name) for name in ("mu", "sigma"))
        if mean.ndim != 1 or sigma.shape != (len(mean), len(mean)):
            raise ValueError(
                f"{path} holds mu {mean.shape} and sigma {sigma.shape}; expected (D,) and (D, D)."
            )
        _check_covariance(path, sigma)
        count, kept = None, None
        if {"count", "kept_indices", "kept_vectors"} <= set(arrays):
            count, kept = _kept_of(path, arrays, len(mean), features, part=part)
            sigma = sigma * (count - 1)
        moments = Moments(count=count, mean=mean, scatter=sigma, features=features)
        # Of other programs' files by content, too: distances to two of one name do not compare.
        source = str(arrays["source"]) if "source" in arrays else _told_apart(path)
        return cls(moments=moments, kept=kept, source=source)


def _told_apart(path: Path) -> str:
    return f"{path.name} [{file_digest(path)[:8]}]"


def _floats(path: Path, arrays: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.float64]:
    """Take an array of a file as finite float64."""
    if not np.issubdtype(arrays[name].dtype, np.floating):
        raise ValueError(
            f"{path}: {name} holds {arrays[name].dtype}, expected floating-point numbers."
        )
    check_finite(path, {name: arrays[name]})
    return np.asarray(arrays[name], np.float64)


def _check_covariance(path: Path, sigma: NDArray[np.float64]) -> None:
    variances = np.diagonal(sigma)
    tolerance = _ASYMMETRY * np.abs(variances).max(initial=0.0)
    if (variances < 0).any():
        wrong = f"its diagonal, which holds variances, goes below zero ({variances.min():g})"
    elif (apart := np.abs(sigma - sigma.T).max(initial=0.0)) > tolerance:
        wrong = f"it is not symmetric (numbers differ by up to {apart:g} from their mirror images)"
    else:
        return
    raise ValueError(f"{path}: sigma is no covariance: {wrong}. Take the statistics again.")


def _kept_of(
    path: Path, arrays: Mapping[str, NDArray[Any]], dim: int, features: str, *, part: bool
) -> tuple[int, KeptVectors]:
    """Take the number of pictures and the kept vectors of a file."""
    count, indices = arrays["count"], arrays["kept_indices"]
    vectors = _floats(path, arrays, "kept_vectors").astype(np.float32)
    least = 0 if part else _FEWEST
    if count.ndim or not np.issubdtype(count.dtype, np.integer) or int(count) < least:
        raise ValueError(
            f"{path}: count is {count}, expected a whole number of pictures, at least {least}."
        )
    if indices.ndim != 1 or vectors.shape != (len(indices), dim):
        raise ValueError(
            f"{path} holds kept_indices {indices.shape} and kept_vectors {vectors.shape}; expected "
            f"(n,) and (n, {dim})."
        )
    if len(indices) > int(count):
        raise ValueError(f"{path} holds {len(indices)} kept vectors, but is of {count} pictures.")
    end = np.iinfo(np.int64).max if part else int(count)
    ends = np.concatenate([[-1], indices, [end]])
    if not np.issubdtype(indices.dtype, np.integer) or (np.diff(ends) <= 0).any():
        raise ValueError(
            f"{path}: kept_indices ({indices.dtype}) are no numbers of {count} pictures: expected "
            "whole ones from 0 in ascending order."
        )
    kept = KeptVectors(indices=indices.astype(np.int64), vectors=vectors, features=features)
    return int(count), kept


def join_statistics(parts: Iterable[FeatureStatistics]) -> FeatureStatistics:
    """Merge the statistics of the parts of one set, holding one part at a time.

    Args:
        parts: At least one, of different pictures; in one order for one result to the last bit.

    Raises:
        ValueError: A part's features differ, or its number of pictures is not known.
    """
    whole: Moments | None = None
    kept: list[KeptVectors] = []
    source = ""
    for part in parts:
        if part.kept is None:
            raise ValueError(f"{part.source} does not say of how many pictures it is.")
        whole = part.moments if whole is None else whole + part.moments
        kept.append(part.kept)
        source = part.source
    assert whole is not None
    return FeatureStatistics(moments=whole, kept=KeptVectors.join(kept), source=source)


def collect_statistics(
    batches: Iterable[Tensor],
    extractor: NetworkFeatures,
    *,
    source: str,
    first: int = 0,
    count: int,
) -> FeatureStatistics:
    """Go through pictures once; memory does not grow with their number.

    Args:
        batches: Pictures, (N, 3, H, W) uint8 each; a part of the set or all of it.
        extractor: The feature network.
        source: Which pictures these are.
        first: Number of the first of them in the set.
        count: Pictures of the whole set.

    Raises:
        ValueError: There are more pictures than the set has.
    """
    moments = Moments.zero(extractor.dim, extractor.name)
    chosen = kept_pictures(count)
    indices = [np.zeros(0, np.int64)]
    vectors = [np.zeros((0, extractor.dim), np.float32)]

    def begun() -> Iterator[tuple[NDArray[np.int64], Callable[[], Tensor]]]:
        place = first
        for pictures in batches:
            here = np.arange(place, place + len(pictures))
            place += len(pictures)
            if place > count:
                raise ValueError(f"{source} has {count} pictures, but more came.")
            yield here, extractor.begin(pictures)

    for here, arrived in one_behind(begun()):
        features = arrived()
        moments += Moments.of(features, extractor.name)
        keep = chosen[here]
        indices.append(here[keep])
        vectors.append(features.numpy()[keep])
    kept = KeptVectors(
        indices=np.concatenate(indices), vectors=np.concatenate(vectors), features=extractor.name
    )
    return FeatureStatistics(moments=moments, kept=kept, source=source)
