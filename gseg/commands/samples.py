"""``gseg samples``: draw samples of a generator, and look at samples."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gseg.commands.app import (
    Count,
    Number,
    OutFolder,
    OutPicture,
    OutPlace,
    Place,
    Side,
    console,
    make_app,
)
from gseg.commands.bars import stage_bars
from gseg.commands.given import check_apart
from gseg.commands.working import HERE, AnyWeights, Working
from gseg.interruptions import will_begin_again
from gseg.samples.config import FilterPreset, MaskKind, MaskThreshold, PictureFormat

_STORAGE: Final = Path("storage")

app = make_app("samples", "Draw generated pictures with their masks, and look at them.")
_draw = make_app(
    "draw",
    "",
    first=(
        *("--count", "--out", "--direction", "--epsilon", "--mask-kind", "--filters", "--seed"),
        *("--weights", "--device", "--actors"),
    ),
)
app.command(_draw)


@_draw.default
def draw(
    generator: str,
    /,
    *,
    count: Count,
    out: OutPlace = _STORAGE,
    direction: Path | None = None,
    epsilon: float | None = None,
    mask_kind: MaskKind = "lighter",
    mask_threshold: MaskThreshold = "zero",
    filters: FilterPreset | None = None,
    seed: Number = 0,
    batch: Count | None = None,
    picture_format: PictureFormat = "exact",
    weights: AnyWeights = None,
    working: Working = HERE,
) -> int:
    """Draw samples of a generator, until enough are accepted.

    The generator's direction is found first, unless it is given. What was interrupted goes on, a
    larger --count extends what is there, and a sweep with the same --storage uses it. --help-all
    shows all options.

    Args:
        generator: Catalogue name, see gseg generators.
        count: Accepted samples.
        out: Storage, a folder or s3://BUCKET/PREFIX; samples go to samples/HASH in it.
        direction: Folder of a direction, such as direction/HASH of a storage; without it one is
            searched.
        epsilon: Length ε > 0 of the latent shift, in the search and for the masks; without it 1.
        mask_kind: Which pictures a mask is made from.
        mask_threshold: Where their difference of brightness is cut: at zero, by Otsu's threshold of
            each picture, or whichever of the two is chosen for the direction.
        filters: Rules that decide which candidates are kept; without it scenes for generators of
            scenes and gseg for others.
        seed: Trial seed, 0 or more.
        batch: Candidates at once; part of what the samples are. Without it 64.
        picture_format: How pictures are stored; jpeg95 changes them a little.
        weights: Of published generators.
        working: Where the work is done.

    Raises:
        ValueError: An option is out of range, nearly all is rejected, or there is no room.
    """
    from gseg.generators.catalogue import find_card, full_name, use_weights
    from gseg.generators.weights import weights_digest
    from gseg.pipeline.graph import Node, Workshop
    from gseg.pipeline.jobs.job import prepare_process
    from gseg.pipeline.stages.directions import DirectionNode, GivenDirection
    from gseg.pipeline.trial import sample_nodes, samples_node
    from gseg.recipes.grids import grids
    from gseg.recipes.trials import combinations
    from gseg.samples.config import filter_preset
    from gseg.storage.mirror import describe
    from gseg.storage.store import Artifact, Store

    use_weights(weights)
    generator = full_name(generator)
    weights_digest(generator)
    # The search and the samples are those of a sweep with the embedded preset, which uses them.
    axes: dict[str, tuple[Any, ...]] = {
        "generator": (generator,),
        "data_size": (count,),
        "seed": (seed,),
    }
    if epsilon is not None:
        axes["epsilon"] = (epsilon,)
    experiment = combinations(grids()["embedded"], axes, "all_gans")[0]
    config = sample_nodes(experiment, working.device)[0].samples
    usual: FilterPreset = "scenes" if find_card(generator).draws_scenes else "gseg"
    config = replace(
        config,
        mask_kind=mask_kind,
        mask_threshold=mask_threshold,
        filters=filter_preset(filters or usual),
        picture_format=picture_format,
        batch=config.batch if batch is None else batch,
    )
    prepare_process(1)  # part of what the samples are: a sweep's trials take one
    search = experiment.search
    assert search is not None
    found: Node[Artifact] = DirectionNode(generator=generator, search=search, device=working.device)
    if direction is not None:
        found = GivenDirection(given=direction)
    node = samples_node(generator, found, config, count, working.device)
    with working.backend() as backend, stage_bars() as report:
        store = Store(out.absolute())
        store.check()
        made = Workshop(store, backend, report).make(node)
    counts = dict(made.counts)
    candidates, accepted = counts.pop("candidates"), counts.pop("accepted")
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.items() if number)
    folder = describe(made.pairs.shards[0].parent)
    console().print(
        f"{count:,} samples in {folder}\n{accepted:,} of {candidates:,} candidates accepted"
        f"{'; rejected: ' + reasons if reasons else ''}\nlook at them: gseg samples show {folder}"
    )
    return 0


@app.command
def show(
    path: Place,
    /,
    *,
    out: OutPicture = Path("samples.png"),
    rows: Count = 8,
    rejected: Number = 4,
    tile: Side = 96,
) -> int:
    """Draw a contact sheet of samples.

    It shows pictures with their masks, and, where the direction is in the same storage, shifted
    pictures and rejected candidates with the reason.

    Args:
        path: A shard, a folder of shards, or a storage, whose latest samples are shown.
        out: PNG file of the sheet.
        rows: Accepted samples to show.
        rejected: Rejected candidates to show of each reason.
        tile: Side of a picture in pixels.

    Raises:
        ValueError: There are no samples, or an option is out of range.
    """
    from gseg.reports.sheets import sample_sheet

    check_apart({"--out": out}, {"PATH": path})
    about = sample_sheet(out, _shards(path), rows=rows, rejected=rejected, tile=tile)
    console().print(f"{out}: {about}")
    return 0


@app.command
def export(path: Place, /, *, out: OutFolder) -> int:
    """Write the pictures of samples as files, for another program to label.

    They are PNG files. Masks that another program makes of them, under the same names, are what a
    labeller folder:PATH gives the samples.

    Args:
        path: A folder of shards, such as samples/HASH of a storage.
        out: Folder of the pictures.

    Raises:
        ValueError: There are no samples.
    """
    from gseg.picture_files import encode_png
    from gseg.pipeline.finished import load_stored
    from gseg.samples.labeller import sample_name
    from gseg.storage.files import write_atomically

    will_begin_again()
    written = 0
    for file in _shards(path):
        shard = load_stored(file)
        try:
            seed = int(shard.provenance["config"]["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file} does not say with which seed it was drawn.") from error
        for index, picture in zip(shard.indices.tolist(), shard.pictures, strict=True):
            name = f"{sample_name(seed, index)}.png"
            write_atomically(out / name, encode_png(picture), durable=False)
            written += 1
    console().print(f"{written:,} pictures in {out}")
    return 0


def _shards(path: Path) -> list[Path]:
    """Find shards in what a user may mean by samples."""
    from gseg.samples.shards import shard_name
    from gseg.storage.mirror import describe, fetch

    if path.suffix == ".parquet":
        return [path]
    sets = sorted(path.glob("samples/*"), key=lambda each: each.stat().st_mtime, reverse=True)
    for folder in (path, *sets):
        fetch(folder / shard_name(0))
        found = sorted(folder.glob("shard-*.parquet"))
        if found:
            return found
    raise ValueError(
        f"{describe(path)} holds no samples: give a file such as {shard_name(0)}, a folder of "
        "them, or a storage. gseg samples draw makes some."
    )
