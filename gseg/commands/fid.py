"""``gseg fid``: the distance between a generator or a folder and a reference."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import Parameter

from gseg.commands.app import (
    Count,
    Number,
    OutFile,
    OutPlace,
    OutStatistics,
    Side,
    console,
    make_app,
)
from gseg.commands.bars import READING, stage_bars
from gseg.commands.given import Given, Needs, check_apart, needs, only_with, only_without
from gseg.commands.working import HERE, Working

if TYPE_CHECKING:
    from gseg.generators.cards import GeneratorCard
    from gseg.pipeline.jobs.pictures import PictureSet
    from gseg.samples.config import LatentConfig
    from gseg.scores.fid import Distance

app = make_app(
    "fid",
    "",
    first=(
        *("--reference", "--features", "--count", "--resolution", "--seed", "--save", "--json"),
        *("--storage", "--device", "--actors"),
    ),
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Which pictures are measured, and how.

    Attributes:
        features: scenes; inception or inception-pytorch-fid, whose public weights are fetched, or
            are in FILE: inception:FILE; or resnet50:FILE.
        count: Pictures of a generator, and of scenes.
        resolution: Bring all pictures to this side, their middle square resized; without it
            pictures of folders to the generator's, or they stay as they are if there is none.
        seed: Of a generator's latents.
        truncation: Of a generator; without it none.
        classes: Draw only these classes of a conditional generator; without it all of them.
        embeddings: Draw latents near these (.npy, one in each row); without it from the prior.
        alpha: Noise around them.
    """

    features: str = "scenes"
    count: Count = 10_000
    resolution: Side | None = None
    seed: Number = 0
    truncation: float | None = None
    classes: tuple[int, ...] = ()
    embeddings: Path | None = None
    alpha: float = 0.0

    def named(self, what: str, card: "GeneratorCard | None", count: int) -> "PictureSet":
        """Give the pictures that a word of the command line means.

        Args:
            what: A generator's name, scenes, or a folder.
            card: Of the generator that is measured, or is the reference.
            count: How many scenes.
        """
        from gseg.generators.catalogue import find_card
        from gseg.pipeline.jobs.pictures import PictureSet
        from gseg.scores.picture_sources import SCENES_RESOLUTION

        own = card.resolution if card else None
        side = self.resolution or own
        if what == "scenes":
            # Scenes can be drawn at any size; beside a generator's, they are resized as those are.
            made = own or side or SCENES_RESOLUTION
            return PictureSet(count=count, resolution=made, shown=_unless(side, made))
        if _is_path(what):
            return PictureSet(folder=Path(what).absolute(), resolution=side)
        shown = _unless(side, find_card(what).resolution)
        return PictureSet(
            generator=what, latents=self._latents(), seed=self.seed, count=self.count, shown=shown
        )

    def _latents(self) -> "LatentConfig":
        from gseg.samples.config import LatentConfig
        from gseg.samples.latents import near_embeddings

        if not self.embeddings:
            return LatentConfig(truncation=self.truncation, classes=self.classes)
        return near_embeddings(self.embeddings, alpha=self.alpha)


def _unless(side: int | None, own: int) -> int | None:
    return None if side == own else side


_PICTURES: Final = Pictures()


def _both(given: Given) -> tuple[str, ...]:
    return (*given.values("PICTURES"), *given.values("--reference"))


def _makes(given: Given) -> bool:
    return any(not _is_path(each) for each in _both(given))


@app.default
@needs(
    Needs(
        options=("--seed", "--truncation", "--classes", "--embeddings"),
        met=_makes,
        lacking="on pictures that are there",
        instead="name a generator",
    ),
    Needs(
        options=("--count",),
        met=lambda given: _makes(given) or given.values("PICTURES") == ("scenes",),
        lacking="on a folder or a file, which have their own number",
        instead="name a generator",
    ),
    Needs(
        options=("--resolution", "--device", "--actors", "--address"),
        met=lambda given: not all(map(_is_file, _both(given))),
        lacking="on two files of statistics",
        instead="name pictures",
    ),
    only_with("--embeddings", "--alpha", value="FILE.npy"),
    only_without("--embeddings", "--truncation", "--classes"),
)
def fid(
    pictures: str,
    /,
    *,
    reference: str = "scenes",
    options: Pictures = _PICTURES,
    save: OutStatistics | None = None,
    json_: OutFile | None = None,
    storage: OutPlace = Path("storage"),
    working: Working = HERE,
) -> int:
    """Measure the Fréchet distance of pictures to a reference, KID, precision and recall.

    Numbers compare only if their protocols are the same; the protocol is printed with the number.
    Features are taken in parts and kept in the storage: what was interrupted goes on, and a
    reference is used again. --help-all shows all options.

    Args:
        pictures: A generator's name, a folder of pictures, or a file of statistics (.npz).
        reference: scenes (the embedded training pictures), a folder of pictures, or a file of
            statistics (.npz, with mu and sigma, as pytorch-fid writes it).
        options: Which pictures are measured, and how.
        save: Write the statistics of PICTURES (.npz), a reference for later.
        json_: Write distances, precision and recall, and their protocols.
        storage: Folder of features that were taken, or s3://BUCKET/PREFIX.
        working: Where the work is done.

    Raises:
        ValueError: Pictures, reference or features are not there, or do not go together.
    """
    from gseg.features.named import features_name
    from gseg.generators.catalogue import find_card, full_name
    from gseg.pipeline.graph import Workshop
    from gseg.pipeline.stages.pictures import StatisticsNode
    from gseg.scores.feature_statistics import FeatureStatistics
    from gseg.scores.fid import compare
    from gseg.scores.picture_sources import FolderPictures
    from gseg.storage.files import write_atomically
    from gseg.storage.store import Store

    check_apart(
        {"--save": save, "--json": json_},
        {"PICTURES": Path(pictures), "--reference": Path(reference)},
    )
    card, other = (None if _is_path(each) else find_card(each) for each in (pictures, reference))
    if not (card or other or options.resolution):
        _check_sizes(pictures, reference, options.features)
    with working.backend() as backend, stage_bars() as report:
        shop = Workshop(Store(storage.absolute()), backend, report)

        def statistics(what: str, count: int) -> FeatureStatistics:
            if _is_file(what):
                return FeatureStatistics.load(Path(what), features_name(options.features))
            chosen = options.named(
                what if _is_path(what) else full_name(what), card or other, count
            )
            if chosen.folder is not None:
                opened = chosen.open(progress=partial(report, READING))
                if isinstance(opened, FolderPictures) and opened.left_out:
                    console().print(opened.left_out)
            node = StatisticsNode(pictures=chosen, features=options.features, device=working.device)
            return node.read(shop)

        found = statistics(pictures, options.count)
        # As many scenes as there are pictures, unless their number is not known.
        known = statistics(reference, found.count or options.count)
    try:
        distance = compare(found, known)
    except ValueError as error:
        raise ValueError(f"{pictures} and {reference}: {error}") from error
    if save:
        found.save(save)
    if json_:
        write_atomically(json_, json.dumps(asdict(distance), indent=1).encode())
    for line in _told(distance, card):
        console().print(line)
    return 0


def _check_sizes(pictures: str, reference: str, features: str) -> None:
    """Make sure that pictures that nobody brings to a size have one.

    Raises:
        ValueError: They have several.
    """
    from gseg.scores.picture_sources import SCENES_RESOLUTION, FolderPictures

    own = {(SCENES_RESOLUTION, SCENES_RESOLUTION)}
    one, two = (
        own if each == "scenes" else set() if _is_file(each) else FolderPictures(each).shapes()
        for each in (pictures, reference)
    )
    # Networks with a size of their own resize sets of mixed sizes, as their programs do.
    mixes = not features.startswith("scenes") and min(len(one), len(two)) > 1
    if len(one | two) > 1 and not mixes:
        told = ", ".join(f"{width}x{height}" for height, width in sorted(one | two)[:3])
        raise ValueError(
            f"{pictures} and {reference} have pictures of several sizes ({told}): say to which "
            "side all are brought (--resolution N)."
        )


def _is_path(what: str) -> bool:
    """Say whether this is no generator's name."""
    return what == "scenes" or _is_file(what) or Path(what).is_dir()


def _is_file(what: str) -> bool:
    return what.lower().endswith(".npz")


def _told(distance: "Distance", card: "GeneratorCard | None") -> Iterator[str]:
    yield f"Fréchet distance {distance.value:.4f} ({distance.protocol})"
    if distance.kernel is not None:
        kernel = distance.kernel
        spread = "" if kernel.deviation is None else f" ± {kernel.deviation:.6f}"
        yield f"kernel distance {kernel.value:.6f}{spread} ({kernel.protocol})"
    if distance.precision_recall is not None:
        shares = distance.precision_recall
        yield f"precision {shares.precision:.3f}, recall {shares.recall:.3f} ({shares.protocol})"
    if card is not None and card.published_fid is not None:
        yield f"published {card.published_fid:g} ({card.fid_protocol})"
