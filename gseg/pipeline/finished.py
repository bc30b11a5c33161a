"""What finished trials tell: where a segmenter fails, how far both papers' directions agree.

Rows lead to what their trials left, from the scores back from parent to parent, and samples to what
they were drawn from.

Failure cases are those of Melas-Kyriazi et al. 2022, Figures 12 to 14. On labelled pictures: those
with the lowest IoU; pictures whose true mask is empty are left out, as in Figure 13. Of generated
pictures the paper's authors looked through some 500 by eye, there being no true masks. Here those
500 are ordered without eyes: first where the trained segmenter and the sample's own mask agree
least, so that at least one of the two is wrong.

The optimised direction (that paper) stands against the chosen one (Voynov et al. 2021): how near
the two are, how far their masks agree, what segmenters trained on either reach, and what finding
them cost. Beside it, for the chosen direction, how far masks by brightness agree with masks by
colour maps (Eq. (5)), and those with masks by maps fitted to each picture (section 4.6 there: IoU
.86 and accuracy .96 over 128 samples of BigBiGAN).
"""

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from torch import Tensor

from gseg.directions.affine import fit_operators
from gseg.directions.codes import codes_and_labels
from gseg.directions.config import ChoiceConfig, SearchConfig
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.catalogue import cached_generator
from gseg.generators.contract import Generator
from gseg.images import from_uint8
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.graph import Told
from gseg.pipeline.jobs.draw import DrawJob, DrawOrder
from gseg.pipeline.jobs.predict import load_predictor
from gseg.pipeline.row_values import TrialParts
from gseg.pipeline.rows import Row
from gseg.pipeline.stages.directions import DirectionNode, OperatorsNode, ThresholdNode
from gseg.pipeline.stages.pictures import EMBEDDINGS, EmbeddingsNode, find_embeddings, with_file
from gseg.pipeline.stages.samples import SampleNode
from gseg.pipeline.trial import find_parts, find_rows, stages_of
from gseg.randomness import derive_seed
from gseg.samples.config import LatentConfig, SampleConfig
from gseg.samples.masks import judged_masks, make_masks
from gseg.samples.shards import DamagedShardError, Shard, shard_name
from gseg.samples.thresholds import choose_threshold, settled
from gseg.scores.batches import prepare, resize_probability
from gseg.scores.benchmarks import Benchmark, Example, open_benchmark
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.segmenters.segmenter import Predictor
from gseg.storage.checksums import file_digest
from gseg.storage.digests import restore
from gseg.storage.mirror import fetch
from gseg.storage.store import Store

LOOKED_THROUGH: Final = 500
"""Generated pictures (appendix B.4.1)."""
_BATCH: Final = 100
_PICTURES: Final = 128
_SCORES: Final = ("accuracy", "iou", "max_f_beta", "two_affine_ratio", "direction_seconds")


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
    # Relabelled and selected samples lead to the drawn ones, whose config has how.
    while "samples" not in told.config:
        told = told.parent(*stages_of(SampleNode))
    return Origin(
        generator=told.config["generator"],
        direction=told.parent(*stages_of(DirectionNode, OperatorsNode, ThresholdNode)).folder,
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
    # The user's file may have changed since: it counts only with the same content.
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


def load_stored(path: Path) -> Shard:
    """Read a shard; one of drawn samples in a storage that is damaged is drawn again.

    Args:
        path: The file.

    Returns:
        The shard.

    Raises:
        DamagedShardError: It is damaged, and cannot be drawn again.
        FileNotFoundError: There is no such file.
    """
    try:
        return Shard.load(path)
    except DamagedShardError as error:
        folder = path.absolute().parent
        try:
            origin = find_origin(folder)
            device = str(Told.of(Store(folder.parents[1]), folder.name, "samples").config["device"])
        except (FileNotFoundError, ValueError, LookupError):  # no storage's, or not drawn
            raise error from None
        order = DrawOrder(
            direction=origin.direction, config=origin.config, folder=folder, count=sys.maxsize
        )
        job = DrawJob(generator=origin.generator, orders=(order,), device=device)
        number = int(path.stem.rpartition("-")[2])
    return job.load(number)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a row's trial left.

    Attributes:
        origin: What the samples were drawn from; of an ensemble, the first network's.
        samples: Folder of the shards that were trained on.
        count: Samples that were trained on, the first ones of the shards.
        segmenters: Files; several for an ensemble.
        benchmark: Identity of what was scored.
        working_size: Shorter side that the segmenter saw; None for the benchmark's own.
        images: File with every picture's scores.
    """

    origin: Origin
    samples: Path
    count: int
    segmenters: tuple[Path, ...]
    benchmark: str
    working_size: int | None
    images: Path


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FailureCase:
    """A picture of which a segmenter finds another mask than it should.

    Attributes:
        id: Name within the benchmark; of a sample the candidate's number.
        iou: Of the two masks.
        picture: (3, H, W) uint8.
        mask: (H, W) bool, as it should be.
        found: (H, W) bool.
    """

    id: str
    iou: float
    picture: Tensor
    mask: Tensor
    found: Tensor


def find_trace(row: "pd.Series[Any]", storage: Path) -> Trace | None:
    """Find what a row's trial left, from its scores back from parent to parent.

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
    store = Store(storage, read_only=True)
    try:
        scores = Told.of(store, str(row["scores"]), "scores")
        trained = [Told.of(store, name, "segmenter") for name in scores.about["parents"]]
        # The training samples come first, before held-out ones and labelled pictures.
        samples = trained[0].parent(*stages_of(SampleNode)).folder
        found = Trace(
            origin=find_origin(samples),
            samples=samples,
            # Of the samples; the second is that of labelled pictures beside them.
            count=trained[0].config["count"][0],
            segmenters=tuple(each.folder / "segmenter.safetensors" for each in trained),
            benchmark=scores.config["benchmark"],
            working_size=scores.config["working_size"],
            images=scores.folder / "images.parquet",
        )
    except (FileNotFoundError, KeyError, IndexError, TypeError):
        return None
    # Readers open files without asking the object store.
    files = (samples / shard_name(0), *found.segmenters, found.images)
    return found if all(map(fetch, files)) else None


def find_failures(
    experiment: Experiment, setting: Context, device: str, count: int
) -> dict[str, list[FailureCase]]:
    """Find a finished trial's worst cases.

    Args:
        experiment: The trial, of method ``gan``.
        setting: Where its parts are, and what it was scored on.
        device: Kind of device that made them.
        count: Cases of each kind.

    Returns:
        The worst first, of ``samples`` and of each benchmark by its name.

    Raises:
        ValueError: The trial is not finished.
    """
    parts = find_parts(experiment, setting, device)
    rows = find_rows(experiment, setting, device)
    if parts is None or rows is None or experiment.training is None:
        raise ValueError(f"{experiment.label} is not finished: run its sweep first.")
    store = Store(setting.storage, read_only=True)
    cases = {"samples": _worst_samples(parts, count)}
    of_main = [row for row in rows if row["metric_profile"] == DEFAULT_PROFILES[0]]
    for row, spec in zip(of_main, setting.benchmarks, strict=True):
        scores = store.find("scores", str(row["scores"]))
        if scores is None:  # damaged since its row was found, which is told
            continue
        images = pd.read_parquet(scores.folder / "images.parquet")
        images = images[images["profile"] == row["metric_profile"]].reset_index(drop=True)
        benchmark = open_benchmark(spec, skip_bad=setting.skip_bad)
        # Two sets may have one name.
        shown = f" [{benchmark.digest[:4]}]" if benchmark.name in cases else ""
        cases[benchmark.name + shown] = list(_worst_pictures(parts, benchmark, images, count))
    return cases


@torch.inference_mode()
def _worst_samples(parts: TrialParts, count: int) -> list[FailureCase]:
    """Find the samples whose mask the trained segmenter contradicts most (Figure 14)."""
    member = parts.members[0]
    assert member.samples is not None
    pairs = member.samples.pairs
    samples = pairs.head(min(LOOKED_THROUGH, pairs.count))
    predictor = load_predictor([each.file for each in parts.members])
    batches = torch.split(samples.pictures, _BATCH)
    found = torch.cat([predictor.probability(from_uint8(each)) > 0.5 for each in batches])
    # Two empty masks agree, but nothing was found: such samples are looked at first.
    scores = mask_ious(found, samples.masks, empty=0.0)
    return [
        FailureCase(
            id=str(int(samples.indices[i])),
            iou=float(scores[i]),
            picture=samples.pictures[i],
            mask=samples.masks[i],
            found=found[i],
        )
        for i in torch.argsort(scores, stable=True)[:count].tolist()
    ]


def _worst_pictures(
    parts: TrialParts, benchmark: Benchmark, scores: pd.DataFrame, count: int
) -> Iterator[FailureCase]:
    """Find the labelled pictures with the lowest of these scores (Figures 12 and 13)."""
    predictor = load_predictor([each.file for each in parts.members])
    # As it was scored: at the side of its training, which baselines and older files lack.
    size = predictor.resolution or benchmark.working_size
    for place, line in scores.sort_values("iou", kind="stable").dropna(subset="iou").iterrows():
        if count == 0:
            return
        example = benchmark[int(str(place))]
        if example.mask.any():  # Figure 13 leaves out pictures without a foreground
            count -= 1
            yield FailureCase(
                id=str(line["id"]),
                iou=float(line["iou"]),
                picture=example.picture,
                mask=example.mask,
                found=predict_example(predictor, example, size) > 0.5,
            )


@torch.inference_mode()
def predict_example(predictor: Predictor, example: Example, size: int) -> Tensor:
    """Segment a labelled picture, `size` pixels at its shorter side, at its own size.

    Returns:
        (H, W) probabilities, of the size of the true mask.
    """
    # The text's protocol, whatever the row's: a picture that is shown keeps its own size.
    seen = prepare(example, 0, "text", size).picture
    probability = predictor.probability(from_uint8(seen[None]))
    return resize_probability(probability, example.mask[None])[0]


def mask_ious(first: Tensor, second: Tensor, *, empty: float = 1.0) -> Tensor:
    """Measure the IoU of masks (N, H, W) bool, pair by pair; `empty` where both are empty."""
    both, either = (first & second).sum((1, 2)), (first | second).sum((1, 2))
    return torch.where(either > 0, both / either.clamp(min=1), empty)


def compare_papers(
    experiments: Sequence[Experiment], setting: Context, device: str = "cpu"
) -> pd.DataFrame:
    """Compare finished trials that differ in how their direction was found.

    Args:
        experiments: From `gseg.recipes.melas2022.both_papers`; those without a finished partner
            are left out.
        setting: Where the trials' parts are; scores are taken on its first benchmark.
        device: Kind of device that made them.

    Returns:
        A line for each generator, mask kind, data size, seed and ``rule`` of the choice.
        ``cosine`` is that of the two lighter vectors; ``mask_iou`` and ``mask_accuracy`` are the
        agreement of their masks; ``affine_iou`` and ``affine_accuracy`` that of brightness and
        Eq. (5), ``each_iou`` and ``each_accuracy`` that of Eq. (5) and maps of single pictures.
        Scores, ratio and seconds end in ``_optimised`` and ``_chosen``.
    """
    lines = []
    for optimised, chosen in itertools.product(experiments, repeat=2):
        ways = isinstance(optimised.search, SearchConfig), isinstance(chosen.search, ChoiceConfig)
        # Each with each: one optimised trial has a line for every rule that was chosen by.
        if not all(ways) or _shared(optimised) != _shared(chosen):
            continue
        # A trial that is not finished has no line yet.
        rows = [find_rows(each, setting, device) for each in (optimised, chosen)]
        if rows[0] is None or rows[1] is None:
            continue
        lines.append(
            {
                "generator": optimised.generator,
                "rule": getattr(chosen.search, "rule", ""),
                **_shared(optimised),
                **_agreement(optimised, chosen, setting, device),
                **_scores(rows[0], "optimised"),
                **_scores(rows[1], "chosen"),
            }
        )
    return pd.DataFrame(lines)


def _shared(experiment: Experiment) -> dict[str, Any]:
    """Give what the two trials of a line have in common."""
    return {
        "generator": experiment.generator,
        "mask_kind": experiment.mask_kind,
        "data_size": experiment.data_size,
        "seed": experiment.search.seed if experiment.search else 0,
    }


def _scores(rows: Sequence[Row], side: str) -> dict[str, Any]:
    row = next(row for row in rows if row["metric_profile"] == DEFAULT_PROFILES[0])
    return {f"{name}_{side}": row[name] for name in _SCORES}


@exact()
@torch.no_grad()
def _agreement(
    optimised: Experiment, chosen: Experiment, setting: Context, device: str
) -> dict[str, float]:
    # Masks of fresh pictures: how the two directions' own samples were filtered plays no part.
    generator = cached_generator(optimised.generator, device)
    directions, pairs, masks = [], [], []
    for each in (optimised, chosen):
        parts = find_parts(each, setting, device)
        assert parts is not None
        assert parts.direction is not None
        assert each.samples is not None
        directions.append(Direction.load(parts.direction.folder))
        pairs.append(lighter_pairs(generator, directions[-1], each.samples.epsilon, _PICTURES))
        samples = replace(each.samples, mask_kind="lighter")
        if samples.mask_threshold == "choose":
            samples = settled(samples, choose_threshold(generator, directions[-1], samples))
        original, lighter = pairs[-1]
        masks.append(judged_masks(samples, original, {"lighter": lighter}, None)[1][0])
    assert chosen.samples is not None
    maps = fit_operators(generator, directions[1], chosen.samples.epsilon).operators
    by_maps = make_masks("affine", *pairs[1], None, maps=maps)
    return {
        "cosine": float(directions[0].lighter @ directions[1].lighter),
        **_agree("mask", *masks),
        **_agree("affine", masks[1], by_maps),
        **_agree("each", by_maps, make_masks("affine_each", *pairs[1], None)),
    }


@torch.no_grad()
def lighter_pairs(
    generator: Generator, direction: Direction, epsilon: float, count: int
) -> tuple[Tensor, Tensor]:
    """Generate fresh pictures and their lighter twins, (N, 3, R, R) in [-1, 1] each."""
    # Seeds of samples never have this name: no pair was trained on.
    code, y = codes_and_labels(generator, derive_seed(0, "papers"), range(count))
    shift = epsilon * direction.lighter.to(code.device)
    return generator(code, y).clamp(-1, 1), generator(code + shift, y).clamp(-1, 1)


def _agree(name: str, first: Tensor, second: Tensor) -> dict[str, float]:
    equal = (first == second).float().mean()
    return {f"{name}_iou": float(mask_ious(first, second).mean()), f"{name}_accuracy": float(equal)}
