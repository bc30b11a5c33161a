"""One trial: the graph of all that one experiment makes, and the rows that come out."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gseg.generators.catalogue import find_card
from gseg.generators.weights import weights_digest
from gseg.pipeline import row_values
from gseg.pipeline.direction_trial import AnyTrial, DirectionTrial
from gseg.pipeline.experiment import TRAINED, Context, Experiment, TrainedLabeller
from gseg.pipeline.graph import Node, Workshop
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.rows import Row, make_row
from gseg.pipeline.stages.derived import RelabelledNode, SelectionNode
from gseg.pipeline.stages.directions import DirectionNode, prepared_direction
from gseg.pipeline.stages.pictures import DistanceNode, distance_node, embeddings_node
from gseg.pipeline.stages.samples import SampleNode, SamplesNode
from gseg.pipeline.stages.segmenter import ScoresNode, SegmenterNode
from gseg.randomness import derive_seed
from gseg.samples.config import SampleConfig
from gseg.scores.benchmarks import identity_digest
from gseg.storage.cache_limit import trial_runs
from gseg.storage.store import Artifact, Store


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

    def parts(self, shop: Workshop) -> row_values.TrialParts:
        """Say what was left of the nodes up to the networks, which have been made."""
        direction = None if self.direction is None else shop.make(self.direction)
        members = tuple(
            row_values.Member(
                segmenter=shop.make(node),
                samples=node.samples.sampled(shop) if node.samples else None,
                agreement=node.samples.agreement(shop) if node.samples else {},
                threshold=node.samples.chosen_threshold(shop) if node.samples else "",
            )
            for node in self.segmenters
        )
        return row_values.TrialParts(direction=direction, members=members)


def trial_graph(trial: AnyTrial, setting: Context, device: str) -> TrialGraph:
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
    sets, distance = sample_nodes(trial, device), None
    if sets:
        assert trial.samples is not None
        card, latents = find_card(trial.generator), trial.samples.latents
        distance = distance_node(card, trial.distance, latents, device)
    segmenters = tuple(_segmenters(trial, sets, device))
    scores = ScoresNode(
        segmenters=segmenters,
        baseline="" if segmenters else trial.method,
        benchmark="",
        skip_bad=setting.skip_bad,
        protocol=setting.eval_protocol,
        working_size=row_values.trained_side(trial),
        device=device if segmenters else "cpu",
    )
    # True masks and baselines have no sets, and so nothing that comes before those.
    return TrialGraph(
        direction=_direction(trial, device) if sets else None,
        sets=sets,
        segmenters=segmenters,
        distance=distance,
        scores=tuple(
            replace(scores, benchmark=spec, planned=planned)
            for spec, planned in itertools.zip_longest(
                setting.benchmarks, setting.identities, fillvalue=""
            )
        ),
    )


def sample_nodes(trial: AnyTrial, device: str) -> tuple[SamplesNode, ...]:
    """Say which sample sets a trial draws.

    Returns:
        For each network training and held-out set, in this order; sets of no samples are left
        out. Empty for methods without a generator, and for a direction alone.
    """
    if not isinstance(trial, Experiment) or trial.method != "gan":
        return ()
    assert trial.samples is not None
    direction, found = _direction(trial, device), []
    for kind in trial.member_kinds:
        config = replace(trial.samples, mask_kind=kind)
        # Another seed: no held-out sample has a latent that was trained on.
        held_out = replace(config, seed=derive_seed(config.seed, "validation"))
        wanted = ((config, trial.drawn_size), (held_out, trial.validation_size))
        found += [
            samples_node(trial.generator, direction, samples, count, device)
            for samples, count in wanted
            if count
        ]
    return tuple(found)


def _direction(trial: AnyTrial, device: str) -> DirectionNode:
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
        direction=prepared_direction(generator, direction, samples, device),
        samples=samples,
        count=count,
        embeddings=embeddings_node(samples.latents, find_card(generator), device),
        device=device,
    )


def _segmenters(
    experiment: Experiment, sets: Sequence[SamplesNode], device: str
) -> Iterator[SegmenterNode]:
    """Say which networks an experiment trains."""
    if experiment.method not in TRAINED:
        return
    assert experiment.training is not None
    labelled = experiment.labelled
    node = SegmenterNode(training=experiment.training, labelled=labelled, device=device)
    if experiment.method != "gan":
        # Labelled pictures take the place of scenes.
        scenes, rule = 0 if labelled else experiment.data_size, experiment.rule or ""
        yield replace(node, scenes=scenes, rule=rule, validation=experiment.validation_size)
        return
    for kind in experiment.member_kinds:
        # `sample_nodes` gives them in this order; there may be no held-out ones.
        drawn, *held_out = (each for each in sets if each.samples.mask_kind == kind)
        samples: SampleNode = drawn
        if experiment.selection is not None:
            selection, count = experiment.selection, experiment.data_size
            samples = SelectionNode(source=drawn, selection=selection, count=count, device=device)
        yield replace(
            node,
            samples=_relabelled(samples, experiment),
            # Measured with masks of the kind that is learnt.
            held_out=_relabelled(held_out[0], experiment) if held_out else None,
            shrunk=experiment.train_resolution,
        )


def _relabelled(samples: SampleNode, experiment: Experiment) -> SampleNode:
    labeller, device = experiment.labeller, samples.device
    if labeller is None:
        return samples  # with their own masks
    node = RelabelledNode(source=samples, count=samples.count, device=device)
    if not isinstance(labeller, TrainedLabeller):
        return replace(node, labeller=labeller)
    training, scenes = labeller.training, labeller.count
    network = SegmenterNode(training=training, scenes=scenes, device=device)
    return replace(node, network=network)


def _kinds_of(*kinds: type) -> Iterator[Any]:
    # Abstract ones have no stage. All subclasses are known: this module imports the stages.
    for kind in kinds:
        if hasattr(kind, "stage"):
            yield kind
        yield from _kinds_of(*kind.__subclasses__())


def stages_of(*kinds: type) -> tuple[str, ...]:
    """Name the stages that make nodes of some kinds, among all that a trial may have."""
    return tuple(dict.fromkeys(kind.stage for kind in _kinds_of(*kinds)))


def stage_words() -> dict[str, str]:
    """Say what people call an output of each stage."""
    return {kind.stage: kind.word or kind.stage for kind in _kinds_of(Node)}


def run_trial(
    trial: AnyTrial,
    setting: Context,
    backend: Backend,
    report: Report = silent,
    *,
    siblings: Sequence[AnyTrial] = (),
) -> list[Row]:
    """Run a trial; what is in the storage already is not made again.

    Args:
        trial: Settings of all stages, or of a direction alone.
        setting: Storage and benchmarks.
        backend: Who does the heavy work.
        report: Hears how far the stages are.
        siblings: Trials to come whose samples are drawn along (`gseg.search.source`).

    Returns:
        One row for each benchmark and metric profile; of a direction one with columns of its own.
    """
    device, both = backend.device, (trial, *siblings)
    graph = trial_graph(trial, setting, device)

    # A function: the siblings' names are resolved only if there is something to draw.
    def together() -> Iterator[SamplesNode]:
        for each in both:
            yield from sample_nodes(each, device)

    shop = Workshop(Store(setting.storage), backend, report, together=together)
    with trial_runs(setting.storage):  # what it uses is not dropped from a full cache
        for node in shop.walk(*graph.targets):
            shop.make(node)
        return _rows(graph, shop, trial, setting, device)


def find_rows(trial: AnyTrial, setting: Context, device: str) -> list[Row] | None:
    """Put a trial's rows together from the storage alone; None if any stage is not complete.

    The device is the kind that would do the work.
    """
    graph, shop = trial_graph(trial, setting, device), _looking(setting)
    return _rows(graph, shop, trial, setting, device) if shop.has_all(*graph.targets) else None


def find_parts(trial: AnyTrial, setting: Context, device: str) -> row_values.TrialParts | None:
    """Find what a trial left in the storage; None if any artifact is not complete.

    The device is the kind that did the work.
    """
    graph, shop = trial_graph(trial, setting, device), _looking(setting)
    return graph.parts(shop) if shop.has_all(*graph.networks) else None


def _looking(setting: Context) -> Workshop:
    return Workshop(Store(setting.storage, read_only=True))


def _rows(
    graph: TrialGraph, shop: Workshop, trial: AnyTrial, setting: Context, device: str
) -> list[Row]:
    """Say what came out, of nodes that have been made."""
    parts = graph.parts(shop)
    if isinstance(trial, DirectionTrial):
        assert parts.direction is not None
        return [row_values.Found(trial=trial, artifact=parts.direction).row(device)]
    # What all rows of a trial share; benchmarks and profiles make several of it.
    values = dict(row_values.identity_values(trial, device))
    if parts.direction is not None:
        values |= row_values.direction_values(parts.direction)
        values["weights"] = weights_digest(trial.generator)
    if graph.distance is not None:
        values |= graph.distance.values(shop)
    values |= row_values.member_values(parts.members)
    rows = []
    for node in graph.scores:
        scores = shop.make(node)
        common = {
            **values,
            **row_values.selection_values(trial, values, node.opened(shop)),
            "benchmark": scores.facts["benchmark"],
            "benchmark_digest": identity_digest(scores.manifest["config"]["benchmark"]),
            "eval_protocol": setting.eval_protocol,
            "skipped": len(scores.facts["skipped"]),
            "scoring_seconds": scores.seconds,
            "scoring_reused": scores.reused,
            "scores": scores.digest,
        }
        rows += [
            make_row({**common, "metric_profile": profile, **row_values.score_values(means)})
            for profile, means in scores.facts["profiles"].items()
        ]
    return rows
