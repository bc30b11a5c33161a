"""What a trial leaves in the storage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gseg.pipeline.stages.samples import SampledSet
from gseg.samples import SampleConfig
from gseg.storage.store import Artifact


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One trained network of a trial.

    Attributes:
        segmenter: Its artifact.
        samples: What it was trained on; None for true masks.
        config: How those samples were drawn; None for true masks.
        agreement: How far a labeller's masks agree with the samples' own; empty without one.
    """

    segmenter: Artifact
    samples: SampledSet | None = None
    config: SampleConfig | None = None
    agreement: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The segmenter's file."""
        return self.segmenter.folder / "segmenter.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialParts:
    """What a trial leaves in the storage.

    Attributes:
        direction: Its direction; None for methods without a generator.
        members: Its networks; none for baselines.
    """

    direction: Artifact | None
    members: tuple[Member, ...]
