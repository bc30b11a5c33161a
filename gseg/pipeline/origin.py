"""From samples in a storage back to what they were drawn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gseg.pipeline.graph import Told
from gseg.pipeline.stages.directions import DirectionNode, OperatorsNode
from gseg.pipeline.stages.embeddings import EMBEDDINGS, EmbeddingsNode, find_embeddings, with_file
from gseg.pipeline.stages.samples import SampleNode
from gseg.pipeline.trial import stages_of
from gseg.samples.config import LatentConfig, SampleConfig
from gseg.storage.digests import file_digest, restore
from gseg.storage.store import Store


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
    told = Told.of(store, folder.name, folder.parent.name)
    while "samples" not in told.config:
        told = told.parent(*stages_of(SampleNode))
    return Origin(
        generator=told.config["generator"],
        direction=told.parent(*stages_of(DirectionNode, OperatorsNode)).folder,
        config=restore(SampleConfig, _with_embeddings(told)),
    )


def _with_embeddings(told: Told) -> Mapping[str, Any]:
    """Give the settings of drawn samples with the file of embeddings that they were near to."""
    settings: Mapping[str, Any] = told.config["samples"]
    latents = settings.get("latents", {})
    if latents.get("scenes"):
        made = told.parent(*stages_of(EmbeddingsNode)).folder / EMBEDDINGS
        near = with_file(restore(LatentConfig, latents), made)
        named = {"scenes": None, "embeddings_digest": near.embeddings_digest}
        return {**settings, "latents": {**latents, **named, "embeddings": near.embeddings}}
    content = latents.get("embeddings_digest")
    if not content:
        return settings
    own = Path(told.about.get("embeddings", ""))
    mine = own if own.is_file() and file_digest(own) == content else None
    file = mine or find_embeddings(told.store, content)
    if file is None:
        raise LostEmbeddingsError(
            f"the samples were drawn near embeddings {content}, which are neither in the "
            f"storage nor where they were ({told.about.get('embeddings', 'not noted')}): put the "
            "file back there."
        )
    return {**settings, "latents": {**latents, "embeddings": str(file)}}
