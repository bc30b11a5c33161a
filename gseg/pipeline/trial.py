"""One trial: the graph of all that one experiment makes, and the rows that come out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gseg.generators.catalogue import find_card
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment, TrainedLabeller
from gseg.pipeline.graph import Node, Workshop
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.row_values import (
    Member,
    TrialParts,
    direction_values,
    identity_values,
    member_values,
    score_values,
    trained_side,
)
from gseg.pipeline.rows import Row, make_row
from gseg.pipeline.stages.directions import DirectionNode, with_operators
from gseg.pipeline.stages.distance import DistanceNode, distance_node
from gseg.pipeline.stages.embeddings import embeddings_node
from gseg.pipeline.stages.relabelled import RelabelledNode
from gseg.pipeline.stages.samples import SampleNode, SamplesNode
from gseg.pipeline.stages.scores import ScoresNode
from gseg.pipeline.stages.segmenter import SegmenterNode
from gseg.pipeline.stages.selection import SelectionNode
from gseg.randomness import derive_seed
from gseg.samples.config import SampleConfig
from gseg.scores.specs import EvalProtocol
from gseg.storage.cache_limit import trial_runs
from gseg.storage.store import Artifact, Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What all trials of a sweep have in common.

    Attributes:
        storage: Folder of the artifacts.
        benchmarks: Specifications; see `gseg.scores.benchmarks.open_benchmark`.
        eval_protocol: How pictures are brought to size and where they are scored.
        skip_bad: Whether unreadable files of a benchmark are skipped and listed.
    """

    storage: Path
    benchmarks: tuple[str, ...] = ("scenes",)
    eval_protocol: EvalProtocol = "text"
    skip_bad: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialGraph:
    """The nodes of a trial; what they are made from hangs on them.

    Attributes:
        direction: None for methods without a generator.
        sets: Samples that are drawn, for each network training and held-out ones.
        segmenters: Networks; none for baselines, and where the trial ends with its direction.
        distance: Of the generator, if one is measured.
        scores: For each benchmark.
    """

    direction: DirectionNode | None = None
    sets: tuple[SamplesNode, ...] = ()
    segmenters: tuple[SegmenterNode, ...] = ()
    distance: DistanceNode | None = None
    scores: tuple[ScoresNode, ...] = ()

    @property
    def networks(self) -> tuple[Node[Any] | None, ...]:
        """Give all up to the networks, in the order in which they are made."""
        return (self.direction, *self.sets, *self.segmenters)

    @property
    def targets(self) -> tuple[Node[Any] | None, ...]:
        """Give all, in the order in which they are made."""
        return (*self.networks, self.distance, *self.scores)

    def parts(self, shop: Workshop) -> TrialParts:
        """Say what was left of the nodes up to the networks, which have been made."""
        direction = None if self.direction is None else shop.make(self.direction)
        members = []
        for node in self.segmenters:
            samples = node.samples
            members.append(
                Member(
                    segmenter=shop.make(node),
                    samples=samples.sampled(shop) if samples else None,
                    agreement=samples.agreement(shop) if samples else {},
                )
            )
        return TrialParts(direction=direction, members=tuple(members))


def trial_graph(trial: Experiment | DirectionTrial, setting: Context, device: str) -> TrialGraph:
    """Say what a trial makes.

    Args:
        trial: Settings of all stages, or of a direction alone.
        setting: Benchmarks and protocol.
        device: Kind of device of its stages.

    Returns:
        The graph; one of a direction ends with it.

    Raises:
        ValueError: The generator is not there, or an encoder is another generator's.
    """
    if isinstance(trial, DirectionTrial):
        return TrialGraph(direction=_direction(trial, device))
    return _Grown(trial, setting, device).graph()


def sample_nodes(experiment: Experiment, device: str) -> tuple[SamplesNode, ...]:
    """Say which sample sets a trial draws.

    Args:
        experiment: Its settings.
        device: Kind of device.

    Returns:
        For each network training and held-out set, in this order; sets of no samples are left
        out. Empty for methods without a generator.
    """
    if experiment.method != "gan":
        return ()
    assert experiment.samples is not None
    direction, found = _direction(experiment, device), []
    for kind in experiment.member_kinds:
        config = replace(experiment.samples, mask_kind=kind)
        held_out = replace(config, seed=derive_seed(config.seed, "validation"))
        wanted = ((config, experiment.drawn_size), (held_out, experiment.validation_size))
        found += [
            samples_node(experiment.generator, direction, samples, count, device)
            for samples, count in wanted
            if count
        ]
    return tuple(found)


def _direction(trial: Experiment | DirectionTrial, device: str) -> DirectionNode:
    assert trial.search is not None
    return DirectionNode(generator=trial.generator, search=trial.search, device=device)


def samples_node(
    generator: str, direction: Node[Artifact], samples: SampleConfig, count: int, device: str
) -> SamplesNode:
    """Say what draws samples: with all that has to be made before.

    Args:
        generator: Catalogue name.
        direction: A node of directions.
        samples: How to draw.
        count: How many.
        device: Kind of device.
    """
    return SamplesNode(
        generator=generator,
        direction=with_operators(generator, direction, samples, device),
        samples=samples,
        count=count,
        embeddings=embeddings_node(samples.latents, find_card(generator), device),
        device=device,
    )


def stages_of(*kinds: type) -> tuple[str, ...]:
    """Name the stages that make nodes of some kinds, among all that a trial may have."""
    found = [kind.stage for kind in kinds if hasattr(kind, "stage")]
    for kind in kinds:
        found += stages_of(*kind.__subclasses__())
    return tuple(dict.fromkeys(found))


class _Grown:
    """Grows the graph of an experiment."""

    def __init__(self, experiment: Experiment, setting: Context, device: str) -> None:
        self._experiment, self._setting, self._device = experiment, setting, device

    def graph(self) -> TrialGraph:
        """Grow all of it."""
        experiment, sets = self._experiment, sample_nodes(self._experiment, self._device)
        segmenters: tuple[SegmenterNode, ...] = ()
        if experiment.method == "gan":
            segmenters = tuple(self._member(kind, sets) for kind in experiment.member_kinds)
        elif experiment.method == "true_masks":
            segmenters = (self._true_masks(),)
        return TrialGraph(
            direction=_direction(experiment, self._device) if sets else None,
            sets=sets,
            segmenters=segmenters,
            distance=self._distance() if sets else None,
            scores=tuple(self._scores(segmenters)),
        )

    def _member(self, kind: str, sets: Sequence[SamplesNode]) -> SegmenterNode:
        experiment = self._experiment
        drawn, *held_out = (each for each in sets if each.samples.mask_kind == kind)
        samples: SampleNode = drawn
        if experiment.selection is not None:
            samples = SelectionNode(
                source=drawn,
                selection=experiment.selection,
                count=experiment.data_size,
                device=self._device,
            )
        return self._segmenter(
            samples=self._relabelled(samples),
            held_out=self._relabelled(held_out[0]) if held_out else None,
            shrunk=experiment.train_resolution,
            labelled=experiment.labelled,
        )

    def _relabelled(self, samples: SampleNode) -> SampleNode:
        labeller = self._experiment.labeller
        if labeller is None:
            return samples
        node = RelabelledNode(source=samples, count=samples.count, device=self._device)
        if not isinstance(labeller, TrainedLabeller):
            return replace(node, labeller=labeller)
        training, scenes = labeller.training, labeller.count
        network = SegmenterNode(training=training, scenes=scenes, device=self._device)
        return replace(node, network=network)

    def _true_masks(self) -> SegmenterNode:
        experiment = self._experiment
        return self._segmenter(
            labelled=experiment.labelled,
            scenes=0 if experiment.labelled else experiment.data_size,
            validation=experiment.validation_size,
        )

    def _segmenter(self, **settings: Any) -> SegmenterNode:  # noqa: ANN401
        training = self._experiment.training
        assert training is not None
        return SegmenterNode(training=training, device=self._device, **settings)

    def _distance(self) -> DistanceNode | None:
        experiment = self._experiment
        assert experiment.samples is not None
        card, latents = find_card(experiment.generator), experiment.samples.latents
        return distance_node(card, experiment.distance, latents, self._device)

    def _scores(self, segmenters: tuple[SegmenterNode, ...]) -> Iterator[ScoresNode]:
        size = trained_side(self._experiment)
        for spec in self._setting.benchmarks:
            yield ScoresNode(
                segmenters=segmenters,
                baseline="" if segmenters else self._experiment.method,
                benchmark=spec,
                skip_bad=self._setting.skip_bad,
                protocol=self._setting.eval_protocol,
                working_size=size,
                device=self._device if segmenters else "cpu",
            )


def run_trial(
    experiment: Experiment,
    setting: Context,
    backend: Backend,
    report: Report = silent,
    *,
    siblings: Sequence[Experiment] = (),
) -> list[Row]:
    """Run an experiment; what is in the storage already is not made again.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        backend: Who does the heavy work.
        report: Hears how far the stages are.
        siblings: Trials to come whose samples are drawn along (`gseg.search.source`).

    Returns:
        One row for each benchmark and metric profile.
    """
    graph = trial_graph(experiment, setting, backend.device)
    together = partial(_all_sets, (experiment, *siblings), backend.device)
    shop = Workshop(Store(setting.storage), backend, report, together=together)
    with trial_runs(setting.storage):
        for node in shop.walk(*graph.targets):
            shop.make(node)
        return _rows(graph, shop, experiment, setting, backend.device)


def find_rows(experiment: Experiment, setting: Context, device: str) -> list[Row] | None:
    """Put an experiment's rows together from the storage alone.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        device: Kind of device that would do the work.

    Returns:
        Its rows, or None if any stage is not complete.
    """
    graph, shop = trial_graph(experiment, setting, device), _looking(setting)
    if not shop.has_all(*graph.targets):
        return None
    return _rows(graph, shop, experiment, setting, device)


def find_parts(experiment: Experiment, setting: Context, device: str) -> TrialParts | None:
    """Find what a trial left in the storage.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        device: Kind of device that did the work.

    Returns:
        Its artifacts, or None if any is not complete.
    """
    graph, shop = trial_graph(experiment, setting, device), _looking(setting)
    return graph.parts(shop) if shop.has_all(*graph.networks) else None


def _looking(setting: Context) -> Workshop:
    return Workshop(Store(setting.storage, read_only=True))


def _all_sets(experiments: Sequence[Experiment], device: str) -> Iterator[SamplesNode]:
    for experiment in experiments:
        yield from sample_nodes(experiment, device)


def _rows(
    graph: TrialGraph, shop: Workshop, experiment: Experiment, setting: Context, device: str
) -> list[Row]:
    """Say what came out, of nodes that have been made."""
    parts = graph.parts(shop)
    values = dict(identity_values(experiment, device))
    if parts.direction is not None:
        values |= direction_values(parts.direction)
    if graph.distance is not None:
        values |= graph.distance.values(shop)
    values |= member_values(parts.members)
    rows = []
    for scores in map(shop.make, graph.scores):
        common = {
            **values,
            "benchmark": scores.facts["benchmark"],
            "eval_protocol": setting.eval_protocol,
            "skipped": len(scores.facts["skipped"]),
            "scoring_seconds": scores.seconds,
            "scoring_reused": scores.reused,
            "scores": scores.digest,
        }
        rows += [
            make_row({**common, "metric_profile": profile, **score_values(means)})
            for profile, means in scores.facts["profiles"].items()
        ]
    return rows
