"""From a result row back to what its trial left in the storage.

Every artifact names its parents, so the scores of a row lead to the segmenters, these to their
samples, and these, however they were relabelled or selected, to those that were drawn and to the
direction.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from gseg.pipeline.stages.embeddings import find_embeddings
from gseg.reports.settings import SEEDS, SETTINGS, main_profile, present
from gseg.samples import SampleConfig, shard_name
from gseg.storage.digests import file_digest, restore
from gseg.storage.mirror import fetch
from gseg.storage.store import Store

_SETS: Final = ("samples", "relabelled", "selection")
"""Stages whose artifacts are samples."""
_DIRECTIONS: Final = ("direction", "operators")
"""Stages whose artifacts are directions."""


class LostEmbeddingsError(ValueError):
    """Samples were drawn near embeddings that are not there; the message says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """What samples were drawn from.

    Attributes:
        generator: Catalogue name.
        direction: Folder that `Direction.load` reads; with the colour maps, if the masks need some.
        config: How they were drawn.
    """

    generator: str
    direction: Path
    config: SampleConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a trial left.

    Attributes:
        origin: What the samples were drawn from; of an ensemble, the first network's.
        samples: Folder of the shards that were trained on.
        count: Samples that were trained on, the first ones of the shards.
        segmenters: Files; several for an ensemble.
        benchmark: Identity of what was scored.
        protocol: Evaluation protocol.
        working_size: Shorter side that the segmenter saw; None for the benchmark's own.
        images: File with every picture's scores.
    """

    origin: Origin
    samples: Path
    count: int
    segmenters: tuple[Path, ...]
    benchmark: str
    protocol: str
    working_size: int | None
    images: Path


def telling_rows(rows: pd.DataFrame) -> Iterator["pd.Series[Any]"]:
    """Choose of each generator a row with the most samples, on its first benchmark.

    Args:
        rows: Result rows.

    Yields:
        One row for each generator; of several the one whose settings come first in order, alike
        for all generators of a grid.
    """
    chosen = rows[(rows["method"] == "gan") & (rows["metric_profile"] == main_profile(rows))]
    keys = ["benchmark", *present(chosen, (*SETTINGS, *SEEDS)), "experiment"]
    ordered = chosen.sort_values(
        ["generator", "data_size", *keys], ascending=[True, False, *([True] * len(keys))]
    )
    for _, row in ordered.drop_duplicates("generator").iterrows():
        yield row


def find_trace(row: "pd.Series[Any]", storage: Path) -> Trace | None:
    """Find what a row's trial left.

    Args:
        row: A result row of method ``gan``.
        storage: The sweep's storage.

    Returns:
        The files, which are here then; None if the storage lacks any, or holds them in another
        version's form.

    Raises:
        LostEmbeddingsError: All is there but the user's own embeddings.
        StorageError: The object store does not answer, or what it gives is damaged.
    """
    try:
        return _find(Store(storage, read_only=True), str(row["scores"]))
    except (FileNotFoundError, KeyError, IndexError, TypeError):
        return None


def _find(store: Store, name: str) -> Trace:
    scores, scored = _node(store, ("scores",), name)
    trained = [_node(store, ("segmenter",), parent) for parent in scored["parents"]]
    _, first = trained[0]
    # The training samples come first, before held-out ones and labelled pictures.
    samples, _ = _node(store, _SETS, first["parents"][0])
    config = scored["config"]
    found = Trace(
        origin=find_origin(samples),
        samples=samples,
        count=first["config"]["count"][0],
        segmenters=tuple(folder / "segmenter.safetensors" for folder, _ in trained),
        benchmark=config["benchmark"],
        protocol=config["protocol"],
        working_size=config["working_size"],
        images=scores / "images.parquet",
    )
    for path in (samples / shard_name(0), *found.segmenters, found.images):
        if not fetch(path):
            raise FileNotFoundError(path)
    return found


def find_origin(samples: Path) -> Origin:
    """Find what samples were drawn from.

    Args:
        samples: Folder of their shards in a storage; they may be relabelled or selected.

    Returns:
        The origin.

    Raises:
        FileNotFoundError: The storage lacks it.
        LostEmbeddingsError: It lacks the user's own embeddings only.
        StorageError: The object store does not answer, or what it gives is damaged.
    """
    folder = samples.absolute()
    store = Store(folder.parent.parent, read_only=True)
    _, told = _node(store, (folder.parent.name,), folder.name)
    while "samples" not in told["config"]:
        _, told = _node(store, _SETS, told["parents"][0])
    direction, _ = _node(store, _DIRECTIONS, told["parents"][-1])
    return Origin(
        generator=told["config"]["generator"],
        direction=direction,
        config=_sample_config(store, told),
    )


def _node(store: Store, stages: Sequence[str], name: str) -> tuple[Path, Mapping[str, Any]]:
    """Find an artifact, and what it says of itself, in that of some stages that has it."""
    for stage in stages:
        folder = store.folder(stage, name)
        about = folder / "about.json"
        if fetch(about):  # drawn samples grow, and so have no manifest
            return folder, json.loads(about.read_text())
        found = store.find(stage, name)
        if found is not None:
            return folder, found.manifest
    raise FileNotFoundError(f"No {' or '.join(stages)} {name} in the storage.")


def _sample_config(store: Store, told: Mapping[str, Any]) -> SampleConfig:
    settings = told["config"]["samples"]
    latents = settings.get("latents", {})
    content = latents.get("embeddings_digest")
    if content:
        own = Path(told.get("embeddings", ""))
        mine = own if own.is_file() and file_digest(own) == content else None
        file = mine or find_embeddings(store, content)
        if file is None:
            raise LostEmbeddingsError(
                f"the samples were drawn near embeddings {content}, which are neither in the "
                f"storage nor where they were ({told.get('embeddings', 'not noted')}): put the "
                "file back there."
            )
        settings = {**settings, "latents": {**latents, "embeddings": str(file)}}
    return restore(SampleConfig, settings)
