"""From a result row back to what its trial left in the storage.

Every artifact names its parents, so the scores of a row lead to the segmenters, these to their
samples, and these to the direction.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from gseg.reports.settings import SEEDS, main_profile, present
from gseg.samples import FilterConfig, SampleConfig, shard_name
from gseg.samples.latents import LatentConfig
from gseg.storage.store import Store

_SETTINGS: Final = ("mask_kind", "contrast_weight", "epsilon_sample")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a trial left.

    Attributes:
        generator: Catalogue name.
        direction: Folder that `Direction.load` reads.
        config: How the samples were drawn; of an ensemble, the first network's.
        first_shard: File of the first samples.
        segmenters: Files; several for an ensemble.
        benchmark: Identity of what was scored.
        protocol: Evaluation protocol.
        working_size: Shorter side that the segmenter saw; None for the benchmark's own.
        images: File with every picture's scores.
    """

    generator: str
    direction: Path
    config: SampleConfig
    first_shard: Path
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
    keys = ["benchmark", *present(chosen, (*_SETTINGS, *SEEDS)), "experiment"]
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
        The files; None if the storage lacks any, or holds them in another version's form.
    """
    store = Store(storage, read_only=True)
    try:
        return _find(store, str(row["scores"]))
    except (FileNotFoundError, KeyError, IndexError, TypeError, ValueError):
        return None


def _find(store: Store, scores: str) -> Trace:
    scored = _manifest(store, "scores", scores)
    segmenters = scored["parents"]
    trained = _manifest(store, "segmenter", segmenters[0])
    samples = store.folder("samples", trained["parents"][0])
    about = json.loads((samples / "about.json").read_text())
    direction = store.folder("direction", about["parents"][1])
    files = tuple(store.folder("segmenter", name) / "segmenter.safetensors" for name in segmenters)
    config = scored["config"]
    found = Trace(
        generator=about["config"]["generator"],
        direction=direction,
        config=_sample_config(about["config"]["samples"]),
        first_shard=samples / shard_name(0),
        segmenters=files,
        benchmark=config["benchmark"],
        protocol=config["protocol"],
        working_size=config["working_size"],
        images=store.folder("scores", scores) / "images.parquet",
    )
    for path in (direction, found.first_shard, *files, found.images):
        path.stat()
    return found


def _manifest(store: Store, stage: str, name: str) -> Mapping[str, Any]:
    artifact = store.find(stage, name)
    if artifact is None:
        raise FileNotFoundError(name)
    return artifact.manifest


def _sample_config(settings: Mapping[str, Any]) -> SampleConfig:
    """Rebuild a config from its JSON form."""
    latents = dict(settings.get("latents", {}))
    for name in ("classes", "class_weights"):
        if name in latents:
            latents[name] = tuple(latents[name])
    parts = {"filters": FilterConfig(**settings["filters"]), "latents": LatentConfig(**latents)}
    return SampleConfig(**{**settings, **parts})
