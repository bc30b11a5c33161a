"""What is kept of the features of a set of pictures, in memory and in a file.

The file is an `.npz` with the arrays `mu` and `sigma` that pytorch-fid and other programs read and
write, and beside them how many pictures they are of, in which features, and the vectors that a
kernel distance needs.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gseg.features.networks import NetworkFeatures
from gseg.scores.kid import KeptVectors, chosen_pictures
from gseg.scores.moments import GivenMoments, Moments
from gseg.storage.files import replacing
from gseg.transfers import one_behind


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureStatistics:
    """Moments of all pictures of a set and vectors of some.

    Attributes:
        moments: Of all; `GivenMoments` from a file that does not say of how many.
        kept: Vectors of the pictures that were chosen; None where a file has none.
        source: Which pictures these are, in a few words.
    """

    moments: Moments | GivenMoments
    kept: KeptVectors | None
    source: str

    @property
    def features(self) -> str:
        """Name of the feature extractor."""
        return self.moments.features

    @property
    def count(self) -> int | None:
        """Number of pictures, if it is known."""
        return self.moments.count if isinstance(self.moments, Moments) else None

    def save(self, path: Path) -> None:
        """Write a file, whole or not at all.

        Args:
            path: Its name; the suffix should be ``.npz``.
        """
        arrays: dict[str, NDArray[np.generic]] = {
            "mu": self.moments.mean,
            "sigma": _covariance(self.moments),
            "features": np.array(self.features),
            "source": np.array(self.source),
        }
        if isinstance(self.moments, Moments):
            arrays |= {"count": np.array(self.moments.count)}
        if self.kept is not None:
            arrays |= {"kept_indices": self.kept.indices, "kept_vectors": self.kept.vectors}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path, features: str) -> "FeatureStatistics":
        """Read a file that `save` or pytorch-fid wrote; it cannot run code.

        Args:
            path: The file.
            features: Name of the extractor that it is to be compared in. A file of another
                program does not say what it was made with: then this is taken for true.

        Returns:
            The statistics.

        Raises:
            ValueError: The file is no such file, or says that it was made with other features.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (
            OSError,
            ValueError,
            zipfile.BadZipFile,
            EOFError,
            TypeError,
            AttributeError,
        ) as error:
            raise ValueError(f"{path} cannot be read as statistics: {error}") from error
        return _from_arrays(arrays, path, features)


def join_statistics(parts: Iterable[FeatureStatistics]) -> FeatureStatistics:
    """Merge the statistics of the parts of one set, holding one part at a time.

    Args:
        parts: At least one, of different pictures; in one order for one result to the last bit.

    Returns:
        Statistics of all.

    Raises:
        ValueError: A part's features differ, or its number of pictures is not known.
    """
    whole: Moments | None = None
    kept: list[KeptVectors] = []
    source = ""
    for part in parts:
        if not isinstance(part.moments, Moments) or part.kept is None:
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

    Returns:
        Statistics of these pictures.

    Raises:
        ValueError: There are more pictures than the set has.
    """
    moments = Moments.zero(extractor.dim, extractor.name)
    chosen = chosen_pictures(count)
    indices: list[NDArray[np.int64]] = []
    vectors: list[NDArray[np.float32]] = []

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
        indices=np.concatenate([np.zeros(0, np.int64), *indices]),
        vectors=np.concatenate([np.zeros((0, extractor.dim), np.float32), *vectors]),
        features=extractor.name,
    )
    return FeatureStatistics(moments=moments, kept=kept, source=source)


def _covariance(moments: Moments | GivenMoments) -> NDArray[np.float64]:
    """Give the covariance, 0 for the one picture that a part may have."""
    alone = isinstance(moments, Moments) and moments.count < 2
    return np.zeros((len(moments.mean),) * 2) if alone else moments.covariance


def _from_arrays(
    arrays: dict[str, NDArray[np.generic]], path: Path, features: str
) -> FeatureStatistics:
    missing = {"mu", "sigma"} - set(arrays)
    if missing:
        raise ValueError(f"{path} holds no {' and no '.join(sorted(missing))}: no statistics.")
    made_with = str(arrays.get("features", features))
    if made_with != features:
        raise ValueError(
            f"{path} was made with the features {made_with!r}, not {features!r}: choose those."
        )
    mean = np.asarray(arrays["mu"], np.float64)
    covariance = np.asarray(arrays["sigma"], np.float64)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            f"{path} holds mu {mean.shape} and sigma {covariance.shape}; expected (D,) and (D, D)."
        )
    source = str(arrays.get("source", path.name))
    given = GivenMoments(mean=mean, covariance=covariance, features=features)
    if "count" not in arrays or "kept_indices" not in arrays:
        return FeatureStatistics(moments=given, kept=None, source=source)
    count = int(arrays["count"])
    kept = KeptVectors(
        indices=np.asarray(arrays["kept_indices"], np.int64),
        vectors=np.asarray(arrays["kept_vectors"], np.float32),
        features=features,
    )
    moments = Moments(count=count, mean=mean, scatter=covariance * (count - 1), features=features)
    return FeatureStatistics(moments=moments, kept=kept, source=source)
