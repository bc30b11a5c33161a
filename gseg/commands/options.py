"""The options that sweeps and searches share: what to run, on what, where, and how.

An option is a field of a record: of a config of the library's own where there is one, else of a
record here. Options that vary a setting follow from `gseg.pipeline.settings`.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from cyclopts import Group, Parameter

from gseg.commands.app import Count, Here, Number, OutPlace, Place, wholes
from gseg.commands.given import Given, Needs, only_where, only_without
from gseg.distributed.runtime import Placement, Resources
from gseg.generators.catalogue import (
    Kind,
    check_known,
    find_card,
    full_name,
    list_generators,
    own_file,
)
from gseg.mask_coding import mask_coding
from gseg.pipeline.experiment import Context, Experiment, LabelledPairs, SelectionConfig
from gseg.pipeline.settings import Setting, axes
from gseg.recipes.grids import Axes, Grid, grids
from gseg.recipes.trials import trial, varied_grids
from gseg.samples.config import LabellerConfig, LatentConfig
from gseg.scores.specs import FOLDER, EvalProtocol, absolute_spec, with_coding
from gseg.words import unknown

if TYPE_CHECKING:
    from gseg.scores.benchmarks import Benchmark

Preset = Literal["embedded", "smoke", "paper"]

FIRST: Final = (
    *("--generators", "--preset", "--contrast-weight", "--epsilon", "--mask-kind", "--data-size"),
    *("--seeds", "--benchmark", "--storage", "--results", "--dry-run"),
)
"""Options that the first screen of help shows."""
WHAT, _SAMPLE, _TRAIN, _SCORE, _WHERE, _HOW, _STOP = (
    Group(name, sort_key=place)
    for place, name in enumerate(
        (
            "what to run",
            "how to sample",
            "how to train",
            "what to score on",
            "where things are",
            "how to run",
            "when to stop, what to repeat",
        )
    )
)
_GROUPS: Final = {"samples": _SAMPLE, "training": _TRAIN}
_VALUES: Final = {"word": str, "number": float, "count": int}
# Of options whose default no preset says.
_DEFAULTS: Final = {
    "generator": "embedded, or those that a table is about",
    "seed": "0, or as many as a table has runs",
    "rule": "mahalanobis_grabcut, in tables of all generators also mahalanobis",
    "mask_kind": "lighter, or what a table is about",
    "epsilon_sample": "that of the search",
    "alpha": "0",
    "train_precision": "the faster one of the device",
}
_GENERATORS: Final = (
    "Catalogue names, or: embedded (the twelve that ship with gseg), snapshots (from the training "
    "of one of them), published (public checkpoints, which need --weights), all; or "
    "FILE.py:FUNCTION, a function of your own that returns a generator."
)
_KINDS: Final[tuple[Kind, ...]] = ("embedded", "snapshots", "published", "all")
_UNIFORM: Final = "uniform"
# Melas-Kyriazi et al. 2022, B.4: 50,000 of 1,000,000.
_CANDIDATES_OF_EACH: Final = 20
# The same section's pictures of CUB.
_LABELLED: Final = 1_000


def _axis_option(name: str, setting: Setting) -> tuple[str, Any, Any]:
    """Make the field of an option that varies a setting; it takes one value or several."""
    text = _GENERATORS if name == "generator" else setting.varies or setting.meaning

    # Read off trials of the preset, so that help cannot say another value than a run takes: of
    # both ways to a direction, since each has settings that the other lacks.
    def shown(_: object) -> str:
        if name in _DEFAULTS:
            return _DEFAULTS[name]
        grid = grids(native=False)["embedded"]
        if name == "data_size":
            return " ".join(map(str, grid.data_sizes))
        chosen = replace(grid, direction="voynov2021")
        values = (setting.value(trial(one, "any", 1, "lighter", 0, "")) for one in (grid, chosen))
        value = next((each for each in values if each is not None), "none")
        return f"{value:g}" if isinstance(value, float) else str(value)

    parameter = Parameter(
        name=setting.flag,
        help=text.replace("`", ""),
        show_default=shown,
        choices=setting.known_words or None,
        converter=wholes if setting.kind == "count" else None,
        group=_GROUPS.get(setting.path.partition(".")[0], WHAT) if not setting.is_seed else WHAT,
    )
    value: Any = _VALUES[setting.kind]
    return name, Annotated[tuple[value, ...], parameter], field(default=())


AxisOptions: Any = make_dataclass(
    "AxisOptions",
    [_axis_option(name, setting) for name, setting in axes().items()],
    frozen=True,
    kw_only=True,
    namespace={"__module__": __name__},  # cyclopts looks into records of named modules only
)
"""A list of values for each axis of `gseg.pipeline.settings`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Where latents, labels and pictures that are trained on come from.

    Attributes:
        embeddings: Draw latents near a data set's embeddings (.npy, one row for each picture)
            instead of from the prior (Voynov et al. 2021, Eq. 6); their width must be the
            generators'.
        classes: Labels that are drawn: uniform, all of a generator's alike, or numbers from 0.
        class_weights: How often, relative to each other, each of --classes is drawn; alike without.
        nearest: Train on the samples nearest to the pictures in this folder (Melas-Kyriazi et al.
            2022, B.4), as many as the data size.
        nearest_candidates: Samples that the nearest are chosen from; without it 20 for each that is
            kept of the largest data size.
        nearest_features: Network whose features are compared: scenes, or resnet50:FILE.
        labelled: Pictures with true masks to train on as well, such as folder:PATH (Melas-Kyriazi
            et al. 2022, B.4).
        labelled_count: How many of them, chosen by the seed; without it 1000.
        labelled_weight: Their share, between 0 and 1, in what is trained on; without it every pair,
            labelled or generated, counts the same.
        labeller: Who gives the other masks of voynov_table_5: segmenter:FILE, folder:PATH,
            FILE.py:FUNCTION or MODULE:FUNCTION; without it, with embedded generators, a network
            trained with true masks.
        batch: Candidates that a generator draws at once; another number gives other samples.
            Without it the preset's, or less where the first block does not fit into memory.
    """

    embeddings: Path | None = None
    classes: tuple[str, ...] = (_UNIFORM,)
    class_weights: tuple[float, ...] = ()
    nearest: Path | None = None
    nearest_candidates: Count | None = None
    nearest_features: str | None = None
    labelled: str | None = None
    labelled_count: Count | None = None
    labelled_weight: float | None = None
    labeller: str | None = None
    batch: Count | None = None

    def apply(self, grid: Grid, largest: int, scoring: "Scoring") -> Grid:
        """Give a grid these latents, this selection and these labelled pictures.

        Args:
            grid: Settings.
            largest: Number of samples.
            scoring: Where benchmarks are, and what their masks mean.

        Raises:
            ValueError: Options exclude each other, or a value is out of range.
        """
        from gseg.samples.labeller import labeller

        samples = replace(grid.samples, latents=self._latents())
        if self.batch is not None:
            blocks = max(1, samples.shard_size // self.batch)
            samples = replace(samples, batch=self.batch, blocks_per_shard=blocks)
        return replace(
            grid,
            samples=samples,
            selection=self._selection(largest),
            labelled=self._labelled(scoring),
            labeller=labeller(scoring.coded(self.labeller)) if self.labeller else None,
        )

    def _latents(self) -> LatentConfig:
        from gseg.samples.latents import near_embeddings

        found = LatentConfig() if self.embeddings is None else near_embeddings(self.embeddings)
        if self.classes == (_UNIFORM,):
            return replace(found, class_weights=self.class_weights)
        if not all(word.isdecimal() for word in self.classes):
            raise ValueError(
                f"--classes takes {_UNIFORM!r} alone, or numbers from 0, got "
                f"{' '.join(self.classes)}."
            )
        return replace(
            found, classes=tuple(map(int, self.classes)), class_weights=self.class_weights
        )

    def _labelled(self, scoring: "Scoring") -> LabelledPairs | None:
        if self.labelled is None:
            return None
        return LabelledPairs(
            benchmark=scoring.absolute(self.labelled),
            count=_LABELLED if self.labelled_count is None else self.labelled_count,
            side=1,  # every generator's own, when its trials are made
            weight=self.labelled_weight,
        )

    def _selection(self, largest: int) -> SelectionConfig | None:
        if self.nearest is None:
            return None
        from gseg.features.named import parse_features

        kind, file = parse_features(self.nearest_features or "scenes")
        count = self.nearest_candidates
        return SelectionConfig(
            folder=str(self.nearest.expanduser().absolute()),
            candidates=_CANDIDATES_OF_EACH * largest if count is None else count,
            features=kind if file is None else f"{kind}:{file.absolute()}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scoring:
    """What to score on.

    Attributes:
        benchmark: scenes, scenes:COUNT (held-out embedded pictures), folder:PATH (a folder with
            images/ and masks/, paired by path below them), or a published data set (gseg benchmarks
            lists them), such as cub or cub:PATH; NAME+subset scores on what is there, whatever the
            published number, NAME+threshold cuts grey masks at half. Without it scenes, or with
            --preset paper those of the table.
        benchmarks_root: Folder in which published data sets without a path are looked for, or
            s3://BUCKET/PREFIX, all of which each machine copies; without it that of the
            environment's GSEG_BENCHMARKS.
        mask_coding: What the values of masks in folders mean, where the files do not say it:
            foreground=1,2, background=0, void=255 (levels, or a palette's indices), colour,
            alpha, threshold, inverted (docs/benchmarks.md).
        eval_protocol: Where scores are taken: at the segmenter's size (text), or at the mask's own
            as each official program does (melas_program, voynov_program); with +otsu, such as
            text+otsu, of masks that Otsu's threshold of each picture's probability gives, instead
            of half.
        skip_bad: Leave out files that cannot be read, and list them.
    """

    benchmark: tuple[str, ...] = ()
    benchmarks_root: Place | None = None
    mask_coding: tuple[str, ...] = ()
    eval_protocol: EvalProtocol = "text"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        mask_coding(self.mask_coding)

    def coded(self, spec: str) -> str:
        """Say in the name of a folder what its masks mean, if nothing else says it there."""
        return with_coding(spec, self.mask_coding)

    def absolute(self, spec: str) -> str:
        """Give the name of a benchmark that means the same in every process."""
        return absolute_spec(self.coded(spec), self.benchmarks_root)


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where things are.

    Attributes:
        weights: Folder of published weights, or s3://BUCKET/PREFIX; without it that of the
            environment's GSEG_WEIGHTS.
        storage: Folder of everything that is made, found again by the next run, or
            s3://BUCKET/PREFIX.
        results: Folder of the Parquet rows and figures.
        tensorboard: Also write the loss curves of finished trials there, as TensorBoard's event
            files.
    """

    weights: Place | None = None
    storage: OutPlace = Path("storage")
    results: Here = Path("results")
    tensorboard: Here | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """How to run.

    Attributes:
        address: A running Ray cluster, or auto; without it Ray starts on this machine.
        cpus: CPUs of the Ray that starts here; without it all.
        placement: Where stages run: in each trial's process, as distributed jobs on the cluster, or
            auto, which takes the cluster for stages of more than five minutes.
        workers: Replicas of one training.
        actors: Processes that share the work of a large stage; 0 for as many as there are CPUs or
            GPUs.
        min_actors: How many of them begin; more come while there is room. 0 for all at once.
        gpus_per_trial: GPUs of a trial, an actor or a replica; fractions share one.
        concurrency: Trials at the same time; 0 for as many as fit.
        dry_run: Print the plan and stop.
        plain: Print lines instead of a live view.
    """

    address: str | None = None
    cpus: Count | None = None
    placement: Placement = "auto"
    workers: Count = 1
    actors: Number = 0
    min_actors: Number = 0
    gpus_per_trial: float = 0.0
    concurrency: Number = 0
    dry_run: bool = False
    plain: bool = False

    @property
    def resources(self) -> Resources:
        """What the sweep may use.

        Raises:
            ValueError: A number is out of range.
        """
        own = {each.name for each in fields(self)}
        names = [each.name for each in fields(Resources) if each.name in own]
        return Resources(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """When a sweep stops, and what it does again.

    Attributes:
        max_hours: Hours after which the sweep stops; what trials have done by then is kept, and the
            same command goes on from there. Without it there is no limit.
        max_trials: Trials that this run of the command starts at most; the others are left for the
            next.
        retry_failed: Run trials again that have failed before and would fail again by themselves;
            without it they are reported with their reason.
    """

    max_hours: float | None = None
    max_trials: Count | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.max_hours is not None and not (
            math.isfinite(self.max_hours) and self.max_hours > 0
        ):
            raise ValueError(f"--max-hours is a positive number of hours, got {self.max_hours:g}.")

    @property
    def limits(self) -> str:
        """The limits as they were given."""
        told = [f"--max-trials {self.max_trials}"] if self.max_trials is not None else []
        told += [f"--max-hours {self.max_hours:g}"] if self.max_hours is not None else []
        return " and ".join(told)


def _flat(group: Group) -> Parameter:
    return Parameter(name="*", group=group)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class SweepOptions:
    """All that a sweep is told.

    Attributes:
        preset: Settings of all stages: embedded (minutes on a laptop), paper (the published
            settings), smoke (seconds, to see that everything works).
    """

    preset: Annotated[Preset, Parameter(group=WHAT)] = "embedded"
    axes: Annotated[AxisOptions, Parameter(name="*")] = AxisOptions()  # noqa: RUF009
    sampling: Annotated[Sampling, _flat(_SAMPLE)] = Sampling()
    scoring: Annotated[Scoring, _flat(_SCORE)] = Scoring()
    places: Annotated[Places, _flat(_WHERE)] = Places()
    running: Annotated[Running, _flat(_HOW)] = Running()
    control: Annotated[Control, _flat(_STOP)] = Control()

    @property
    def resources(self) -> Resources:
        """What the sweep may use, see `Running`."""
        return self.running.resources

    def grid(self) -> Grid:
        """Give the preset's grid with the options that recipes and sweeps do not vary."""
        grid = grids()[self.preset]
        sizes = self.axes.data_size or (grid.table_size or 0, *grid.data_sizes)
        grid = self.sampling.apply(grid, max(sizes), self.scoring)
        training = replace(grid.training, replicas=self.resources.workers)
        return replace(grid, training=training)

    def varied(self, *, default: tuple[str, ...] = ()) -> Axes:
        """Give what the options vary.

        Args:
            default: Words for generators if none are named; none to let a recipe choose.

        Raises:
            ValueError: A generator is unknown; the nearest is suggested.
        """
        found = {name: getattr(self.axes, name) for name in axes()}
        words = found["generator"] or default
        found["generator"] = tuple(
            _checked_generator(name) for word in words for name in _generators(word)
        )
        return {name: values for name, values in found.items() if values}

    def grids(self, axes: Axes) -> list[Grid]:
        """Give a grid for each combination of what recipes do not vary.

        Raises:
            ValueError: A value is out of range, or means nothing under the others.
        """
        return varied_grids(self.grid(), axes)

    def context(self, *, default: tuple[str, ...] = ("scenes",)) -> Context:
        """Give what all trials have in common; paths become absolute, for processes elsewhere.

        Args:
            default: Benchmarks if none are named.

        Raises:
            ValueError: There is no such benchmark, or no folder whose masks have the coding given.
        """
        scoring, sampling = self.scoring, self.sampling
        sets = (*(scoring.benchmark or default), sampling.labelled or "", sampling.labeller or "")
        if scoring.mask_coding and not any(each.startswith(f"{FOLDER}:") for each in sets):
            raise ValueError(
                "--mask-coding has no effect without a folder that does not say it itself: leave "
                f"it out, or score on {FOLDER}:PATH."
            )
        return Context(
            storage=self.places.storage.absolute(),
            benchmarks=tuple(map(scoring.absolute, scoring.benchmark or default)),
            eval_protocol=scoring.eval_protocol,
            skip_bad=scoring.skip_bad,
        )

    def check_resources(self) -> None:
        """Make sure that this machine has what is asked of it.

        Raises:
            ValueError: It has no GPU, or too few CPUs.
        """
        import torch

        if self.running.address is not None:
            return
        gpus, workers = self.resources.gpus_per_trial, self.resources.workers
        if gpus > 0 and not torch.cuda.is_available():
            raise ValueError(
                f"--gpus-per-trial {gpus:g}, but PyTorch sees no GPU on this machine: leave the "
                "option out, or name a cluster that has some (--address)."
            )
        cpus = self.running.cpus or os.cpu_count() or 1
        if workers > cpus:
            raise ValueError(
                f"--workers {workers}, but this machine's Ray has {cpus} CPUs: a replica needs "
                "one. Ask for fewer, or name a cluster (--address)."
            )


def _with_pictures(other: str, *options: str) -> Needs:
    """Say that options need pictures, which table_13 makes itself in the embedded sizes."""

    def met(given: Given) -> bool:
        makes = "table_13" in given.values("NAMES") and "paper" not in given.values("--preset")
        return other in given.typed or makes

    return Needs(options=options, met=met, lacking=f"without {other}", instead=f"add {other} ...")


def _reads_files(given: Given) -> bool:
    named = given.values("--benchmark")
    return "paper" in given.values("--preset") or not all(n.startswith("scenes") for n in named)


NEEDS: Final = (
    only_without("--address", "--cpus"),
    only_where("--placement", ["auto", "cluster"], "--actors", "--min-actors"),
    _with_pictures("--nearest", "--nearest-candidates", "--nearest-features"),
    _with_pictures("--labelled", "--labelled-count", "--labelled-weight"),
    Needs(
        options=("--class-weights",),
        met=lambda given: given.values("--classes") != (_UNIFORM,),
        lacking="without --classes",
        instead="add --classes NUMBER...",
    ),
    Needs(
        options=("--skip-bad",),
        met=_reads_files,
        lacking="on scenes",
        instead="name another --benchmark",
    ),
)
"""What options of sweeps and searches need. Whether a setting's value means anything to the trials
that come of it is asked of those (`gseg.commands.sweep.check_axes`); a place may be named in vain.
"""


def check_samples(
    experiment: Experiment,
    benchmarks: "Sequence[Benchmark]" = (),
    progress: Callable[[int, int], object] | None = None,
) -> tuple[str, ...]:
    """Find out before any work whether a trial's latents, labels and selection can be had.

    Args:
        experiment: The trial.
        benchmarks: What it is scored on.
        progress: See `gseg.scores.benchmarks.open_benchmark`.

    Returns:
        What there is to say about the files of a user's that it takes, one line each.

    Raises:
        ValueError: Embeddings have another width, a class is not the generator's, a folder of
            pictures cannot be read, or pictures are both trained and scored on.
    """
    from gseg.features.named import features_name
    from gseg.pipeline.stages.pictures import embeddings_node
    from gseg.pipeline.stages.segmenter import check_overlap
    from gseg.samples.labeller import list_masks
    from gseg.samples.latents import candidates
    from gseg.scores.batches import chosen_pictures
    from gseg.scores.benchmarks import open_benchmark
    from gseg.scores.picture_sources import FolderPictures

    notes: list[str] = []
    if experiment.labelled is not None:
        labelled = experiment.labelled
        pictures = open_benchmark(labelled.benchmark, progress=progress)
        chosen_pictures(pictures, labelled.seed, 0, labelled.count)
        for benchmark in benchmarks:
            check_overlap(pictures, labelled, benchmark)
        notes += pictures.notes
    if isinstance(experiment.labeller, LabellerConfig) and experiment.labeller.kind == "folder":
        notes.append(list_masks(Path(experiment.labeller.place)).left_out)
    if experiment.samples is None:
        return tuple(notes)
    card = find_card(experiment.generator)
    latents = experiment.samples.latents
    if latents.classes and not card.num_classes:
        raise ValueError(
            f"{card.name} knows no classes: leave --classes out, or leave this generator out."
        )
    if embeddings_node(latents, card, "cpu") is None:
        candidates(card, latents, 0, [0])
    if experiment.selection is not None:
        features_name(experiment.selection.features)
        folder, side = experiment.selection.folder, card.resolution
        notes.append(FolderPictures(folder, resolution=side, progress=progress).left_out)
    return tuple(filter(None, notes))


def _generators(word: str) -> list[str]:
    kind = next((each for each in _KINDS if each == word), None)
    return [word] if kind is None else [card.name for card in list_generators(kind)]


def _checked_generator(name: str) -> str:
    """Give the name by which every process finds a generator."""
    if own_file(name) is not None:
        return full_name(name)
    known = [card.name for card in list_generators()]
    if name.startswith("analytic."):
        check_known(name)
    elif name not in known:
        among = f"{', '.join(_KINDS)}, and names, which gseg generators lists"
        raise ValueError(unknown("generator", name, [*known, *_KINDS], among=among))
    return name
